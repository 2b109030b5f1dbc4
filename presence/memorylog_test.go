package presence

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"
)

// memoryLog is a Log for tests, which uses the simulated time of a bubble. Its clock can be
// set, and it can fail.
type memoryLog struct {
	mu       sync.Mutex
	id       string
	entries  []LogEntry
	trimmed  int64
	place    int64 // of the snapshot; -1 means that there is none
	snapshot []byte
	grown    chan struct{}
	fails    error // of all calls; nil means that they succeed
	unsure   int   // how many of the next appends return an error although they succeed
	ahead    time.Duration
}

func newMemoryLog() *memoryLog {
	return &memoryLog{id: "a log in memory", place: -1, grown: make(chan struct{})}
}

var errUnsure = errors.New("the connection broke")

// turnClock changes the clock of the engine.
func (l *memoryLog) turnClock(by time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ahead += by
}

// fail makes all calls return err. Nil makes them succeed again.
func (l *memoryLog) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fails = err
	close(l.grown)
	l.grown = make(chan struct{})
}

func (l *memoryLog) Append(ctx context.Context, data []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fails != nil {
		return l.fails
	}
	at := time.Now().Add(l.ahead).Truncate(time.Microsecond)
	l.entries = append(l.entries, LogEntry{Place: int64(len(l.entries)) + 1, At: at, Data: slices.Clone(data)})
	close(l.grown)
	l.grown = make(chan struct{})
	if l.unsure > 0 {
		l.unsure--
		return errUnsure
	}
	return nil
}

func (l *memoryLog) Next(ctx context.Context, after int64) ([]LogEntry, error) {
	for {
		l.mu.Lock()
		entries, grown, fails := l.entries, l.grown, l.fails
		trimmed := l.trimmed
		l.mu.Unlock()
		switch {
		case fails != nil:
			return nil, fails
		case after < trimmed:
			return nil, ErrTrimmed
		case after > int64(len(entries)):
			return nil, ErrLostEnd
		case after < int64(len(entries)):
			return entries[after:min(after+100, int64(len(entries)))], nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (l *memoryLog) State(context.Context) (LogState, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return LogState{ID: l.id, First: l.trimmed + 1, Last: int64(len(l.entries)), Snapshot: l.place}, l.fails
}

func (l *memoryLog) SaveSnapshot(_ context.Context, place int64, r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.fails != nil:
		return l.fails
	case place == 0 && l.place >= 0:
		return ErrFounded
	case place > l.place:
		l.place, l.snapshot = place, data
	}
	return nil
}

func (l *memoryLog) LoadSnapshot(_ context.Context, w io.Writer) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.fails != nil:
		return 0, l.fails
	case l.place < 0:
		return 0, ErrNoSnapshot
	}
	_, err := io.Copy(w, bytes.NewReader(l.snapshot))
	return l.place, err
}

func (l *memoryLog) Close() error { return nil }

// cut removes the end of the log, from the entry after place on.
func (l *memoryLog) cut(place int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = l.entries[:place:place]
}

// trim removes the entries up to place.
func (l *memoryLog) trim(place int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.trimmed = place
}

func (l *memoryLog) last() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int64(len(l.entries))
}
