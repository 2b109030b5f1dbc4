package sse

import (
	"context"
	"net/http"
	"net/url"

	"github.com/presence-server/presence/presence"
	"github.com/r3labs/sse/v2"
)

// formatter makes r3labs write events into memory. r3labs believes that it
// serves one stream with one subscriber, whose response is the formatter; what
// it writes for an event is copied to the connections of many streams.
//
// Each event costs a few switches between goroutines, so events that many
// streams share are formatted once; see [frames].
type formatter struct {
	server  *sse.Server
	event   sse.Event // the one that r3labs is given, used again for each
	out     []byte    // what r3labs has written
	flushed chan struct{}
	cancel  context.CancelFunc
	served  chan struct{} // ServeHTTP of r3labs has returned
	removed chan struct{} // r3labs has let go of its stream
}

// streamID is what r3labs calls the only stream of a formatter.
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
	<-f.flushed // the head of a response that nobody receives
	return f
}

// close stops r3labs, and returns when its goroutines have ended.
func (f *formatter) close() {
	f.cancel()
	<-f.served
	<-f.removed
}

// append appends an event, as it is sent, to b. retry is in milliseconds; nil
// leaves it out.
func (f *formatter) append(b []byte, event presence.Event, retry []byte) []byte {
	encode(&f.event, event)
	f.event.Retry = retry
	f.out = b
	f.server.Publish(streamID, &f.event)
	<-f.flushed
	b, f.out = f.out, nil
	return b
}

// capture is the response that r3labs writes to.
type capture struct{ f *formatter }

// Header and WriteHeader are for the head, which nobody receives.

func (c capture) Header() http.Header { return make(http.Header) }
func (c capture) WriteHeader(int)     {}

// Write keeps a piece of an event.
func (c capture) Write(piece []byte) (int, error) {
	c.f.out = append(c.f.out, piece...)
	return len(piece), nil
}

// Flush is called by r3labs after the head and after each event.
func (c capture) Flush() { c.f.flushed <- struct{}{} }
