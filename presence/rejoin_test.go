package presence

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestANodeRestartsAfterAKill checks that the previous run of a node which was killed has
// ended once the node is open again, that it catches up, and that users who reconnect take
// no version.
func TestANodeRestartsAfterAKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 2, silent)
		one, two := c.nodes[0], c.nodes[1]
		alice := two.web("alice", "tab")
		watcher := one.web("watcher", "tab")
		one.subscribe("watcher", "alice")
		c.pass(1500 * time.Millisecond)
		before, _ := one.Get("alice")
		killed := c.kill(1)
		one.register("bob") // while the node is away
		began := time.Now()
		killed.start()
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("the start takes %s, want at most the 3 s in which another process with this file would have a beat", took)
		}
		synctest.Wait() // until the other node has applied that as well
		wantList(t, one.live(), []string{"node 1", "node 2"}, "the previous run has ended")
		killed.web("alice", "tab")
		if after, _ := one.Get("alice"); after[0] != before[0] {
			t.Errorf("alice is %+v, want %+v: she only reconnected", after[0], before[0])
		}
		watcher.quiet("alice was ONLINE all the time")
		c.pass(time.Minute)
		alice.Close()
		c.is("alice ONLINE", "her stream is open")
		c.same()
	})
}

// kill cuts a node off for ever, and returns one that isn't started yet with a copy of its
// files, in its place.
func (c *cluster) kill(i int) *world {
	c.t.Helper()
	c.links[i].cut(errCut, errCut)
	killed := c.nodes[i].killed()
	c.links[i] = newLink(c.log)
	killed.log, killed.node = c.links[i], c.nodes[i].node
	c.nodes[i] = killed
	return killed
}

// TestANodeThatMissedWhatWasTrimmed checks that it loads the snapshot at its start, and that
// it stops if that happens while it runs.
func TestANodeThatMissedWhatWasTrimmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 3)
		one, two, three := c.nodes[0], c.nodes[1], c.nodes[2]
		one.must(two.Close())
		c.links[2].cut(errCut, errCut)
		one.web("alice", "tab")
		c.pass(5 * time.Second)
		one.must(one.Service.node.saveSnapshot(t.Context()))
		one.web("bob", "tab")
		c.log.trim(c.log.last() - 1)
		two.start()
		c.links[2].cut(nil, nil)
		c.pass(time.Second)
		if err := three.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "start this node again") {
			t.Errorf("Ready returns %v", err)
		}
		one.must(three.Close())
		three.start()
		c.pass(2 * time.Second)
		c.is("bob ONLINE", "the snapshot and the entries after it have everything")
		c.same()
	})
}

// TestASecondProcessOnACopyIsRefused checks that a copy of the file of a node that runs
// can't be used, and that the node isn't disturbed.
func TestASecondProcessOnACopyIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 2)
		one, two := c.nodes[0], c.nodes[1]
		alice := two.web("alice", "tab")
		c.pass(1500 * time.Millisecond)
		runs := one.LogMetrics().Nodes
		second := two.killed()
		second.log, second.node = c.log, "second"
		second.isRefusedToOpen("another process runs with a copy of")
		for i, r := range one.LogMetrics().Nodes {
			if r.Run != runs[i].Run {
				t.Errorf("%s has a new run", r.Name)
			}
		}
		alice.quiet("nothing happens to the node that runs")
		c.same()
	})
}

// TestANodeDoesntStartWithoutItsLog checks that the database of a node isn't used without its
// log, unless it has left the log.
func TestANodeDoesntStartWithoutItsLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 1)
		one := c.nodes[0]
		one.register("alice")
		one.must(one.Close())
		one.log = nil
		one.isRefusedToOpen("presence cluster leave makes it that of a single server")
		one.must(LeaveLog(t.Context(), one.path))
		one.start()
		one.is("alice UNLOGINED", "nothing is lost")
	})
}

