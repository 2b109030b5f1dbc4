package deploy_test

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	server "github.com/presence-server/presence/deploy/testserver"
)

// dist is the folder with what the script builds for this system.
var dist = sync.OnceValues(func() (string, error) {
	folder, err := os.MkdirTemp("", "presence-deploy-")
	if err != nil {
		return "", err
	}
	return folder, build("build", folder, runtime.GOOS+"/"+runtime.GOARCH)
})

func TestMain(m *testing.M) {
	code := m.Run()
	if folder, _ := dist(); folder != "" {
		os.RemoveAll(folder)
	}
	os.Exit(code)
}

// binary returns the program as it is shipped.
func binary(t *testing.T) string {
	t.Helper()
	folder, err := dist()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(folder, "presence-"+runtime.GOOS+"-"+runtime.GOARCH)
}

func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), server.Patience)
	t.Cleanup(cancel)
	return ctx
}

// newServer returns a server that isn't started yet. env adds to its configuration, as
// KEY=value without the prefix.
func newServer(t *testing.T, env ...string) *server.Child {
	t.Helper()
	return server.NewChild(t, binary(t), env...)
}

// startServer starts a server that ends with the test.
func startServer(t *testing.T, env ...string) *server.Child {
	t.Helper()
	s := newServer(t, env...)
	s.Start()
	return s
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	address, err := server.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return address
}
