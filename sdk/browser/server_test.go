// Package browser_test drives the SDK, the demo page and other people's clients against the built server.
//
// It is in a module of its own, so that a program that embeds the server doesn't require the modules of its tests.
package browser_test

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	child "github.com/presence-server/presence/deploy/testserver"
)

const patience = time.Minute // for one test; every wait inside is for the event itself

// binary builds the server once for all tests, unless PRESENCE_BINARY names one that is built already.
var binary = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("PRESENCE_BINARY"); path != "" {
		return path, nil
	}
	return child.Build(os.TempDir())
})

// TestMain runs the tests with a temporary folder of their own. Killed browsers leave files in it.
func TestMain(m *testing.M) {
	folder, err := os.MkdirTemp("", "presence-sdk-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Setenv("TMPDIR", folder)
	code := m.Run()
	if err := os.RemoveAll(folder); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// A server is the built binary, as it is used in a test.
type server struct {
	*child.Server
	t *testing.T
}

// startServer starts a server that ends with the test. Without -dev it keeps its database, so that it can be killed and
// started again. env adds to its configuration, as KEY=value without the prefix.
func startServer(t *testing.T, dev bool, env ...string) *server {
	t.Helper()
	s := newServer(t, env...)
	if dev {
		s.Flags = []string{"-dev"}
	}
	s.start()
	return s
}

// newServer returns a server in a folder of its own that isn't started yet.
func newServer(t *testing.T, env ...string) *server {
	t.Helper()
	return newServerIn(t, t.TempDir(), env...)
}

func newServerIn(t *testing.T, folder string, env ...string) *server {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	one, err := child.New(path, folder, env...)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{one, t}
	t.Cleanup(s.Kill)
	return s
}

// start returns when the server is ready.
func (s *server) start() {
	s.t.Helper()
	if err := s.Start(); err != nil {
		s.t.Fatal(err)
	}
}

// call makes one call of the API, a GET if body is nil, and puts its data into data.
func (s *server) call(path, token string, body, data any) {
	s.t.Helper()
	if err := s.Must(s.t.Context(), path, token, body, data); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) admin(path string, body, data any) {
	s.t.Helper()
	s.call("/v1/admin/"+path, child.AdminKey, body, data)
}

// befriend registers two users as friends.
func (s *server) befriend(userID, friendID string) {
	s.t.Helper()
	s.admin("importUsers", map[string]any{"userIDList": []string{userID, friendID}}, nil)
	s.admin("addFriends", map[string]any{"userID": userID, "friendIDList": []string{friendID}}, nil)
}

// token issues one that lives for seconds.
func (s *server) token(userID string, seconds int) string {
	s.t.Helper()
	token, err := s.Token(s.t.Context(), userID, seconds)
	if err != nil {
		s.t.Fatal(err)
	}
	return token
}

// streams is how many streams are open in all.
func (s *server) streams() int {
	s.t.Helper()
	var stats struct{ Streams int }
	s.admin("stats", nil, &stats)
	return stats.Streams
}

// devices are those that the server knows of a user.
func (s *server) devices(userID string) []any {
	s.t.Helper()
	var explained struct{ Devices []any }
	s.admin("explain?userID="+userID, nil, &explained)
	return explained.Devices
}

func withPatience(t *testing.T, parent context.Context) context.Context {
	ctx, cancel := context.WithTimeout(parent, patience)
	t.Cleanup(cancel)
	return ctx
}
