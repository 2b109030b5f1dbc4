// Package sse writes sessions of package presence as responses of Server-Sent
// Events.
//
// The wire writer is r3labs/sse. It is used as a writer only, never as the hub
// that it also is: it formats each distinct event once, into memory, and those
// bytes are written to every stream that sends the event. What waits for a slow
// client stays in the session, where newer changes replace older ones.
//
// A response lasts for hours and sends little, so what it costs is what it holds
// meanwhile, and what it takes to wake it for a change. Therefore a connection
// of HTTP/1 is taken over from net/http, whose buffers and goroutines for it are
// then free: one goroutine is left, to see the client leave. And a few loops
// write to all of these connections, none of which they ever wait for: what
// can't be sent at once is left to a goroutine that ends with it. Where a
// connection can't be written without waiting (TLS, HTTP/2, Windows), each
// response has a loop to itself.
//
//	session ─┐ wake               ┌→ connection
//	session ─┼──────→ loop ───────┼→ connection
//	session ─┘ (ready) │   ↑      └→ connection
//	                   ↓   │ bytes
//	              frames (r3labs)
package sse

import (
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/presence-server/presence/presence"
)

// Timing limits how long a response waits for its client.
type Timing struct {
	// WriteTimeout is for how long a client may accept nothing of what is
	// written, or acknowledge nothing, before it counts as gone. A client that
	// is slow but accepts something in each such time is not cut; over TLS and
	// HTTP/2, and where the connection can't be taken over, it has to accept
	// 2 KiB. Zero means forever.
	WriteTimeout time.Duration

	// Drain is the window over which clients come back after the service has
	// drained: each is sent a random moment of it. Zero means at once.
	Drain time.Duration
}

// Server writes sessions. The zero value is ready for use.
type Server struct {
	mu    sync.Mutex
	loops []*loop // of the connections that are never waited for
	next  int

	open    sync.WaitGroup // streams
	running sync.WaitGroup // loops
}

// Check returns nil if Serve can write to w, the response to r. Otherwise the
// error names what is missing, and where. A middleware has to let a stream's
// writer find one of two methods of net/http's response: Hijack, for HTTP/1, or
// Flush. It does so with a method Unwrap, or has the method itself.
// http.TimeoutHandler has neither.
func Check(w http.ResponseWriter, r *http.Request) error {
	for {
		switch w.(type) {
		case http.Flusher, interface{ FlushError() error }:
			return nil
		case http.Hijacker:
			if r.ProtoMajor == 1 {
				return nil
			}
		}
		outer, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return fmt.Errorf("the response writer %T has neither Flush (http.Flusher) nor Unwrap, so events can't be sent through it", w)
		}
		w = outer.Unwrap()
	}
}

// Serve writes the events of a session until one of them ends: the session, the
// client's side, or the connection. Then it closes the session and calls done:
// with nil after the session has ended by itself, the service has drained, or
// the client has gone; otherwise with the reason why the response was cut short.
//
// The response is complete only if the client has no reason to come back: it was
// kicked, or its device has opened a newer stream. Otherwise it is aborted, so
// that clients can tell the difference; Serve may panic with
// [http.ErrAbortHandler] for this.
//
// Serve may return before the end, when it has taken over the connection; the
// handler must then return too.
func (v *Server) Serve(w http.ResponseWriter, r *http.Request, session *presence.Session, timing Timing, done func(error)) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("Cache-Control", "no-cache, no-transform")
	h.Set("X-Accel-Buffering", "no") // nginx would keep events back
	s := &stream{session: session, timing: timing}
	v.open.Add(1)
	if c := takeOver(w, r); c != nil {
		limit(c.conn, timing.WriteTimeout)
		s.wire, s.loop = c, v.loopOf(c)
		s.start()
		go v.finish(s, done)
		return
	}
	s.wire, s.loop = lend(w, r), newLoop(&v.running)
	s.start()
	v.finish(s, done)
	if !s.complete && r.Context().Err() == nil {
		panic(http.ErrAbortHandler)
	}
}

func (v *Server) finish(s *stream, done func(error)) {
	s.finish(done)
	v.open.Done()
}

// Wait returns when all responses have ended. No other may begin meanwhile.
func (v *Server) Wait() {
	v.open.Wait()
	v.running.Wait()
}

// loopOf returns the loop that writes to a connection. As many loops as there are
// processors share the connections that can be written without waiting.
func (v *Server) loopOf(c *taken) *loop {
	if c.raw == nil {
		return newLoop(&v.running)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.loops == nil {
		for range runtime.GOMAXPROCS(0) {
			v.loops = append(v.loops, newLoop(&v.running))
		}
	}
	v.next++
	return v.loops[v.next%len(v.loops)]
}
