package httpapi_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/presence-server/presence/httpapi"
)

// fewUnproven is how many connections without a credential the servers of these tests
// accept.
const fewUnproven = 8

// bounded returns a server that accepts few connections without a credential, and a
// function that connects to it.
func bounded(t *testing.T, secure bool) (conns *httpapi.Connections, s *server, dial func() net.Conn) {
	t.Helper()
	s = newServer(t, func(o *options) {
		o.serve = func(w *httptest.Server) {
			conns = httpapi.LimitConnectionsTo(w.Config, fewUnproven)
			if w.EnableHTTP2 = secure; secure {
				w.StartTLS()
			} else {
				w.Start()
			}
		}
	})
	return conns, s, func() net.Conn {
		t.Helper()
		conn, err := net.Dial("tcp", s.http.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conn.SetDeadline(time.Now().Add(patience))
		if secure {
			trust := x509.NewCertPool()
			trust.AddCert(s.http.Certificate())
			return tls.Client(conn, &tls.Config{RootCAs: trust, ServerName: "127.0.0.1"})
		}
		return conn
	}
}

// ask sends a request on a connection, and returns the status of the response, or zero
// when the connection is closed.
func (s *server) ask(conn net.Conn, path, token string) int {
	s.t.Helper()
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", path, token)
	s.remember(token)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0
	}
	if path != "/v1/events" {
		io.Copy(io.Discard, response.Body)
	}
	return response.StatusCode
}