// TestASecondProcessWithAClockAhead is the same for a log whose time is behind that of the
// machines, because the clock of the engine was set back and no entry has come since.
func TestASecondProcessWithAClockAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 1)
		c.pass(1500 * time.Millisecond)
		c.log.turnClock(-time.Hour)
		c.log.fail(errCut)
		c.pass(8 * time.Second)
		c.log.fail(nil)
		c.pass(1500 * time.Millisecond)
		second := c.nodes[0].killed()
		second.log, second.node = c.log, "second"
		second.isRefusedToOpen("another process runs with a copy of")
	})
}

// TestASecondProcessWhileTheClockJumps is the same for a log whose engine sets its clock
// ahead while the second process waits for a beat of the first.
func TestASecondProcessWhileTheClockJumps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 1, silent)
		c.pass(400 * time.Millisecond)
		c.join(silent)
		c.pass(2700 * time.Millisecond) // a beat of the other node comes first
		second := c.nodes[0].killed()
		second.log, second.node = c.log, "second"
		c.log.turnClock(time.Hour)
		second.isRefusedToOpen("another process runs with a copy of")
	})
}

// isRefusedToOpen checks that the service can't be opened, and that the error is one line
// which contains want.
func (w *world) isRefusedToOpen(want string) {
	w.t.Helper()
	svc, err := Open(w.t.Context(), Config{Path: w.path, Settings: &w.settings, Log: w.log, Node: w.node, Agreement: w.agreement, Logger: w.logger, codec: w.codec})
	if err == nil {
		svc.Close()
		w.t.Errorf("the service opens, want an error that contains %q", want)
	} else if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
		w.t.Errorf("got the error\n%v\nwant one line that contains %q", err, want)
	}
}

// TestALogThatIsNotTheOne checks that a node refuses to start, and stops while it runs, when
// the log isn't the one that it has applied. Nothing is written then.
func TestALogThatIsNotTheOne(t *testing.T) {
	changes := map[string]struct {
		change   func(*memoryLog)
		starting string
		running  string
	}{
		"lost its end":         {func(l *memoryLog) { l.cut(l.last() - 2) }, "the log has lost it", "the log has lost it"},
		"lost everything":      {func(l *memoryLog) { l.cut(0) }, "the log has lost it", "the log has lost it"},
		"went on differently":  {func(l *memoryLog) { l.goOnDifferently() }, "goes on differently", "goes on differently"},
		"was replaced":         {func(l *memoryLog) { l.id = "another log" }, "belongs to another log", "removed or replaced"},
		"was created again":    {func(l *memoryLog) { l.id, l.entries, l.place = "new", nil, -1 }, "this one is empty", "removed or replaced"},
		"has a newer snapshot": {func(l *memoryLog) { l.trim(l.last() - 1) }, "", ""},
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := openCluster(t, 2)
				one, two := c.nodes[0], c.nodes[1]
				alice := one.web("alice", "tab")
				c.pass(2500 * time.Millisecond)
				one.must(two.Close())
				c.log.fail(errCut)
				c.pass(time.Second)
				change.change(c.log)
				answer := make(chan error, 1)
				go func() {
					_, err := one.Set(t.Context(), "alice", "waits", 0)
					answer <- err
				}()
				synctest.Wait()
				c.log.fail(nil)
				c.pass(time.Second)
				if err := <-answer; (err == nil) != (change.running == "") {
					t.Errorf("a caller that waits gets %v", err)
				}
				if change.running != "" {
					one.hasStopped(change.running)
					alice.ends(ErrClosed)
				} else {
					one.must(one.Ready(t.Context()))
				}
				if change.starting != "" {
					two.isRefusedToOpen(change.starting)
				} else {
					two.start()
				}
			})
		})
	}
}

// goOnDifferently replaces the last two entries.
func (l *memoryLog) goOnDifferently() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.entries[len(l.entries)-2:] {
		e := &l.entries[len(l.entries)-2+i]
		e.At = e.At.Add(time.Millisecond)
	}
}

