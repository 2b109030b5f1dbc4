//go:build unix

package sse_test

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/presence-server/presence/presence"
	"github.com/presence-server/presence/sse"
)

// served is a service whose users have one stream each at /USER.
type served struct {
	t       *testing.T
	svc     *presence.Service
	writer  sse.Server
	timing  sse.Timing
	address string
	tls     *tls.Config // nil: without

	dial func(network, address string, c syscall.RawConn) error // as net.Dialer.Control
}

func serve(t *testing.T) *served { return serveWith(t, (*httptest.Server).Start) }

func serveWith(t *testing.T, start func(*httptest.Server)) *served {
	settings := presence.DefaultSettings()
	settings.CustomStatusBytes = 1 << 16
	settings.BatchWindow = time.Millisecond
	settings.DevicesPerPlatform = 100
	svc, err := presence.Open(presence.Config{Path: filepath.Join(t.TempDir(), "presence.db"), Settings: &settings})
	if err != nil {
		t.Fatal(err)
	}
	v := &served{t: t, svc: svc, timing: sse.Timing{WriteTimeout: time.Minute}}
	server := httptest.NewUnstartedServer(v)
	start(server)
	v.address = server.Listener.Addr().String()
	v.tls = server.TLS
	t.Cleanup(func() {
		svc.Drain()
		v.writer.Wait()
		server.Close()
		if err := svc.Close(); err != nil {
			t.Error(err)
		}
	})
	return v
}

func (v *served) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	session, err := v.svc.Connect(r.Context(), presence.Device{UserID: strings.TrimPrefix(r.URL.Path, "/")})
	if err != nil {
		v.t.Error(err)
		return
	}
	v.writer.Serve(w, r, session, v.timing, func(err error) {
		if err != nil {
			v.t.Errorf("a stream was cut: %v", err)
		}
	})
}

// reader is the client's side of a stream.
type reader struct {
	net.Conn
	response *http.Response
	lines    *bufio.Scanner
}

func (v *served) register(userIDs ...string) {
	if _, err := v.svc.Import(v.t.Context(), userIDs); err != nil {
		v.t.Fatal(err)
	}
}

// open opens a user's stream, and returns when it is READY.
func (v *served) open(userID string) *reader {
	dialer := net.Dialer{Control: v.dial}
	conn, err := dialer.DialContext(v.t.Context(), "tcp", v.address)
	if err != nil {
		v.t.Fatal(err)
	}
	if v.tls != nil {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) // it is our own, and offers HTTP/1.1 only
	}
	v.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprintf(conn, "GET /%s HTTP/1.1\r\nHost: test\r\n\r\n", userID)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		v.t.Fatal(err)
	}
	r := &reader{conn, response, bufio.NewScanner(response.Body)}
	r.lines.Buffer(nil, 1<<20)
	for r.lines.Scan() && r.lines.Text() != "event: READY" {
	}
	return r
}

// version returns the last version of a user in the next event that tells one.
// Whatever isn't a line of an event, as a lost or repeated piece would give, is
// an error.
func (r *reader) version(userID string) (int64, error) {
	for r.lines.Scan() {
		name, value, _ := strings.Cut(r.lines.Text(), ": ")
		switch name {
		case "id", "event", "":
			continue
		case "data":
		default:
			return 0, fmt.Errorf("not a line of a stream: %.80q", r.lines.Text())
		}
		var all []presence.Status
		if strings.HasPrefix(value, "[") {
			if err := json.Unmarshal([]byte(value), &all); err != nil {
				return 0, fmt.Errorf("%w in %.80q", err, value)
			}
		}
		for _, s := range all {
			if s.UserID == userID {
				return s.Version, nil
			}
		}
	}
	return 0, fmt.Errorf("the stream has ended: %w", r.lines.Err())
}

// follow reads until a version has come. They must grow.
func (r *reader) follow(userID string, until int64) error {
	for last := int64(0); last < until; {
		version, err := r.version(userID)
		if err != nil {
			return err
		}
		if version <= last {
			return fmt.Errorf("version %d after %d", version, last)
		}
		last = version
	}
	return nil
}

// TestOneThatStopsReading: loops are shared, so one client that stops reading
// must delay nobody, which is promise 9; and when it reads on, it gets the rest
// of the event that was cut where its buffers were full, and then the last.
func TestOneThatStopsReading(t *testing.T) {
	v := serve(t)
	watchers := []string{"stuck"}
	for i := range 4 * runtime.GOMAXPROCS(0) {
		watchers = append(watchers, fmt.Sprint("reader-", i))
	}
	v.register(append(watchers, "star")...)
	var readers []*reader
	for _, w := range watchers {
		if _, err := v.svc.AddFriends(t.Context(), w, []string{"star"}, false); err != nil {
			t.Fatal(err)
		}
		readers = append(readers, v.open(w))
	}
	var last presence.Status
	for i := range 200 { // of 60 KB: more than any buffer takes
		var err error
		if last, err = v.svc.Set(t.Context(), "star", fmt.Sprint(i, strings.Repeat(" long", 12_000)), 0); err != nil {
			t.Fatal(err)
		}
		for _, r := range readers[1:] {
			if err := r.follow("star", last.Version); err != nil {
				t.Fatalf("promise 9: one that reads, beside one that doesn't: %v", err)
			}
		}
	}
	if err := readers[0].follow("star", last.Version); err != nil {
		t.Errorf("promise 3: one that reads on after a while: %v", err)
	}
}

