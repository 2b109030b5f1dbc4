package webhook

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/presence-server/presence/presence"
)

// listen serves each connection of a real socket, and returns a URL with a secret.
func listen(t *testing.T, serve func(*net.TCPConn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serve(conn.(*net.TCPConn))
		}
	}()
	return fmt.Sprintf("http://%s/hook?token=geheim", l.Addr())
}

// responses returns a handler that writes the same bytes to each request, after it has
// read the header.
func responses(header, body string, times int) func(*net.TCPConn) {
	return func(conn *net.TCPConn) {
		defer conn.Close()
		in := bufio.NewReader(conn)
		for line := "-"; line != "\r\n"; {
			var err error
			if line, err = in.ReadString('\n'); err != nil {
				return
			}
		}
		io.WriteString(conn, header)
		for range times {
			if _, err := io.WriteString(conn, body); err != nil {
				return
			}
		}
	}
}

// hostile returns URLs whose servers don't receive messages as they should.
func hostile(t *testing.T, redirects *atomic.Int32) map[string]struct{ url, failing string } {
	var itself string
	redirecting := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		redirects.Add(1)
		http.Redirect(w, r, itself, http.StatusTemporaryRedirect)
	}))
	t.Cleanup(redirecting.Close)
	itself = redirecting.URL + "/hook?token=geheim"
	tls := httptest.NewUnstartedServer(http.NotFoundHandler())
	tls.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	tls.StartTLS()
	t.Cleanup(tls.Close)
	megabyte := strings.Repeat("geheim..", 1<<17)
	return map[string]struct{ url, failing string }{
		"hangs":     {listen(t, func(conn *net.TCPConn) { io.Copy(io.Discard, conn) }), ""},
		"hangs TLS": {strings.Replace(listen(t, func(conn *net.TCPConn) { io.Copy(io.Discard, conn) }), "http:", "https:", 1), ""},
		"redirects": {itself, "the response is 307 Temporary Redirect, and redirects are not followed"},
		"resets": {listen(t, func(conn *net.TCPConn) {
			conn.SetLinger(0)
			conn.Read(make([]byte, 1))
			conn.Close()
		}), "connection reset by peer"},
		"closes":         {listen(t, responses("", "", 0)), "the connection was closed before a response arrived"},
		"no name":        {"http://user:geheim@no-such-name.invalid/hook?geheim", "no-such-name.invalid"},
		"not listening":  {"http://127.0.0.1:1/hook?geheim", "connection refused"},
		"gigabytes":      {listen(t, responses("HTTP/1.1 500 x\r\nContent-Length: 99999999999\r\n\r\n", megabyte, 2000)), "the response is 500 Internal Server Error"},
		"a long header":  {listen(t, responses("HTTP/1.1 200 x\r\n", "X: "+megabyte+"\r\n", 100)), "the response is not valid HTTP"},
		"echoes":         {listen(t, func(conn *net.TCPConn) { io.Copy(conn, conn) }), "the response is not valid HTTP"},
		"a reason":       {listen(t, responses("HTTP/1.1 599 geheim\r\n\r\n", "", 0)), "the response is 599"},
		"no certificate": {tls.URL + "/hook?geheim", "certificate"},
		"no TLS":         {strings.Replace(redirecting.URL, "http:", "https:", 1), "the server doesn't speak TLS"},
	}
}

