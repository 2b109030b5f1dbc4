// Package sse writes sessions of package presence as responses of Server-Sent
// Events.
//
// The wire writer is r3labs/sse. It is used as a writer only, never as the hub
// that it also is: an event is taken from its session only when r3labs begins to
// write it. So what waits for a slow client stays in the session, where newer
// changes replace older ones.
//
// A response lasts for hours and says little, so what it holds meanwhile is what
// the server needs, and what it costs to wake is what a change costs. Therefore
// a connection of HTTP/1 is taken over from net/http, whose buffers and
// goroutines for it are then free: one is left, to see the client leave. And a
// few loops, each with an r3labs of its own, write to all of these connections,
// none of which they ever wait for: what doesn't go out at once is left to a
// goroutine that ends with it. Where that can't be, with TLS, HTTP/2 and on
// Windows, each response has a loop to itself.
//
//	session ─┐ wake                            ┌→ connection
//	session ─┼──────→ loop → response → r3labs ┼→ connection
//	session ─┘      (ready)  (one event)       └→ connection
package sse

import (
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/presence-server/presence/presence"
)

// Timing says how long a response may take for what.
type Timing struct {
	// WriteTimeout is how long a client may accept nothing of what is sent, or
	// acknowledge nothing, before it counts as gone. A client that is slow but
	// accepts something in each such time is not cut; over TLS and HTTP/2, and
	// where the connection can't be taken over, it has to accept 4 KiB. Zero means
	// no limit.
	WriteTimeout time.Duration

	// Drain is the window over which clients are told to come back after the
	// service has drained, each at its own random moment. Zero: at once.
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

// Serve writes the events of a session until one of them ends: the session, the
// client's side, or the connection. Then it closes the session and calls done:
// with nil after the session has ended by itself, the service has drained, or
// the client has gone; else with why the response was cut short.
//
// Only a session that has ended by itself gives the response a proper end, at
// which several clients stop for good. Otherwise the response breaks off, so that
// the client comes back: Serve then panics with [http.ErrAbortHandler], unless it
// has taken over the connection.
//
// When Serve has taken over the connection it may return before the end; the
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
	if !s.concluded || s.why != nil {
		panic(http.ErrAbortHandler)
	}
}

// Check returns nil if Serve can write to w, the response to r. Otherwise the
// error names what is missing, and where. A middleware has to let a stream's
// writer find one of two methods of net/http's response: Hijack, for HTTP/1, or
// Flush. It does so with a method Unwrap, or has the method itself.
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

func (v *Server) finish(s *stream, done func(error)) {
	s.finish(done)
	v.open.Done()
}

// Wait returns when all responses have ended. No other may begin meanwhile.
func (v *Server) Wait() {
	v.open.Wait()
	v.running.Wait()
}

// loopOf returns the loop that is to write to a connection: as many as there
// are processors share those that can be written without waiting.
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
