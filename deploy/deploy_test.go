package deploy_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	server "github.com/presence-server/presence/deploy/testserver"
)

const patience = time.Minute // for one test; every wait inside is for the event itself

// dist is what the script builds for this system.
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
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// newServer makes a server that isn't started yet; env adds to its configuration, as KEY=value without the prefix.
func newServer(t *testing.T, env ...string) *server.Server {
	t.Helper()
	s, err := server.New(binary(t), t.TempDir(), env...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	return s
}

// startServer starts one that ends with the test.
func startServer(t *testing.T, env ...string) *server.Server {
	t.Helper()
	s := newServer(t, env...)
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
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

// freeAddress returns one for a program that can't choose by itself. It is none of those that connections to elsewhere
// are given, or one of them may have it before the program does.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 1000 {
		listener, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", 10_000+rand.N(20_000)))
		if err == nil {
			defer listener.Close()
			return listener.Addr().String()
		}
	}
	t.Fatal("no port is free")
	return ""
}

// set has a user set a status.
func set(t *testing.T, s *server.Server, token, text string) {
	t.Helper()
	if err := s.Must(bounded(t), "/v1/setSelfStatus", token, map[string]any{"customStatus": text}, nil); err != nil {
		t.Fatal(err)
	}
}

// next returns the custom status that the next event of a stream tells last, or "" if it tells none.
func next(t *testing.T, stream *server.Stream) string {
	t.Helper()
	event, err := stream.Next()
	if err != nil {
		t.Fatal(err)
	}
	statuses, err := event.Statuses()
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for _, status := range statuses {
		text = status.CustomStatus
	}
	return text
}
