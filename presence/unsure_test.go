package presence

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestUnknownOutcomes checks that each operation is applied once and answered rightly,
// although appends return errors and succeed, and the entries are appended again.
func TestUnknownOutcomes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 2)
		const users = 40
		c.log.beUnsure(5)
		for _, l := range c.links {
			l.cut(nil, errCut) // otherwise a node sees its entry before it appends it again
		}
		var calls sync.WaitGroup
		for i := range users {
			calls.Go(func() {
				w, user := c.nodes[i%2], fmt.Sprint("user", i)
				w.connectUnread(Device{UserID: user, ID: "tab"})
				if s := w.set(user, "first", 0); s.CustomStatus != "first" {
					t.Errorf("the answer is %+v", s)
				}
				if s := w.set(user, "second", 0); s.CustomStatus != "second" {
					t.Errorf("the answer is %+v", s)
				}
				if s, _ := w.Get(user); s[0].CustomStatus != "second" || s[0].StatusType != Online {
					t.Errorf("after the answer, the status is %+v", s)
				}
			})
		}
		c.pass(time.Second)
		for _, l := range c.links {
			l.cut(nil, nil)
		}
		calls.Wait()
		if repeats := len(operations[*connect](c.log)) - users; repeats == 0 {
			t.Error("no login was appended twice: the test proves nothing")
		}
		c.settle()
		c.nodes[0].wantCounts(users, 0)
		for _, s := range c.nodes[1].found(users) {
			if s.CustomStatus != "second" {
				t.Errorf("the status is %+v at the end", s)
			}
		}
		c.same()
	})
}

// found returns the statuses of the first n users of TestUnknownOutcomes.
func (w *world) found(n int) []Status {
	var ids []string
	for i := range n {
		ids = append(ids, fmt.Sprint("user", i))
	}
	found, _ := w.Get(ids...)
	return found
}

// beUnsure makes the next n appends return an error although they succeed.
func (l *memoryLog) beUnsure(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unsure = n
}

// TestEntriesThatArriveLate checks that entries have no effect that arrive after the same
// entries, after later ones, or after their run has ended.
func TestEntriesThatArriveLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 2)
		one, l := c.nodes[0], c.links[0]
		one.register("alice")
		c.settle()
		answer := make(chan Status, 1)
		l.hold()
		go func() { answer <- one.set("alice", "once", 0) }()
		c.pass(time.Second / 2)
		held := l.take()
		c.pass(time.Second)
		if got := <-answer; got.CustomStatus != "once" {
			t.Errorf("the answer is %+v", got)
		}
		one.set("alice", "later", 0)
		version := one.stats().Version
		l.deliver(held)
		c.pass(time.Second)
		c.is("alice UNLOGINED later", "an entry that arrives after later ones is a repeat")

		l.cut(errCut, errCut) // the others end the run
		c.pass(5 * time.Second)
		l.deliver(held)
		l.cut(nil, nil)
		c.pass(2 * time.Second)
		l.deliver(held)
		c.pass(time.Second)
		c.is("alice UNLOGINED later", "an entry of a run that has ended has no effect")
		if got := c.nodes[1].stats().Version; got != version {
			t.Errorf("the version is %d, want %d", got, version)
		}
		c.same()
	})
}

// TestACallOutlivesTheEndOfItsRun checks that a call whose entry arrives after the end of
// its run is applied once, by the next run, and answered rightly.
func TestACallOutlivesTheEndOfItsRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 2)
		one, l := c.nodes[0], c.links[0]
		one.register("alice")
		c.pass(1500 * time.Millisecond)
		l.hold()
		answer := make(chan Status, 1)
		go func() { answer <- one.set("alice", "at last", 0) }()
		c.pass(4 * time.Second)
		wantList(t, c.nodes[1].live(), []string{"node 2"}, "the others have ended the run")
		l.release()
		if got := <-answer; got.CustomStatus != "at last" {
			t.Errorf("the answer is %+v", got)
		}
		c.pass(2 * time.Second)
		c.is("alice UNLOGINED at last", "the call was answered")
		wantList(t, c.nodes[1].live(), []string{"node 2", "node 1"}, "the node has a new run")
		c.same()
	})
}

// TestEntriesThatTheLogLoses checks that a node goes on when the log has lost an entry that
// was appended, before any node has applied it.
func TestEntriesThatTheLogLoses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 1)
		one, l := c.nodes[0], c.links[0]
		one.register("alice")
		c.settle()
		l.lose()
		c.pass(3 * time.Second) // at least one beat
		_, err := one.Set(t.Context(), "alice", "lost", 0)
		wantCode(t, err, CodeUnavailable, "its entry was lost")
		l.release()
		one.set("alice", "here", 0)
		c.pass(12 * time.Second)
		one.must(one.Ready(t.Context()))
		if r := one.LogMetrics().Nodes[0]; r.Beats < 10 {
			t.Errorf("there are %d beats", r.Beats)
		}
		c.is("alice UNLOGINED here", "what is answered stays")
		c.same()
	})
}

// TestTheClockOfTheLogGoesBack checks that nodes don't fill the log when the engine's clock
// is set back, and that what is due happens in time.
func TestTheClockOfTheLogGoesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 2)
		alice := c.nodes[0].web("alice", "tab")
		c.pass(1500 * time.Millisecond)
		alice.Close()
		c.pass(9600 * time.Millisecond)
		c.log.turnClock(-5 * time.Minute)
		before := c.log.last()
		c.pass(time.Minute)
		if n := c.log.last() - before; n > 3*60 {
			t.Errorf("there are %d entries in a minute", n)
		}
		c.is("alice UNLOGINED", "the grace is over, although the log has an earlier time")
		c.log.turnClock(5 * time.Minute)
		bob := c.nodes[1].web("bob", "tab")
		bob.Close()
		c.pass(9 * time.Second)
		c.is("bob ONLINE", "the clock of the log is right again")
		c.pass(5 * time.Second)
		c.is("bob UNLOGINED", "the grace is over")
		c.same()
	})
}