// TestNothingIsLeft: promise 10, for loops that are shared and for those that
// are not; and that they begin again.
func TestNothingIsLeft(t *testing.T) {
	for name, start := range map[string]func(*httptest.Server){
		"shared": (*httptest.Server).Start, "not shared": (*httptest.Server).StartTLS,
	} {
		t.Run(name, func(t *testing.T) {
			v := serveWith(t, start)
			v.register("alice")
			before := runtime.NumGoroutine()
			for range 3 {
				var readers []*reader
				for range 20 {
					readers = append(readers, v.open("alice"))
				}
				for _, r := range readers {
					r.Close()
				}
				v.writer.Wait()
				for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; {
					if time.Now().After(end) {
						t.Fatalf("promise 10: %d goroutines are left of 20 streams", runtime.NumGoroutine()-before)
					}
					runtime.Gosched()
				}
			}
		})
	}
}

// TestALoopEndsAfterAnyNumberOfEvents: with the r3labs that it has started.
func TestALoopEndsAfterAnyNumberOfEvents(t *testing.T) {
	v := serve(t)
	v.register("alice")
	for n := range 40 {
		alice := v.open("alice")
		for i := range n {
			last, err := v.svc.Set(t.Context(), "alice", fmt.Sprint(n, i), 0)
			if err != nil {
				t.Fatal(err)
			}
			if err := alice.follow("alice", last.Version); err != nil {
				t.Fatal(err)
			}
		}
		alice.Close()
		ended := make(chan struct{})
		go func() {
			v.writer.Wait()
			close(ended)
		}()
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Fatalf("the loop has not ended after %d events", n)
		}
	}
}

// TestOnlyAKickCompletesAResponse: several clients stop for good at what looks
// like a proper end, so any other end has to look like a broken connection.
func TestOnlyAKickCompletesAResponse(t *testing.T) {
	for name, start := range map[string]func(*httptest.Server){
		"HTTP/1.1": (*httptest.Server).Start, "TLS": (*httptest.Server).StartTLS,
	} {
		t.Run(name, func(t *testing.T) {
			v := serveWith(t, start)
			v.register("alice", "bob")
			kicked, drained := v.open("alice"), v.open("bob")
			if got := kicked.response.TransferEncoding; !slices.Equal(got, []string{"chunked"}) {
				t.Errorf("the transfer encoding is %q, want chunked", got)
			}
			if got := kicked.response.Header.Get("Content-Type"); got != "text/event-stream; charset=utf-8" {
				t.Errorf("the type is %q", got)
			}
			if err := v.svc.Logout(t.Context(), "alice", ""); err != nil {
				t.Fatal(err)
			}
			if err := kicked.rest(); err != nil {
				t.Errorf("after KICKED_OUT the response ends with %v, want a complete one", err)
			}
			v.svc.Drain()
			if err := drained.rest(); err != io.ErrUnexpectedEOF {
				t.Errorf("at a stop the response ends with %v, want %v", err, io.ErrUnexpectedEOF)
			}
		})
	}
}

// rest reads to the end, and returns nil if the response is complete.
func (r *reader) rest() error {
	for r.lines.Scan() {
	}
	return r.lines.Err()
}

// TestHTTP10HasNoChunks: its clients don't know them.
func TestHTTP10HasNoChunks(t *testing.T) {
	v := serve(t)
	v.register("alice")
	conn, err := net.Dial("tcp", v.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprint(conn, "GET /alice HTTP/1.0\r\n\r\n")
	lines := bufio.NewScanner(conn)
	for lines.Scan() && lines.Text() != "" {
		if strings.HasPrefix(lines.Text(), "Transfer-Encoding") {
			t.Errorf("a client of HTTP/1.0 gets %q", lines.Text())
		}
	}
	if lines.Scan(); !strings.HasPrefix(lines.Text(), "id: ") {
		t.Errorf("the body begins with %q, want an event", lines.Text())
	}
}

// TestASlowReaderIsNotCut: a deadline is renewed as long as the client accepts
// something. This one takes several times WriteTimeout for an event.
func TestASlowReaderIsNotCut(t *testing.T) {
	v := serve(t)
	v.timing.WriteTimeout = 500 * time.Millisecond
	v.dial = func(_, _ string, c syscall.RawConn) error { // a small window, so that the kernel reports progress often
		return c.Control(func(fd uintptr) { syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 8<<10) })
	}
	v.register("alice")
	alice := v.open("alice")
	var last presence.Status
	for i := range 40 { // 64 KiB each: conflated, or more than the buffers take
		var err error
		if last, err = v.svc.Set(t.Context(), "alice", fmt.Sprint(i, strings.Repeat("x", 65_000)), 0); err != nil {
			t.Fatal(err)
		}
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	slow := bufio.NewScanner(readerFunc(func(p []byte) (int, error) {
		<-tick.C
		return alice.response.Body.Read(p[:min(len(p), 512)])
	}))
	slow.Buffer(nil, 1<<20)
	alice.lines = slow
	if err := alice.follow("alice", last.Version); err != nil {
		t.Errorf("promise 3: a reader that is slow, but reads: %v", err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