// TestHostileURLs checks that each URL is retried by the rule, delays no other, costs
// bounded memory and leaves nothing behind, and that no log and no state contains its
// secrets.
func TestHostileURLs(t *testing.T) {
	var redirects atomic.Int32
	urls := hostile(t, &redirects)
	svc, err := presence.Open(context.Background(), presence.Config{Path: filepath.Join(t.TempDir(), "presence.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer svc.Close()
	var log safeBuffer
	s := New(svc, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	received := make(chan string)
	good := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		received <- string(body)
	}))
	defer good.Close()
	config := Config{URLs: []string{good.URL}, Secret: secret}
	for _, test := range urls {
		config.URLs = append(config.URLs, test.url)
	}
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	svc.Import(t.Context(), []string{"alice"})
	if err := s.Configure(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	wait(t, "the feeds are open", func() bool { return svc.Metrics().Streams == len(config.URLs) })
	began := time.Now()
	for i := range 20 {
		text := fmt.Sprint("text ", i)
		if _, err := svc.Set(t.Context(), "alice", text, 0); err != nil {
			t.Fatal(err)
		}
		if body := <-received; !strings.Contains(body, text) {
			t.Errorf("got %s, want %s", body, text)
		}
	}
	if took := time.Since(began); took > 9*time.Second {
		t.Errorf("a URL that works is delayed by others: %v", took)
	}
	for name, test := range urls {
		of := func() State { return s.States()[indexOf(config.URLs, test.url)] }
		if test.failing != "" {
			wait(t, name+" is retried", func() bool { return of().Failed >= 2 })
		}
		if state := of(); !strings.Contains(state.Failing, test.failing) || state.Sent > 0 || state.Behind == 0 {
			t.Errorf("%s: %+v, want %q", name, state, test.failing)
		}
		if state := fmt.Sprint(of()); strings.Contains(state, "geheim") {
			t.Errorf("%s: a secret is in the state: %s", name, state)
		}
	}
	if n := redirects.Load(); uint64(n) > s.States()[indexOf(config.URLs, urls["redirects"].url)].Failed+1 {
		t.Errorf("a URL that redirects received %d requests", n)
	}
	s.Close()
	s.Close()
	wait(t, "no goroutine is left", func() bool {
		return !strings.Contains(goroutines(), "(*Transport)") && !strings.Contains(goroutines(), "webhook.(*")
	})
	if text := log.String(); strings.Contains(text, "geheim") || strings.Contains(text, "text 1") {
		t.Errorf("the log has a secret or a body:\n%s", text)
	}
}

func indexOf(all []string, one string) int {
	for i, s := range all {
		if s == one {
			return i
		}
	}
	return -1
}

// goroutines returns the stacks of all goroutines.
func goroutines() string {
	stacks := make([]byte, 1<<20)
	return string(stacks[:runtime.Stack(stacks, true)])
}

// wait waits until a condition is true.
func wait(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !condition(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("never true: %s\n%s", what, goroutines())
		}
	}
}

// safeBuffer collects a log that is read while it is written.
type safeBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *safeBuffer) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(line)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// TestGigabytesAreNotRead checks that only the beginning of a response with status 200
// is read, and that the message counts as received.
func TestGigabytesAreNotRead(t *testing.T) {
	var written atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for piece := make([]byte, 1<<20); ; {
			n, err := w.Write(piece)
			if written.Add(int64(n)); err != nil {
				return
			}
		}
	}))
	response, err := Test(t.Context(), server.URL, secret)
	server.Close()
	if err != nil || response.Status != 200 || len(response.Body) != maxResponse {
		t.Errorf("got %d with %d bytes, %v", response.Status, len(response.Body), err)
	}
	if n := written.Load(); n > 64<<20 {
		t.Errorf("%d bytes of the response were accepted", n)
	}
}

// TestConnectionsAreReused checks this, and that a connection that the server has
// closed in the meantime isn't a failure.
func TestConnectionsAreReused(t *testing.T) {
	var opened atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "thanks") }))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	client := newClient(t.Context(), new(net.Dialer).DialContext)
	key, _ := decodeSecret(secret)
	for i := range 6 {
		if i == 3 {
			server.CloseClientConnections()
		}
		if _, err := post(t.Context(), client, server.URL, key, newMessage(nil, time.Now())); err != nil {
			t.Fatal(err)
		}
	}
	if n := opened.Load(); n != 2 {
		t.Errorf("%d connections were opened, want 2", n)
	}
}
