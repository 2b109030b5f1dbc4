package sse

import "sync"

// loop writes the events of its streams, one after the other. It runs while it
// has any.
type loop struct {
	running *sync.WaitGroup

	mu      sync.Mutex
	started bool
	streams int
	ready   []*stream // they may have something to send
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

// run writes for as long as there are streams.
func (l *loop) run() {
	frames := newFrames()
	defer frames.close()
	for ready := l.take(nil); ready != nil; ready = l.take(ready) {
		for _, s := range ready {
			s.serve(frames)
		}
		frames.pass()
	}
}

// take waits until streams are ready, and returns them, or nil when there are no
// streams left and the loop has to end. It uses the memory of last again.
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
