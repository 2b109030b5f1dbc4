package presence

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// lateLog is a log whose entries arrive late, also at a node that stops meanwhile.
type lateLog struct {
	*memoryLog
	by atomic.Int64
}

func (l *lateLog) Next(ctx context.Context, after int64) ([]LogEntry, error) {
	entries, err := l.memoryLog.Next(ctx, after)
	if by := l.by.Load(); by > 0 {
		<-time.After(time.Duration(by))
	}
	return entries, err
}

// TestANodeStopsWhileItApplies closes a node whose own entries have not arrived yet. The
// calls that wait for them return, and no entry is applied with what they leave behind.
func TestANodeStopsWhileItApplies(t *testing.T) {
	for by := 2 * time.Second; by <= 7*time.Second; by += 500 * time.Millisecond {
		for at := 100 * time.Millisecond; at < 5*time.Second; at += 700 * time.Millisecond {
			synctest.Test(t, func(t *testing.T) {
				log := &lateLog{memoryLog: newMemoryLog()}
				w := &world{t: t, path: t.TempDir() + "/presence.db", settings: DefaultSettings(), log: log, node: "a"}
				w.start()
				alice := w.web("alice", "tab")
				w.pass(1500 * time.Millisecond)
				log.by.Store(int64(by))
				w.pass(at)
				alice.Close()
				w.must(w.Close())
			})
		}
	}
}

// countingLog calls cancel at one of the calls of a log.
type countingLog struct {
	*memoryLog
	mu     sync.Mutex
	calls  int
	at     int
	cancel func()
}

func (l *countingLog) count() {
	l.mu.Lock()
	l.calls++
	isDue := l.calls == l.at
	l.mu.Unlock()
	if isDue {
		l.cancel()
	}
}

func (l *countingLog) State(ctx context.Context) (LogState, error) {
	l.count()
	return l.memoryLog.State(ctx)
}

func (l *countingLog) Next(ctx context.Context, after int64) ([]LogEntry, error) {
	l.count()
	return l.memoryLog.Next(ctx, after)
}

func (l *countingLog) Append(ctx context.Context, data []byte) error {
	l.count()
	return l.memoryLog.Append(ctx, data)
}

// TestOpenOfANodeIsCancelled cancels the context of Open at each call of the log. Either Open
// returns the error of the context, and leaves no lock behind, or the service goes on.
func TestOpenOfANodeIsCancelled(t *testing.T) {
	opened := 0
	for at := 1; opened < 3; at++ {
		synctest.Test(t, func(t *testing.T) {
			c := openCluster(t, 2)
			c.pass(3500 * time.Millisecond)
			killed := c.kill(1)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			log := &countingLog{memoryLog: c.log, at: at, cancel: cancel}
			svc, err := Open(ctx, Config{Path: killed.path, Settings: &killed.settings, Log: log, Node: "killed"})
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("call %d: %v", at, err)
			}
			if err == nil {
				opened++
				synctest.Wait()
				if cause := svc.StopCause(); cause != nil {
					t.Errorf("call %d: Open has returned, and then the service stops: %v", at, cause)
				}
				killed.must(svc.Close())
			}
			killed.start()
		})
	}
}

// cancelingLog calls cancel when the entries after a place are asked for.
type cancelingLog struct {
	*memoryLog
	after  int64
	cancel func()
}

func (l *cancelingLog) Next(ctx context.Context, after int64) ([]LogEntry, error) {
	if after == l.after {
		l.cancel()
		go func() {}() // a goroutine that was started last runs first
	}
	return l.memoryLog.Next(ctx, after)
}

// TestOpenOfANodeIsCancelledAtItsEnd cancels the context of Open when its last entry is
// applied. One processor makes it likely that Open returns before anything else happens.
func TestOpenOfANodeIsCancelledAtItsEnd(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			log := &cancelingLog{newMemoryLog(), 2, cancel}
			svc, err := Open(ctx, Config{Path: t.TempDir() + "/presence.db", Log: log, Node: "a"})
			if err != nil {
				return
			}
			synctest.Wait()
			if cause := svc.StopCause(); cause != nil {
				t.Errorf("Open has returned, and then the service stops: %v", cause)
			}
			svc.Close()
		})
	}
}
