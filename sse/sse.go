// Package sse writes one session of package presence as one response of
// Server-Sent Events.
//
// The wire writer is r3labs/sse. It is used as a writer only, never as the hub
// that it also is: each response has a server and a stream of its own, and an
// event is taken from the session only when r3labs begins to write it. So what
// waits for a slow client stays in the session, where newer changes replace
// older ones.
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
	// WriteTimeout is how long one write may be stuck before the client
	// counts as gone. Zero: forever.
	WriteTimeout time.Duration

	// Drain is the window over which clients are told to come back after the
	// service has drained, each at its own random moment. Zero: at once.
	Drain time.Duration
}

// Serve writes the events of a session until one of them ends: the session, the
// request, or the connection. It returns nil after the session has ended by
// itself or the service has drained, else why the response was cut short.
// Closing the session is left to the caller.
func Serve(w http.ResponseWriter, r *http.Request, session *presence.Session, timing Timing) error {
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	out := &response{
		ResponseWriter: w,
		control:        http.NewResponseController(w),
		lasting:        r.ProtoMajor == 1,
		timing:         timing,
		ctx:            ctx,
		cancel:         cancel,
		session:        session,
		server:         sse.New(),
		event:          sse.Event{Data: []byte("-")}, // r3labs takes an empty one for the end
		stock:          1,
	}
	removed := make(chan struct{})
	out.server.AutoReplay = false
	out.server.BufferSize = 4
	out.server.OnUnsubscribe = func(id string, _ *sse.Subscriber) {
		out.server.RemoveStream(id)
		close(removed)
	}
	out.server.CreateStream(streamID)
	out.control.SetWriteDeadline(time.Time{}) // the server's own is for answers
	out.server.ServeHTTP(out, ownRequest(ctx, r))

	cancel(nil) // r3labs lets a subscriber go only when the request is done
	<-removed
	out.control.SetWriteDeadline(time.Time{}) // the connection may go on
	if cause := context.Cause(ctx); cause != context.Canceled {
		return cause
	}
	return nil
}

const streamID = "session"

// ownRequest hides from r3labs what it would take from the client's request:
// the stream's name, and a cursor, which it wants to be small.
func ownRequest(ctx context.Context, r *http.Request) *http.Request {
	own := r.WithContext(ctx)
	own.URL = &url.URL{RawQuery: "stream=" + streamID}
	own.Header = nil
	return own
}
