package sse

import (
	"context"
	"net/http"
	"net/url"
	"sync"

	"github.com/r3labs/sse/v2"
)

// loop writes the events of its streams, one after the other. It runs while it
// has any.
type loop struct {
	running *sync.WaitGroup

	mu      sync.Mutex
	started bool
	streams int
	ready   []*stream // they may have something to tell
	news    sync.Cond // ready has grown, or streams is 0
}

func newLoop(running *sync.WaitGroup) *loop {
	l := &loop{running: running}
	l.news.L = &l.mu
	return l
}

func (l *loop) add() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.streams++; !l.started {
		l.started = true
		l.running.Go(l.run)
	}
}

func (l *loop) remove() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.streams--; l.streams == 0 {
		l.news.Signal()
	}
}

func (l *loop) push(s *stream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ready = append(l.ready, s); len(l.ready) == 1 {
		l.news.Signal()
	}
}

// take waits until streams are ready, and returns them. It returns none, and
// the loop is to end, when there are no streams left. What it returned last is
// used again.
func (l *loop) take(last []*stream) []*stream {
	clear(last)
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.ready) == 0 {
		if l.streams == 0 {
			l.started = false
			return nil
		}
		l.news.Wait()
	}
	ready := l.ready
	l.ready = last[:0]
	return ready
}

// run has r3labs write for as long as there are streams.
func (l *loop) run() {
	ctx, cancel := context.WithCancel(context.Background())
	out := &response{
		loop:   l,
		header: make(http.Header),
		server: sse.New(),
		event:  sse.Event{Data: []byte("-")}, // r3labs takes an empty one for the end
		stock:  1,
	}
	removed := make(chan struct{})
	out.server.AutoReplay = false
	out.server.BufferSize = fullStock // to take the stock without waiting
	out.server.OnUnsubscribe = func(id string, _ *sse.Subscriber) {
		out.server.RemoveStream(id)
		close(removed)
	}
	out.server.CreateStream(streamID)
	r := &http.Request{URL: &url.URL{RawQuery: "stream=" + streamID}}
	out.server.ServeHTTP(out, r.WithContext(ctx))

	cancel() // r3labs lets a subscriber go only when the request is done
	<-removed
}

// streamID is what r3labs calls all that a loop writes.
const streamID = "loop"
