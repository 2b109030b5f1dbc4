package deploy_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	server "github.com/presence-server/presence/deploy/testserver"
)

// TestHealth runs presence health against a server in each of the ways in which it can
// listen, and against a program that isn't the server.
func TestHealth(t *testing.T) {
	cert, key, _ := server.Certificate(t, t.TempDir())
	for what, env := range map[string][]string{
		"loopback":      nil,
		"every address": {"LISTEN=:" + port(freeAddress(t))},
		"IPv4":          {"LISTEN=0.0.0.0:" + port(freeAddress(t))},
		"HTTPS":         {"LISTEN=" + freeAddress(t), "TLS__CERT=" + cert, "TLS__KEY=" + key},
	} {
		s := newServer(t, env...)
		healthy(t, s, what+", before it runs", 1, "connection refused")
		listening := listen(t)
		if err := s.Launch(); err != nil {
			t.Fatal(err)
		}
		listening.hears("READY=1", "STATUS=ready at .*")
		healthy(t, s, what, 0, "ready\n")
	}
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	s := newServer(t, "LISTEN="+other.Listener.Addr().String())
	healthy(t, s, "another server", 1, "not the presence server: it answers 404")
}

func healthy(t *testing.T, s *server.Child, what string, code int, says string) {
	t.Helper()
	command := s.Command("health")
	out, _ := command.CombinedOutput()
	if got := command.ProcessState.ExitCode(); got != code || !strings.Contains(string(out), says) {
		t.Errorf("%s: presence health exits with %d and prints %q, want %d and %q", what, got, out, code, says)
	}
}
