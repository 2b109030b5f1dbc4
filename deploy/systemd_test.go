package deploy_test

import (
	"net"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	server "github.com/presence-server/presence/deploy/testserver"
)

// supervisor is the socket on which systemd listens.
type supervisor struct {
	t    *testing.T
	conn *net.UnixConn
}

func listen(t *testing.T) supervisor {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetReadDeadline(time.Now().Add(server.Patience))
	t.Setenv("NOTIFY_SOCKET", path)
	return supervisor{t, conn}
}

// hears checks that the next message consists of these lines. A pattern matches a
// whole line.
func (s supervisor) hears(patterns ...string) {
	s.t.Helper()
	buffer := make([]byte, 4096)
	n, err := s.conn.Read(buffer)
	if err != nil {
		s.t.Fatalf("%q was not sent: %v", patterns, err)
	}
	lines := strings.Split(strings.TrimSuffix(string(buffer[:n]), "\n"), "\n")
	if !regexp.MustCompile("^" + strings.Join(patterns, "\n") + "$").MatchString(strings.Join(lines, "\n")) {
		s.t.Fatalf("systemd receives %q, want %q", lines, patterns)
	}
}

// TestSystemdIsNotified checks that the server notifies systemd of what it does, in
// the order in which it does it.
func TestSystemdIsNotified(t *testing.T) {
	systemd, s := listen(t), newServer(t)
	file := filepath.Join(s.Folder, "presence.toml")
	write(t, file, "")
	if err := s.Launch(); err != nil {
		t.Fatal(err)
	}
	systemd.hears("READY=1", "STATUS=ready at "+s.URL+"/")
	isReady(t, s)

	for _, reload := range []struct{ config, status string }{
		{"[limits]\nfriends = 7\n", "STATUS=configuration changed"},
		{"[limits]\nfriends = \"READY=0\nSTOPPING=1\"\n", "STATUS=configuration not changed: see the log for the reason"},
	} {
		write(t, file, reload.config)
		s.Signal(syscall.SIGHUP)
		systemd.hears("RELOADING=1", `MONOTONIC_USEC=[0-9]+`)
		systemd.hears("READY=1", reload.status)
	}
	s.Signal(syscall.SIGTERM)
	systemd.hears("STOPPING=1", "STATUS=stopping")
	if code := s.Wait(); code != 0 {
		t.Errorf("exit code %d\n%s", code, s.Log())
	}
}

// isReady asks once: after READY, there must be nothing to wait for.
func isReady(t *testing.T, s *server.Child) {
	t.Helper()
	if answer, err := s.Call(bounded(t), "/readyz", "", nil); err != nil || answer.Status != 200 {
		t.Errorf("READY was sent, but /readyz answers %+v %v", answer, err)
	}
}

// TestNotReadyWhenRefused checks that a server that can't start doesn't report READY
// to systemd.
func TestNotReadyWhenRefused(t *testing.T) {
	systemd, s := listen(t), newServer(t, "DATABASE__PATH=/")
	if err := s.Launch(); err != nil {
		t.Fatal(err)
	}
	if code := s.Wait(); code != 1 {
		t.Errorf("exit code %d\n%s", code, s.Log())
	}
	systemd.conn.SetReadDeadline(time.Now()) // everything that was sent has arrived
	buffer := make([]byte, 4096)
	if n, err := systemd.conn.Read(buffer); err == nil {
		t.Errorf("systemd received %q", buffer[:n])
	}
}

// unit returns the path of a copy of the shipped unit that runs the program built
// here.
func unit(t *testing.T) string {
	t.Helper()
	const installed = "/usr/local/bin/presence"
	text := read(t, "presence.service")
	if n := strings.Count(text, "="+installed+" "); n != 2 {
		t.Fatalf("the unit runs %s %d times, want the check and the server", installed, n)
	}
	path := filepath.Join(t.TempDir(), "presence.service")
	write(t, path, strings.ReplaceAll(text, installed, binary(t)))
	return path
}

func TestUnitIsValid(t *testing.T) {
	analyze, service := server.Require(t, "systemd-analyze", "systemd-analyze reads the unit"), unit(t)
	socket := filepath.Join(filepath.Dir(service), "presence.socket")
	write(t, socket, read(t, "presence.socket"))
	out, err := exec.Command(analyze, "verify", service, socket).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// TestUnitIsConfined checks the exposure that systemd computes, from 0, no access at
// all, to 10, everything root may do.
func TestUnitIsConfined(t *testing.T) {
	analyze := server.Require(t, "systemd-analyze", "systemd-analyze reads the unit")
	out, err := exec.Command(analyze, "security", "--offline=true", "--threshold=15", "--no-pager", unit(t)).CombinedOutput()
	if err != nil {
		t.Errorf("more exposed than 1.5: %v\n%s", err, out)
	}
}
