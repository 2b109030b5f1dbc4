// Package sse writes one session of package presence as one response of
// Server-Sent Events.
//
// The wire writer is r3labs/sse. It is used as a writer only, never as the hub
// that it also is: each response has a server and a stream of its own, with one
// event on its way at a time, so that what waits for a slow client stays in the
// session, where newer changes replace older ones.
package sse

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
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
	p := &pump{
		session:  session,
		timing:   timing,
		server:   sse.New(),
		response: &response{ResponseWriter: w, timeout: timing.WriteTimeout, flushed: make(chan struct{}, 1), cut: cancel},
		ended:    make(chan struct{}),
	}
	removed := make(chan struct{})
	p.server.AutoReplay = false
	p.server.BufferSize = 1
	p.server.OnSubscribe = func(string, *sse.Subscriber) { p.run(ctx, cancel) }
	p.server.OnUnsubscribe = func(id string, _ *sse.Subscriber) {
		p.server.RemoveStream(id)
		close(removed)
	}
	p.server.CreateStream(streamID)
	p.server.ServeHTTP(p.response, ownRequest(ctx, r))

	cancel(nil) // r3labs lets a subscriber go only when the request is done
	<-p.ended
	<-removed
	if cause := context.Cause(ctx); cause != context.Canceled {
		return cause
	}
	return nil
}

const streamID = "session"

// ownRequest hides from r3labs what it would take from the client's request:
// the stream's name, and a cursor, which it wants to be small.
func ownRequest(ctx context.Context, r *http.Request) *http.Request {
	own := r.Clone(ctx)
	own.URL = &url.URL{RawQuery: "stream=" + streamID}
	own.Header.Del("Last-Event-ID")
	return own
}

// pump takes the session's events, one after the other is on the wire.
type pump struct {
	session  *presence.Session
	timing   Timing
	server   *sse.Server
	response *response
	cursor   int64
	ended    chan struct{}
}

func (p *pump) run(ctx context.Context, cancel context.CancelCauseFunc) {
	defer close(p.ended)
	for {
		event, err := p.session.Next(ctx)
		switch {
		case err == nil:
			p.cursor = event.Cursor
			p.send(ctx, encode(event))
			continue
		case errors.Is(err, presence.ErrClosed):
			p.send(ctx, p.comeBack())
		case err != io.EOF:
			cancel(err)
		}
		p.server.Publish(streamID, &sse.Event{}) // an empty event ends the response
		return
	}
}

// send returns once the event has left for the client, or the request is done.
func (p *pump) send(ctx context.Context, event *sse.Event) {
	p.server.Publish(streamID, event)
	select {
	case <-p.response.flushed:
	case <-ctx.Done():
	}
}

// comeBack tells the client when to connect again. r3labs writes a retry only
// with data, so it comes as a KEEPALIVE that says nothing new.
func (p *pump) comeBack() *sse.Event {
	event := encode(presence.Event{Type: presence.Keepalive, Cursor: p.cursor})
	retry := rand.Int64N(p.timing.Drain.Milliseconds() + 1)
	event.Retry = strconv.AppendInt(nil, retry, 10)
	return event
}