// TestConnectionsWithoutCredentialsKeepOutNobody checks that a client with a token
// gets in and stays connected, next to connections that send nothing or start a
// request that never ends.
func TestConnectionsWithoutCredentialsKeepOutNobody(t *testing.T) {
	t.Parallel() // the test waits for connections to settle
	for name, occupy := range map[string]func(*server, net.Conn){
		"connections that send nothing": func(s *server, conn net.Conn) {},
		"idle after a request":          func(s *server, conn net.Conn) { s.ask(conn, "/livez", "") },
		"idle after a forged token":     func(s *server, conn net.Conn) { s.ask(conn, "/v1/friends", "forged") },
		"half a request":                func(s *server, conn net.Conn) { fmt.Fprint(conn, "GET /livez HTTP/1.1\r\nHost:") },
		"half a body": func(s *server, conn net.Conn) {
			fmt.Fprint(conn, "POST /v1/logout HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
		},
	} {
		for scheme, secure := range map[string]bool{"http": false, "https": true} {
			t.Run(name+" over "+scheme, func(t *testing.T) {
				conns, s, dial := bounded(t, secure)
				proven := dial()
				if got := s.ask(proven, "/v1/friends", s.issue("alice")); got != 200 {
					t.Fatalf("a client with a token was answered %d", got)
				}
				stream := dial()
				if got := s.ask(stream, "/v1/events", s.issue("carol")); got != 200 {
					t.Fatalf("a stream was answered %d", got)
				}
				for range 2 * fewUnproven {
					occupy(s, dial())
				}
				if got := s.ask(dial(), "/v1/friends", s.issue("bob")); got != 200 {
					t.Errorf("a client with a token was answered %d next to the others", got)
				}
				if got := s.ask(dial(), "/v1/admin/stats", adminKey); got != 200 {
					t.Errorf("an admin was answered %d next to the others", got)
				}
				if got := s.ask(proven, "/v1/friends", s.issue("alice")); got != 200 {
					t.Errorf("a connection that has shown a token is closed to make room: %d", got)
				}
				if all, unproven := conns.Count(); unproven > fewUnproven {
					t.Errorf("%d of %d connections are unproven, want at most %d", unproven, all, fewUnproven)
				}
				if n := s.svc.Metrics().Streams; n != 1 {
					t.Errorf("%d streams are open, want 1", n)
				}
			})
		}
	}
}

// TestHandshakesThatNeverEndKeepOutNobody covers clients that send nothing, or only a
// part, of a TLS handshake.
func TestHandshakesThatNeverEndKeepOutNobody(t *testing.T) {
	t.Parallel()
	_, s, dial := bounded(t, true)
	for i := range 2 * fewUnproven {
		if raw := dial().(*tls.Conn).NetConn(); i%2 == 0 {
			raw.Write([]byte("\x16\x03\x01\x02\x00\x01")) // the beginning of a ClientHello
		}
	}
	if got := s.ask(dial(), "/v1/friends", s.issue("bob")); got != 200 {
		t.Errorf("a client with a token was answered %d next to unfinished handshakes", got)
	}
}

// TestManyClientsConnectAtOnce checks that more clients than the limit of unproven
// connections all get in.
func TestManyClientsConnectAtOnce(t *testing.T) {
	conns, s, dial := bounded(t, false)
	token := s.issue("alice")
	results := make(chan int)
	for range 8 * fewUnproven {
		conn := dial()
		go func() { results <- s.ask(conn, "/v1/friends", token) }()
	}
	for range 8 * fewUnproven {
		if got := <-results; got != 200 {
			t.Errorf("one of many clients that connect at once was answered %d", got)
		}
	}
	if all, unproven := conns.Count(); unproven != 0 {
		t.Errorf("%d of %d connections are unproven, want none", unproven, all)
	}
}

// TestAnIdleConnectionWithoutCredentialsIsClosed checks that it is closed after ten
// seconds, and that a connection with a token is kept.
func TestAnIdleConnectionWithoutCredentialsIsClosed(t *testing.T) {
	t.Parallel() // the test waits for as long as the server
	conns, s, dial := bounded(t, false)
	idle, proven := dial(), dial()
	token := s.issue("alice")
	s.ask(proven, "/v1/friends", token)
	s.ask(idle, "/livez", "")
	began := time.Now()
	if _, err := idle.Read(make([]byte, 1)); err == nil {
		t.Error("the server must send nothing unasked")
	}
	if took := time.Since(began); took > 15*time.Second || took < 5*time.Second {
		t.Errorf("an idle connection without a credential is closed after %s, want 10 s", took)
	}
	if got := s.ask(proven, "/v1/friends", token); got != 200 {
		t.Errorf("an idle connection that has shown a token was answered %d", got)
	}
	until(t, "only the proven connection is left", func() bool { all, unproven := conns.Count(); return all == 1 && unproven == 0 })
}

// TestIdleConnectionsOfOneUserKeepOutNobody checks that the connection that has been
// idle longest is closed.
func TestIdleConnectionsOfOneUserKeepOutNobody(t *testing.T) {
	conns, s, dial := bounded(t, false)
	token := s.issue("alice")
	var dialed []net.Conn
	for range 3 * fewUnproven {
		dialed = append(dialed, dial())
		if got := s.ask(dialed[len(dialed)-1], "/v1/friends", token); got != 200 {
			t.Fatalf("a client with a token was answered %d", got)
		}
	}
	until(t, "few connections are idle", func() bool { all, _ := conns.Count(); return all <= fewUnproven/2 })
	if got := s.ask(dialed[len(dialed)-1], "/v1/friends", token); got != 200 {
		t.Errorf("the connection that was used last was answered %d", got)
	}
	open := 0 // counts connections that have been idle longest; one of them may have become idle late
	for _, conn := range dialed[:fewUnproven] {
		if s.ask(conn, "/v1/friends", token) != 0 {
			open++
		}
	}
	if open > 1 {
		t.Errorf("%d of the %d connections that have been idle longest are open, want them closed", open, fewUnproven)
	}
}

// TestHTTP2ConnectionsProveThemselves checks that the first request with a token
// proves a connection, whatever came before.
func TestHTTP2ConnectionsProveThemselves(t *testing.T) {
	t.Parallel()
	conns, s, dial := bounded(t, true)
	client := &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn := dial().(*tls.Conn)
		over := tls.Client(conn.NetConn(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
		return over, over.HandshakeContext(ctx)
	}}}
	defer client.CloseIdleConnections()
	ask := func(path, token string, unproven int) {
		t.Helper()
		request, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, s.http.URL+"/"+path, nil)
		request.Header.Set("Authorization", "Bearer "+token)
		s.remember(token)
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if _, n := conns.Count(); response.ProtoMajor != 2 || n != unproven {
			t.Errorf("after %s over HTTP/%d, %d connections are unproven, want %d", path, response.ProtoMajor, n, unproven)
		}
	}
	ask("livez", "", 1)
	ask("v1/friends", s.issue("alice"), 0)
	ask("livez", "", 0)
	for range 2 * fewUnproven {
		dial().(*tls.Conn).HandshakeContext(t.Context())
	}
	ask("v1/friends", s.issue("alice"), fewUnproven)
}
