//go:build unix

package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	server "github.com/presence-server/presence/deploy/testserver"
)

// TestIdleConnectionsKeepOutNobody: at 256 file descriptors, more connections than that, each idle after a request
// without credentials, keep out neither a user nor an admin.
func TestIdleConnectionsKeepOutNobody(t *testing.T) {
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	limited := filepath.Join(t.TempDir(), "presence")
	script := fmt.Sprintf("#!/bin/sh\nulimit -n 256\nexec '%s' \"$@\"\n", path)
	if err := os.WriteFile(limited, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	c := newChild(t)
	if c.Server, err = server.New(limited, t.TempDir()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Kill)
	c.start()
	c.admin("importUsers", map[string]any{"userIDList": []string{"alice"}}, nil)
	for range 300 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(c.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(patience / 4))
		fmt.Fprint(conn, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("GET /livez is answered %v, %v", response, err)
		}
	}
	c.set("alice", "hello") // on a connection of its own
	if got := c.status("alice"); got != "3 hello" {
		t.Errorf("alice is %q, want %q", got, "3 hello")
	}
	c.follow("alice", "")
	if got := c.status("alice"); got != "1 hello" {
		t.Errorf("alice is %q while her stream is open, want %q", got, "1 hello")
	}
}