// hasStopped checks that a node can't go on and says why, that its callers are answered at
// once, and that it can be closed at once.
func (w *world) hasStopped(why string) {
	w.t.Helper()
	synctest.Wait()
	began := time.Now()
	if err := w.Ready(w.t.Context()); err == nil || !strings.Contains(err.Error(), why) {
		w.t.Errorf("Ready returns %v, want an error that contains %q", err, why)
	}
	if w.StopCause() == nil {
		w.t.Error("StopCause has no reason")
	}
	_, err := w.Set(w.t.Context(), "alice", "too late", 0)
	wantCode(w.t, err, CodeUnavailable, "the node has stopped")
	_, err = w.Connect(w.t.Context(), Device{UserID: "alice"})
	wantCode(w.t, err, CodeUnavailable, "the node has stopped")
	wantCode(w.t, w.Await(w.t.Context(), Position{Place: 1 << 40}), CodeUnavailable, "the node has stopped")
	w.must(w.Close())
	if waited := time.Since(began); waited > 0 {
		w.t.Errorf("a node that has stopped takes %s to say so and to close", waited)
	}
}

// TestADatabaseThatCantJoin checks what a node says at its start about a database with users
// of its own, and about a snapshot that is damaged.
func TestADatabaseThatCantJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 1)
		c.nodes[0].register("alice")
		alone := open(t)
		alone.register("bob")
		alone.must(alone.Close())
		alone.log = c.log
		alone.isRefusedToOpen("has 1 user of its own, and the log has begun with another database. To keep the users of the log, move the file away")

		c.pass(1500 * time.Millisecond)
		c.nodes[0].must(c.nodes[0].Service.node.saveSnapshot(t.Context()))
		c.log.mu.Lock()
		clear(c.log.snapshot[4096:])
		c.log.mu.Unlock()
		newcomer := &world{t: t, path: t.TempDir() + "/presence.db", settings: DefaultSettings(), log: c.log}
		newcomer.isRefusedToOpen("the snapshot in the log can't be used")
		if _, err := os.Stat(newcomer.path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("a damaged snapshot leaves a database: %v", err)
		}
	})
}

// TestRestoringACluster checks that the backup of a node founds an empty log, and that it
// doesn't become a node of the log from which it is: the log has another state.
func TestRestoringACluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 2)
		one := c.nodes[0]
		one.register("alice")
		one.set("alice", "saved", 0)
		backup := t.TempDir() + "/backup.db"
		one.must(Backup(t.Context(), one.path, backup))
		one.set("alice", "lost", 0)
		for _, w := range c.nodes {
			w.must(w.Close())
			_, err := Restore(t.Context(), w.path, backup)
			w.must(err)
			w.isRefusedToOpen("to keep those of the file, use the command presence cluster accept")
		}
		c.log = newMemoryLog()
		one.log = c.log
		one.start()
		c.nodes = c.nodes[:1]
		c.join()
		c.is("alice UNLOGINED saved", "the log begins with the backup")
		c.same()
	})
}

// TestTwoFounders checks that of two nodes which find an empty log at the same time, one
// founds it. The other joins, or is refused if it has users of its own.
func TestTwoFounders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		withUsers, empty := open(t), open(t)
		withUsers.register("alice")
		for _, w := range []*world{withUsers, empty} {
			w.must(w.Close())
			w.node = w.path
		}
		c := &cluster{t: t, log: newMemoryLog(), nodes: []*world{withUsers, empty}}
		withUsers.log = c.log
		empty.log = &overtaken{c.log, withUsers.start}
		empty.start()
		c.pass(2 * time.Second)
		c.is("alice UNLOGINED", "the node that was overtaken has joined")
		c.same()

		late := open(t)
		late.register("bob")
		late.must(late.Close())
		second := newMemoryLog()
		late.log = &overtaken{second, func() {
			w := &world{t: t, path: t.TempDir() + "/presence.db", settings: DefaultSettings(), log: second}
			w.start()
		}}
		late.isRefusedToOpen("has 1 user of its own, and the log has begun with another database")
	})
}

// overtaken is a log that somebody else founds just before the first snapshot is saved.
type overtaken struct {
	*memoryLog
	found func()
}

func (l *overtaken) SaveSnapshot(ctx context.Context, place int64, r io.Reader) error {
	if found := l.found; found != nil {
		l.found = nil
		found()
	}
	return l.memoryLog.SaveSnapshot(ctx, place, r)
}
