package httpapi_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestShutdown checks that streams end so that their clients reconnect, and that a
// request in progress is waited for.
func TestShutdown(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	s := newServer(t, behind(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v1/subscriptions" {
				close(entered)
				<-leave
			}
			next.ServeHTTP(w, r)
		})
	}))
	st := s.user("alice").stream().ready()
	answered := make(chan *answer)
	bob := s.user("bob")
	go func() { answered <- bob.get("/v1/subscriptions") }()
	<-entered
	ended := make(chan error)
	go func() { ended <- s.api.Shutdown(t.Context(), s.http.Config) }()
	if e := st.next(); e.Retry == "" {
		t.Errorf("draining sends a retry, but %q arrived", e.Raw)
	}
	st.breaksOff("Shutdown ends a stream")
	until(t, "the server no longer listens", func() bool {
		conn, err := net.Dial("tcp", s.http.Listener.Addr().String())
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	select {
	case err := <-ended:
		t.Errorf("Shutdown doesn't wait for a request in progress: %v", err)
	default:
	}
	close(leave)
	if a := <-answered; a.status != http.StatusOK {
		t.Errorf("a request in progress was answered %d", a.status)
	}
	if err := <-ended; err != nil {
		t.Errorf("Shutdown returns %v", err)
	}
	s.counts("presence_streams 0")
}

// TestShutdownIsBounded checks that a request that never ends is cut off when the
// context is done, and that later calls are refused.
func TestShutdownIsBounded(t *testing.T) {
	entered := make(chan struct{})
	s := newServer(t, func(o *options) {
		o.serve = func(w *httptest.Server) {
			next := w.Config.Handler
			w.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/never" {
					close(entered)
					<-r.Context().Done()
				}
				next.ServeHTTP(w, r)
			})
			w.Start()
		}
	})
	conn, err := net.Dial("tcp", s.http.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET /never HTTP/1.1\r\nHost: x\r\n\r\n")
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.api.Shutdown(ctx, s.http.Config); err == nil {
		t.Error("Shutdown reports no error for a request that was cut off")
	}
	if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err == nil {
		t.Error("a request that never ends was answered after Shutdown")
	}
}

// heldLog is a log that blocks on the line about the end of a stream until it is
// released.
type heldLog struct{ released chan struct{} }

func (l heldLog) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte("stream ended")) {
		<-l.released
	}
	return len(line), nil
}

// TestShutdownWaitsForStreams checks that it waits until they have ended, or the
// context is done.
func TestShutdownWaitsForStreams(t *testing.T) {
	held := heldLog{make(chan struct{})}
	s := newServer(t, func(o *options) {
		o.config.Logger = slog.New(slog.NewTextHandler(held, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	s.user("alice").stream().ready()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.api.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("with a stream that has not ended Shutdown returns %v, want %v", err, context.Canceled)
	}
	close(held.released)
	if err := s.api.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown returns %v", err)
	}
}
