package main

import (
	"fmt"
	"github.com/presence-server/presence/deploy/testserver"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// TestASlowRequestIsCut checks that a client that sends a request byte by byte, or
// never finishes it, is cut after 10 s, and delays no other client meanwhile.
func TestASlowRequestIsCut(t *testing.T) {
	t.Parallel() // the test waits for as long as the server
	v := listenHere(t, "", "")
	address, token := v.web.listeners[0].Addr().String(), v.token("alice")
	began := time.Now()
	var slow sync.WaitGroup
	for what, begin := range map[string]string{
		"nothing":        "",
		"half a line":    "GET /li",
		"half a header":  "GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: ",
		"half a body":    "POST /v1/setSelfStatus HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token + "\r\nContent-Length: 1000\r\n\r\n{",
		"half a chunk":   "POST /v1/setSelfStatus HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token + "\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{",
		"half a refused": "POST /v1/setSelfStatus HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{",
	} {
		slow.Go(func() {
			if err := trickle(address, begin); err != nil {
				t.Errorf("%s: %v", what, err)
			}
			if took := time.Since(began); took > 15*time.Second {
				t.Errorf("%s: cut after %s, want 10 s", what, took)
			}
		})
	}
	for range 20 {
		asked := time.Now()
		response, err := http.Get(v.web.url() + "readyz")
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("next to slow requests: %v %v", response, err)
		}
		response.Body.Close()
		if took := time.Since(asked); took > time.Second {
			t.Errorf("next to slow requests a response took %s", took)
		}
	}
	slow.Wait()
}

// trickle sends a byte from time to time, until the connection is closed.
func trickle(address, begin string) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	fmt.Fprint(conn, begin)
	cut := make(chan struct{})
	go func() {
		defer close(cut)
		buffer := make([]byte, 4096)
		for err := error(nil); err == nil; _, err = conn.Read(buffer) {
		}
	}()
	every, enough := time.NewTicker(500*time.Millisecond), time.After(testserver.Patience)
	defer every.Stop()
	for {
		select {
		case <-cut:
			return nil
		case <-enough:
			return fmt.Errorf("never cut")
		case <-every.C:
			conn.Write([]byte("1"))
		}
	}
}
