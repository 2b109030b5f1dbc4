//go:build unix

package browser_test

import (
	"syscall"
	"testing"
)

// TestAdminServerStuck checks this because a stuck server, or a network that drops
// everything, closes no connection. The page knows from the keepalive how long silence
// may last.
func TestAdminServerStuck(t *testing.T) {
	s := startServer(t, false, "TIMING__KEEPALIVE=1s")
	s.importUsers("alice")
	admin := startBrowser(t).profile().admin(s.URL, "")
	admin.reads("#config", "keepalive1s")
	if err := s.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	admin.await(`!document.querySelector("#lost-box").hidden`)
	if err := s.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	admin.await(`document.querySelector("#net").dataset.state === "connected" && document.querySelector("#lost-box").hidden`)
	s.Set("alice", "live again")
	admin.reads("#users", "live again")
	admin.isFine()
}
