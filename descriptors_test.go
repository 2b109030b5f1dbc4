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

// few returns a server that has 256 file descriptors.
func few(t *testing.T) *child {
	t.Helper()
	limited := filepath.Join(t.TempDir(), "presence")
	script := fmt.Sprintf("#!/bin/sh\nulimit -n 256\nexec '%s' \"$@\"\n", program.Path(t))
	if err := os.WriteFile(limited, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	c := &child{server.NewChild(t, limited), t}
	c.Start()
	return c
}

// idle opens n connections that are idle after a request, or from the beginning if
// path is "".
func (c *child) idle(n int, path, token string) {
	c.t.Helper()
	for range n {
		conn, err := net.Dial("tcp", c.Address)
		if err != nil {
			c.t.Fatal(err)
		}
		c.t.Cleanup(func() { conn.Close() })
		if path == "" {
			continue
		}
		conn.SetDeadline(time.Now().Add(server.Patience / 4))
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", path, token)
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || response.StatusCode != http.StatusOK {
			c.t.Fatalf("GET %s was answered %v, %v", path, response, err)
		}
	}
}

// TestIdleConnectionsKeepOutNobody checks that more idle connections than the server
// has file descriptors, each idle after a request without credentials, keep out
// neither a user nor an admin.
func TestIdleConnectionsKeepOutNobody(t *testing.T) {
	c := few(t)
	c.Admin("importUsers", map[string]any{"userIDList": []string{"alice"}}, nil)
	c.idle(300, "/livez", "")
	c.Set("alice", "hello") // on a connection of its own
	if got := c.Status("alice"); got != "3 hello" {
		t.Errorf("alice is %q, want %q", got, "3 hello")
	}
	c.Open("alice", "")
	if got := c.Status("alice"); got != "1 hello" {
		t.Errorf("alice is %q while her stream is open, want %q", got, "1 hello")
	}
}

// TestDescriptorsAreDivided checks that calls are answered when all streams are taken
// and there are as many idle connections, with and without a credential, as there can
// be.
func TestDescriptorsAreDivided(t *testing.T) {
	c := few(t)
	token := c.TokenOf("alice")
	for i := 0; ; i++ {
		stream, err := c.Follow(c.Ctx, c.TokenOf(fmt.Sprint("user", i)), "", "")
		if err != nil {
			if !strings.Contains(err.Error(), "503") || i < 100 {
				t.Fatalf("stream %d: %v", i, err)
			}
			break
		}
		t.Cleanup(stream.Close)
	}
	c.idle(50, "/v1/friends", token)
	c.idle(50, "", "")
	c.idle(5, "/v1/friends", token) // accepted after all of them
	if strings.Contains(c.Log(), "too many open files") {
		t.Errorf("the server ran out of file descriptors: %s", c.Log())
	}
}
