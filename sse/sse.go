// Package sse writes the events of a [presence.Session], or of a [presence.Feed], to
// an HTTP response, as Server-Sent Events. [Server.Serve] writes one such response, a stream.
//
// The library r3labs/sse formats the events. Its server, which distributes events to
// clients, is not used: each distinct event is formatted once, into memory, and the
// bytes are written to every stream that sends this event. Events for a slow
// client are not queued here; they wait in the session, where newer changes replace
// older ones.
//
// A stream lasts for hours and sends little. Its cost is therefore the memory that it
// holds, and the time that it takes to wake it when there is a change. To reduce the
// memory, an HTTP/1 connection is taken over from net/http (Hijack), which then frees
// its buffers and goroutines. One goroutine for each stream remains, which waits for
// the client to disconnect. To reduce the time, a few loops, one for each processor,
// write to all of these connections without ever waiting for one: bytes that the
// connection doesn't accept immediately are passed to a goroutine, which ends when they
// are written. Where a connection can't be written without waiting (TLS, HTTP/2,
// Windows), each stream has a loop of its own.
//
//	session ─┐ wake               ┌→ connection
//	session ─┼──────→ loop ───────┼→ connection
//	session ─┘ (ready) │   ↑      └→ connection
//	                   ↓   │ bytes
//	              frames (r3labs)
package sse

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/presence-server/presence/presence"
)

// Timing has the durations that apply to a stream.
type Timing struct {
	// WriteTimeout is how long a client may leave written bytes unaccepted or, on
	// Linux, unacknowledged before its stream is cut. The stream of a slow client
	// continues if the client accepts at least one byte within this time, or 2 KiB
	// over TLS and HTTP/2 and where the connection can't be taken over. Zero means
	// that the stream is never cut.
	WriteTimeout time.Duration

	// Drain is the period within which clients reconnect after the service has
	// drained: each receives a random delay of at most Drain. Zero means that
	// they reconnect immediately.
	Drain time.Duration
}

// Source is where a stream gets its events: a [presence.Session] or a
// [presence.Feed].
type Source interface {
	Poll() (event presence.Event, more bool, err error)
	Notify(func())
	Close()
}

// Server writes streams. The zero value is ready for use. A Server must not be
// copied after its first use; its methods are safe for concurrent use.
type Server struct {
	mu    sync.Mutex
	loops []*loop // shared by the connections that can be written without waiting
	next  int
	open  int           // streams
	none  chan struct{} // closed once open is zero; nil while nobody waits for that

	running sync.WaitGroup // loops
}

// Check returns nil if Serve can write a stream to w, the response to r.
// Otherwise the error names the type that lacks a method. Serve needs Flush or,
// for HTTP/1, Hijack. A middleware that wraps the ResponseWriter must therefore
// have one of these methods itself, or a method Unwrap as described for
// [http.ResponseController]. The ResponseWriter of [http.TimeoutHandler] has none of
// them, so it can't carry a stream.
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

// Serve writes the events of the source to w, the response to r, until the source
// ends or the client disconnects. Then it closes the source and calls done once.
// The error is nil if the source has ended, the service has drained,
// or the client has disconnected. Otherwise it is the reason for which the stream
// was cut; it is [os.ErrDeadlineExceeded] if the client exceeded the write timeout.
//
// If Serve has taken over the connection, it returns immediately, and the stream
// continues; the handler must then return too. Otherwise it returns at the end of
// the stream.
//
// The response ends properly only if the client has no reason to reconnect, because it
// was kicked or its device has opened a newer stream. Otherwise Serve aborts it, for
// which it may panic with [http.ErrAbortHandler]. The client then sees that the
// response is incomplete, and reconnects.
func (v *Server) Serve(w http.ResponseWriter, r *http.Request, source Source, timing Timing, done func(error)) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("Cache-Control", "no-cache, no-transform")
	h.Set("X-Accel-Buffering", "no") // otherwise nginx buffers events
	s := &stream{source: source, timing: timing}
	v.count(1)
	if c := takeOver(w, r); c != nil {
		limit(c.conn, timing.WriteTimeout)
		s.wire, s.loop = c, v.loopOf(c)
		s.start()
		go v.finish(s, done)
		return
	}
	s.wire, s.loop = newHTTPWire(w, r), newLoop(&v.running)
	s.start()
	v.finish(s, done)
	if !s.complete && r.Context().Err() == nil {
		panic(http.ErrAbortHandler)
	}
}

// finish waits until the stream has ended, and counts it as ended.
func (v *Server) finish(s *stream, done func(error)) {
	s.finish(done)
	v.count(-1)
}

func (v *Server) count(n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.open += n; v.open == 0 && v.none != nil {
		close(v.none)
		v.none = nil
	}
}

// Wait waits until all streams have ended, and returns nil. If ctx is done before
// that, it returns the error of ctx, and the streams continue.
func (v *Server) Wait(ctx context.Context) error {
	if none := v.noneOpen(); none != nil {
		select {
		case <-none:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	v.running.Wait() // loops without streams end immediately
	return nil
}

// noneOpen returns a channel that is closed once no stream is open, or nil if none
// is open now.
func (v *Server) noneOpen() <-chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.open > 0 && v.none == nil {
		v.none = make(chan struct{})
	}
	return v.none
}

// loopOf returns the loop for a connection: one of the shared loops, of which there
// are as many as processors, if the connection can be written without waiting;
// otherwise a new one.
func (v *Server) loopOf(c *connWire) *loop {
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
