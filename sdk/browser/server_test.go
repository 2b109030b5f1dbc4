// Package browser_test runs the SDK, the demo page and the clients of other projects
// against the built server. It is in a module of its own, so that a program that
// embeds the server doesn't require the modules of its tests.
package browser_test

import (
	"context"
	"os"
	"testing"

	child "github.com/presence-server/presence/deploy/testserver"
)

var program child.Program

func TestMain(m *testing.M) { os.Exit(program.RunInFolder(m)) }

// server is the built binary, as a test uses it.
type server struct {
	*child.Child
	t *testing.T
}

// startServer starts a server that ends with the test. Without -dev it keeps its
// database, so that it can be killed and started again. env adds to its configuration,
// as KEY=value without the prefix.
func startServer(t *testing.T, dev bool, env ...string) *server {
	t.Helper()
	s := newServer(t, env...)
	if dev {
		s.Flags = []string{"-dev"}
	}
	s.Start()
	return s
}

// newServer returns a server in a folder of its own that isn't started yet.
func newServer(t *testing.T, env ...string) *server {
	t.Helper()
	return &server{child.NewChild(t, program.Path(t), env...), t}
}

// newServerIn is newServer in the folder of another server, whose database it uses.
func newServerIn(t *testing.T, folder string, env ...string) *server {
	t.Helper()
	s := newServer(t, env...)
	s.Folder = folder
	return s
}

// streams returns how many streams are open in all.
func (s *server) streams() int {
	var stats struct{ Streams int }
	s.Admin("stats", nil, &stats)
	return stats.Streams
}

// devices returns the devices of a user that the server knows.
func (s *server) devices(userID string) []any {
	var explained struct{ Devices []any }
	s.Admin("explain?userID="+userID, nil, &explained)
	return explained.Devices
}

func withPatience(t *testing.T, parent context.Context) context.Context {
	ctx, cancel := context.WithTimeout(parent, child.Patience)
	t.Cleanup(cancel)
	return ctx
}
