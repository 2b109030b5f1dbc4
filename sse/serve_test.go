package sse_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/presence-server/presence/deploy/testserver"
	"github.com/presence-server/presence/presence"
	"github.com/presence-server/presence/sse"
	r3labs "github.com/r3labs/sse/v2"
)

// served is a service whose users have one stream each at /USER.
type served struct {
	t       *testing.T
	svc     *presence.Service
	writer  sse.Server
	timing  sse.Timing
	address string
	tls     *tls.Config // nil means plain HTTP
}

func serve(t *testing.T) *served { return serveWith(t, (*httptest.Server).Start) }

func serveWith(t *testing.T, start func(*httptest.Server)) *served {
	settings := presence.DefaultSettings()
	settings.CustomStatusBytes = 1 << 16
	settings.BatchWindow = time.Millisecond
	settings.DevicesPerPlatform = 100
	svc, err := presence.Open(t.Context(), presence.Config{Path: filepath.Join(t.TempDir(), "presence.db"), Settings: &settings})
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
		v.writer.Wait(context.Background())
		server.Close()
		if err := svc.Close(); err != nil {
			t.Error(err)
		}
	})
	return v
}

func (v *served) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	device := presence.Device{UserID: strings.TrimPrefix(r.URL.Path, "/")}
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		device.Resume = true
		device.Cursor, _ = strconv.ParseInt(last, 10, 64)
	}
	session, err := v.svc.Connect(r.Context(), device)
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
	*testserver.Stream
}

func (v *served) register(userIDs ...string) {
	if _, err := v.svc.Import(v.t.Context(), userIDs); err != nil {
		v.t.Fatal(err)
	}
}

// open opens a user's stream, and returns when it is READY.
func (v *served) open(userID string) *reader {
	conn, err := net.Dial("tcp", v.address)
	if err != nil {
		v.t.Fatal(err)
	}
	if v.tls != nil {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) // the certificate is our own, and the client offers only HTTP/1.1
	}
	v.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprintf(conn, "GET /%s HTTP/1.1\r\nHost: test\r\n\r\n", userID)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		v.t.Fatal(err)
	}
	r := &reader{conn, testserver.Read(response.Body)}
	if e, err := r.Next(); err != nil || e.Type != "READY" {
		v.t.Fatalf("the first event is %q, %v", e.Raw, err)
	}
	return r
}

// version returns the version of a user's status in the next event that has one. A
// part of an event that was lost or repeated is an error.
func (r *reader) version(userID string) (int64, error) {
	for {
		r.Conn.SetDeadline(time.Now().Add(time.Minute)) // for this event alone: with the race detector 200 may take longer
		e, err := r.Next()
		if err != nil {
			return 0, err
		}
		all, err := e.Statuses()
		if err != nil {
			return 0, err
		}
		for _, s := range all {
			if s.UserID == userID {
				return s.Version, nil
			}
		}
	}
}

// Close closes the connection.
func (r *reader) Close() { r.Conn.Close() }

// follow reads until a version has arrived. Versions must grow.
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

// TestOneThatStopsReading covers shared loops. One client that stops reading must
// delay nobody, which is promise 9. When it reads again, it receives the rest of the
// event that was interrupted when its buffers were full, and then the last.
func TestOneThatStopsReading(t *testing.T) {
	v := serve(t)
	v.timing.WriteTimeout = time.Hour // on a busy machine the others may need more than a minute, and this one must not be cut
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
	for i := range 200 { // 60 KB each: more than any buffer holds
		var err error
		if last, err = v.svc.Set(t.Context(), "star", fmt.Sprint(i, strings.Repeat(" long", 12_000)), 0); err != nil {
			t.Fatal(err)
		}
		for _, r := range readers[1:] {
			if err := r.follow("star", last.Version); err != nil {
				t.Fatalf("promise 9: a client that reads, next to one that doesn't: %v", err)
			}
		}
	}
	if err := readers[0].follow("star", last.Version); err != nil {
		t.Errorf("promise 3: a client that reads again after a while: %v", err)
	}
}

// TestNothingIsLeft checks promise 10 for loops that are shared and for loops that are
// not, and that loops start again.
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
				v.writer.Wait(t.Context())
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

// TestALoopEndsAfterAnyNumberOfEvents checks this together with the r3labs server that
// the loop has started.
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
			v.writer.Wait(context.Background())
			close(ended)
		}()
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Fatalf("the loop has not ended after %d events", n)
		}
	}
}

// TestWaitIsBounded checks that Wait returns with its context while a stream is open,
// and otherwise waits for the end of that stream.
func TestWaitIsBounded(t *testing.T) {
	v := serve(t)
	v.register("alice")
	alice := v.open("alice")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := v.writer.Wait(ctx); err != context.Canceled {
		t.Errorf("with an open stream Wait returns %v, want %v", err, context.Canceled)
	}
	alice.Close()
	if err := v.writer.Wait(t.Context()); err != nil {
		t.Errorf("Wait returns %v", err)
	}
	if err := v.writer.Wait(ctx); err != nil {
		t.Errorf("without a stream Wait returns %v", err)
	}
}

// never is the policy of a client that doesn't reconnect.
type never struct{}

func (never) NextBackOff() time.Duration { return -1 }
func (never) Reset()                     {}

// TestTheClientOfR3labsReadsASnapshot checks this because the client reads lines of at
// most 64 KiB.
func TestTheClientOfR3labsReadsASnapshot(t *testing.T) {
	v := serve(t)
	friends := make([]string, 3000)
	for i := range friends {
		friends[i] = fmt.Sprint("friend-", i)
	}
	v.register(append(friends, "alice")...)
	if failed, err := v.svc.AddFriends(t.Context(), "alice", friends, false); err != nil || failed != nil {
		t.Fatal(failed, err)
	}
	var setting sync.WaitGroup
	for i := range 8 { // concurrently, so that they share commits
		setting.Go(func() {
			for _, id := range friends[i*375 : i*375+375] {
				text := strings.Repeat("long \u2028", 100)
				for err := error(presence.ErrOverloaded); errors.Is(err, presence.ErrOverloaded); {
					_, err = v.svc.Set(t.Context(), id, text, 0)
				}
			}
		})
	}
	setting.Wait()
	client := r3labs.NewClient("http://" + v.address + "/alice")
	client.LastEventID.Store([]byte("0"))
	client.ReconnectStrategy = never{}
	ready, seen := 0, make(map[string]bool)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := client.SubscribeRawWithContext(ctx, func(e *r3labs.Event) {
		if string(e.Event) == "READY" {
			ready++
		}
		for _, part := range strings.Split(string(e.Data), `"userID":"friend-`)[1:] {
			number, _, _ := strings.Cut(part, `"`)
			seen[number] = true
		}
		if len(seen) == len(friends) {
			cancel()
		}
	})
	if len(seen) != len(friends) || ready != 1 {
		t.Errorf("%d of %d friends came in %d streams: %v", len(seen), len(friends), ready, err)
	}
}
