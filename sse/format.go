package sse

import (
	"context"
	"net/http"
	"net/url"

	"github.com/presence-server/presence/presence"
	"github.com/r3labs/sse/v2"
)

// formatter formats events with r3labs/sse, into memory. r3labs has no function
// for this: it writes events only to the HTTP responses of its subscribers.
// Therefore each formatter runs a server of r3labs with one stream and one
// subscriber, whose response is a capture.
//
// Formatting an event costs a few switches between goroutines, so events that
// many streams share are formatted once; see [frames].
type formatter struct {
	server  *sse.Server
	event   sse.Event     // passed to r3labs, and reused for each event
	out     []byte        // receives what r3labs writes
	flushed chan struct{} // receives a value when r3labs has written an event
	cancel  context.CancelFunc
	served  chan struct{} // closed when ServeHTTP of r3labs has returned
	removed chan struct{} // closed when r3labs has removed the stream
}

// streamID is the name, within r3labs, of the only stream of a formatter.
const streamID = "formatter"

// newFormatter starts r3labs. The formatter must be closed.
func newFormatter() *formatter {
	ctx, cancel := context.WithCancel(context.Background())
	f := &formatter{
		server:  sse.New(),
		flushed: make(chan struct{}),
		cancel:  cancel,
		served:  make(chan struct{}),
		removed: make(chan struct{}),
	}
	f.server.AutoReplay = false
	f.server.OnUnsubscribe = func(id string, _ *sse.Subscriber) {
		f.server.RemoveStream(id)
		close(f.removed)
	}
	f.server.CreateStream(streamID)
	r := &http.Request{URL: &url.URL{RawQuery: "stream=" + streamID}}
	go func() {
		defer close(f.served)
		f.server.ServeHTTP(capture{f}, r.WithContext(ctx))
	}()
	<-f.flushed // after the header of the response, which is discarded
	return f
}

// close stops r3labs, and waits until its goroutines have ended.
func (f *formatter) close() {
	f.cancel()
	<-f.served
	<-f.removed
}

// append appends the bytes of an event to b. retry is the event's retry field, in
// milliseconds; nil means that the event has none.
func (f *formatter) append(b []byte, event presence.Event, retry []byte) []byte {
	encode(&f.event, event)
	f.event.Retry = retry
	f.out = b
	f.server.Publish(streamID, &f.event)
	<-f.flushed
	b, f.out = f.out, nil
	return b
}

// capture is the http.ResponseWriter that r3labs writes to.
type capture struct{ f *formatter }

// Header and WriteHeader discard the header.

func (c capture) Header() http.Header { return make(http.Header) }
func (c capture) WriteHeader(int)     {}

// Write stores a part of an event.
func (c capture) Write(piece []byte) (int, error) {
	c.f.out = append(c.f.out, piece...)
	return len(piece), nil
}

// Flush is called by r3labs after the header and after each event.
func (c capture) Flush() { c.f.flushed <- struct{}{} }
