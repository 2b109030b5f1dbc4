// Package sse writes one session of package presence as one response of
// Server-Sent Events.
//
// The wire writer is r3labs/sse. It is used as a writer only, never as the hub
// that it also is: each response has a server and a stream of its own, and an
// event is taken from the session only when r3labs begins to write it. So what
// waits for a slow client stays in the session, where newer changes replace
// older ones.
//
// A response lasts for hours and says little, so what it holds meanwhile is
// what the server needs. A connection of HTTP/1 is therefore taken over from
// net/http, whose buffers and goroutines for it are then free (takeOver); only
// a stream of HTTP/2 stays with it.
package sse

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/presence-server/presence/presence"
	"github.com/r3labs/sse/v2"
)

// Timing says how long a response may take for what.
type Timing struct {
	// WriteTimeout is how long one write may be stuck, or stay without an
	// acknowledgement, before the client counts as gone, or up to a quarter
	// longer. Zero: forever.
	WriteTimeout time.Duration

	// Drain is the window over which clients are told to come back after the
	// service has drained, each at its own random moment. Zero: at once.
	Drain time.Duration
}

// Serve writes the events of a session until one of them ends: the session, the
// client's side, or the connection. Then it closes the session and calls done:
// with nil after the session has ended by itself, the service has drained, or
// the client has gone; else with why the response was cut short.
//
// Serve may return before that, when it has taken over the connection; the
// handler must then return too.
func Serve(w http.ResponseWriter, r *http.Request, session *presence.Session, timing Timing, done func(error)) {
	if c := takeOver(w, r, timing.WriteTimeout); c != nil {
		ctx, cancel := context.WithCancelCause(context.Background())
		go c.watch(cancel)
		go func() {
			err := serve(ctx, cancel, c, session, timing)
			c.close()
			session.Close()
			done(err)
		}()
		return
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	err := serve(ctx, cancel, newLent(w), session, timing)
	session.Close()
	done(err)
}

// serve writes the events to a wire.
func serve(ctx context.Context, cancel context.CancelCauseFunc, to wire, session *presence.Session, timing Timing) error {
	out := &response{
		wire:    to,
		timing:  timing,
		ctx:     ctx,
		cancel:  cancel,
		session: session,
		server:  sse.New(),
		event:   sse.Event{Data: []byte("-")}, // r3labs takes an empty one for the end
		stock:   1,
	}
	removed := make(chan struct{})
	out.server.AutoReplay = false
	out.server.BufferSize = 4
	out.server.OnUnsubscribe = func(id string, _ *sse.Subscriber) {
		out.server.RemoveStream(id)
		close(removed)
	}
	out.server.CreateStream(streamID)
	out.server.ServeHTTP(out, request(ctx))

	cancel(nil) // r3labs lets a subscriber go only when the request is done
	<-removed
	if cause := context.Cause(ctx); cause != context.Canceled {
		return cause
	}
	return nil
}

const streamID = "session"

// request is what r3labs gets to see: of the client's request it would take
// the stream's name, and a cursor, which it wants to be small.
func request(ctx context.Context) *http.Request {
	r := &http.Request{URL: &url.URL{RawQuery: "stream=" + streamID}}
	return r.WithContext(ctx)
}
