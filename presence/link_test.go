package presence

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"
)

// link is the connection of one node to a log. It can fail alone, for appends, for all
// other calls, or for both.
type link struct {
	*memoryLog
	mu      sync.Mutex
	appends error // of Append; nil means that it succeeds
	reads   error // of all other calls
	changed chan struct{}
	holds   bool          // Append returns an error, and the entry arrives when the link is released
	loses   bool          // Append succeeds, and the entry never arrives
	hangs   bool          // all calls wait until their context is done
	delay   time.Duration // of each call
	held    [][]byte      // in order
}

var errCut = errors.New("the network is down")

func newLink(log *memoryLog) *link { return &link{memoryLog: log, changed: make(chan struct{})} }

// cut makes appends and all other calls fail with these errors. Nil makes them succeed.
func (l *link) cut(appends, reads error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.appends, l.reads = appends, reads
	close(l.changed)
	l.changed = make(chan struct{})
}

// hold makes each append return an error, and keeps the entries on their way until release.
func (l *link) hold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.holds = true
}

// take ends hold, and returns the entries that are on their way.
func (l *link) take() (held [][]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	held, l.held = l.held, nil
	l.holds, l.loses = false, false
	return held
}

// deliver makes entries arrive.
func (l *link) deliver(held [][]byte) {
	for _, data := range held {
		l.memoryLog.Append(context.Background(), data)
	}
}

// release ends hold and lose, and makes the entries arrive that are on their way.
func (l *link) release() { l.deliver(l.take()) }

// hang makes all calls wait until their context is done.
func (l *link) hang() {
	l.mu.Lock()
	l.hangs = true
	l.mu.Unlock()
	l.cut(nil, nil) // ends the calls that wait
}

// slow delays each call.
func (l *link) slow(delay time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delay = delay
}

// hung waits for the delay, or until ctx is done if the link hangs. Then it returns the
// error of ctx.
func (l *link) hung(ctx context.Context) error {
	l.mu.Lock()
	hangs, delay := l.hangs, l.delay
	l.mu.Unlock()
	if delay > 0 { // with zero, the race detector crashes in simulated time (Go 1.26)
		<-time.After(delay)
	}
	if !hangs {
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

// lose makes appends succeed although the entries never arrive, until release.
func (l *link) lose() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.loses = true
}

func (l *link) state() (appends, reads error, changed chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.appends, l.reads, l.changed
}

func (l *link) Append(ctx context.Context, data []byte) error {
	if err := l.hung(ctx); err != nil {
		return err
	}
	if err, _, _ := l.state(); err != nil {
		return err
	}
	l.mu.Lock()
	holds, loses := l.holds, l.loses
	if holds {
		l.held = append(l.held, slices.Clone(data))
	}
	l.mu.Unlock()
	switch {
	case holds:
		return errUnsure
	case loses:
		return nil
	}
	return l.memoryLog.Append(ctx, data)
}

func (l *link) Next(ctx context.Context, after int64) ([]LogEntry, error) {
	if err := l.hung(ctx); err != nil {
		return nil, err
	}
	_, err, changed := l.state()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-changed:
			cancel(errCut)
		case <-ctx.Done():
		}
	}()
	entries, err := l.memoryLog.Next(ctx, after)
	if err != nil && context.Cause(ctx) == errCut {
		return nil, errCut
	}
	return entries, err
}

func (l *link) State(ctx context.Context) (LogState, error) {
	if err := l.hung(ctx); err != nil {
		return LogState{}, err
	}
	if _, err, _ := l.state(); err != nil {
		return LogState{}, err
	}
	return l.memoryLog.State(ctx)
}

func (l *link) SaveSnapshot(ctx context.Context, place int64, r io.Reader) error {
	if err, _, _ := l.state(); err != nil {
		return err
	}
	return l.memoryLog.SaveSnapshot(ctx, place, r)
}

func (l *link) LoadSnapshot(ctx context.Context, w io.Writer) (int64, error) {
	if _, err, _ := l.state(); err != nil {
		return 0, err
	}
	return l.memoryLog.LoadSnapshot(ctx, w)
}

// operations returns the operations of one type that are in the log, in order.
func operations[T operation](l *memoryLog) (all []T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := newCodec()
	for _, e := range l.entries {
		p, err := c.decodeEntry(e.Data)
		if err != nil {
			panic(err)
		}
		for _, r := range p.requests {
			if op, ok := r.op.(T); ok {
				all = append(all, op)
			}
		}
	}
	return all
}
