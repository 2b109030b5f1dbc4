package presence

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestARefusedRequestIsAnsweredOnce has two callers in one batch. One is refused at once, and
// the entry with the other has no effect, so that it is proposed again. If the first one were
// answered again, whoever uses the memory of its request next would get that answer.
func TestARefusedRequestIsAnsweredOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 2, silent)
		one := c.nodes[0]
		one.register("alice")
		c.pass(1500 * time.Millisecond)
		c.links[0].cut(errCut, nil)
		c.pass(1100 * time.Millisecond) // a beat is under way
		var calls sync.WaitGroup
		calls.Go(func() {
			hashes := []string{strings.Repeat("x", maxEntry)}
			wantCode(t, one.writer.do(t.Context(), &setAgreement{hashes}), CodeLimit, "it is too long")
		})
		calls.Go(func() { one.must(one.writer.submit(&importUsers{UserIDs: []string{"bob"}})) })
		synctest.Wait()
		c.links[0].hold()
		c.links[0].cut(nil, nil)
		c.pass(200 * time.Millisecond)
		c.links[0].release() // the beat arrives
		c.links[0].hold()
		c.pass(5300 * time.Millisecond) // the batch is under way, and the run ends
		c.links[0].release()
		c.pass(2 * time.Second)
		calls.Wait()
		c.links[0].cut(errCut, errCut) // from now on, nothing can be applied
		synctest.Wait()
		began := time.Now()
		for i := range 20 {
			calls.Go(func() {
				if _, err := one.Set(t.Context(), "alice", "x", 0); err == nil || time.Since(began) < time.Second {
					t.Errorf("while the log is away, Set %d returns %v after %s", i, err, time.Since(began))
				}
			})
		}
		calls.Wait()
		c.links[0].cut(nil, nil)
		c.pass(3 * time.Second)
		c.same()
	})
}

// TestANodeThatCantBeginStops checks that Open fails if the beginning of a run doesn't fit into
// an entry.
func TestANodeThatCantBeginStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, path: t.TempDir() + "/presence.db", settings: DefaultSettings(), log: newMemoryLog(), node: "a"}
		w.agreement = []string{strings.Repeat("x", maxEntry)}
		w.isRefusedToOpen("too long for the log")
	})
}

// TestACallThatIsGivenUpIsLeftAlone checks that nothing writes to an operation whose caller has
// given it up, although it is applied later.
func TestACallThatIsGivenUpIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 1, silent)
		one := c.nodes[0]
		one.register("alice")
		c.pass(1500 * time.Millisecond)
		c.links[0].hold()
		op, err := newSetEntry("alice", &Entry{CustomStatus: "late"})
		one.must(err)
		wantCode(t, one.writer.do(t.Context(), op), CodeUnavailable, "the log is away")
		c.links[0].release()
		c.pass(time.Second)
		one.is("alice UNLOGINED late", "the call was in the log")
		if op.result != (Status{}) {
			t.Errorf("the operation has the result %+v", op.result)
		}
	})
}

// deafLog is a link of which Next fails from a place on, and everything else works.
type deafLog struct {
	*link
	mu   sync.Mutex
	from int64
	err  error // nil means that Next works
}

func (l *deafLog) Next(ctx context.Context, after int64) ([]LogEntry, error) {
	l.mu.Lock()
	err, from := l.err, l.from
	l.mu.Unlock()
	if err != nil && after >= from {
		return nil, err
	}
	return l.link.Next(ctx, after)
}

func (l *deafLog) fail(err error) {
	l.mu.Lock()
	l.from, l.err = l.last(), err
	l.mu.Unlock()
	l.cut(nil, nil) // ends the calls that wait
	synctest.Wait()
}

// TestANodeReportsThatItCantRead checks that a node says so which can't read the next entry,
// although it can verify the log.
func TestANodeReportsThatItCantRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &deafLog{link: newLink(newMemoryLog())}
		w := &world{t: t, path: t.TempDir() + "/presence.db", settings: DefaultSettings(), log: l, node: "a"}
		w.start()
		w.register("alice")
		l.fail(errors.New("statement timeout"))
		_, err := w.Set(t.Context(), "alice", "late", 0)
		wantCode(t, err, CodeUnavailable, "the entry can't be read")
		if err := w.LogMetrics().AwayFor; err == nil || err.Error() != "statement timeout" {
			t.Errorf("the node says that it is away for %v", err)
		}
		l.fail(nil)
		w.pass(2 * time.Second)
		w.is("alice UNLOGINED late", "the entry was in the log")
		if err := w.LogMetrics().AwayFor; err != nil {
			t.Errorf("the node still says that it is away for %v", err)
		}
	})
}

// TestWritesSucceedAfterDrain checks that a node which drains begins another run if the others
// have considered it dead.
func TestWritesSucceedAfterDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 2, silent)
		one := c.nodes[0]
		one.register("alice")
		c.pass(time.Second)
		c.links[0].cut(errCut, errCut)
		c.pass(5 * time.Second)
		wantList(t, c.nodes[1].live(), []string{"node 2"}, "the node is dead")
		one.Drain()
		c.links[0].cut(nil, nil)
		c.pass(2 * time.Second)
		one.set("alice", "late", 0)
		c.settle()
		c.is("alice UNLOGINED late", "it was set by a node that drains")
	})
}

// unusableLog is a log that refuses appends, or to be read.
type unusableLog struct {
	*memoryLog
	toRead bool
}

var errDenied = fmt.Errorf("%w: permission denied", ErrLogUnusable)

func (l unusableLog) Append(ctx context.Context, data []byte) error {
	if !l.toRead {
		return errDenied
	}
	return l.memoryLog.Append(ctx, data)
}

func (l unusableLog) Next(ctx context.Context, after int64) ([]LogEntry, error) {
	if l.toRead {
		return nil, errDenied
	}
	return l.memoryLog.Next(ctx, after)
}

// TestAnUnusableLog checks that Open returns the reason at once.
func TestAnUnusableLog(t *testing.T) {
	for _, toRead := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c := openCluster(t, 1, silent)
			c.nodes[0].register("alice")
			w := &world{t: t, path: t.TempDir() + "/presence.db", settings: DefaultSettings(), log: unusableLog{c.log, toRead}, node: "a"}
			began := time.Now()
			w.isRefusedToOpen("permission denied")
			if took := time.Since(began); took > 0 {
				t.Errorf("Open takes %s", took)
			}
		})
	}
}

// TestNothingIsProposedInVain checks that no entry is appended if none of the requests can be
// in it.
func TestNothingIsProposedInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 1, silent)
		last := c.log.last()
		tooLong := &setAgreement{[]string{strings.Repeat("x", maxEntry)}}
		wantCode(t, c.nodes[0].writer.do(t.Context(), tooLong), CodeLimit, "it is too long")
		if n := c.log.last() - last; n != 0 {
			t.Errorf("%d entries were appended", n)
		}
	})
}
