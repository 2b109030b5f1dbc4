package sse

import "sync"

// loop writes the events of its streams, one stream after the other, in one
// goroutine. The goroutine runs while the loop has streams.
type loop struct {
	running *sync.WaitGroup

	mu      sync.Mutex
	started bool
	streams int
	ready   []*stream // those that may have an event to write
	news    sync.Cond // signalled when ready is no longer empty, or streams is zero
}

func newLoop(running *sync.WaitGroup) *loop {
	l := &loop{running: running}
	l.news.L = &l.mu
	return l
}

// add counts a new stream, and starts the goroutine if it isn't running.
func (l *loop) add() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.streams++; !l.started {
		l.started = true
		l.running.Go(l.run)
	}
}

// remove counts a stream that has ended. It will not be pushed again.
func (l *loop) remove() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.streams--; l.streams == 0 {
		l.news.Signal()
	}
}

// push makes the goroutine call serve of a stream.
func (l *loop) push(s *stream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ready = append(l.ready, s); len(l.ready) == 1 {
		l.news.Signal()
	}
}

// run writes for as long as there are streams.
func (l *loop) run() {
	frames := newFrames()
	defer frames.close()
	for ready := l.take(nil); ready != nil; ready = l.take(ready) {
		for _, s := range ready {
			s.serve(frames)
		}
		frames.endPass()
	}
}

// take waits until streams are ready, and returns them. It returns nil if no
// streams are left; the goroutine must then end. It reuses the memory of last.
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
