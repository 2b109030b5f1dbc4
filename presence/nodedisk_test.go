package presence

import (
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestTheDiskOfOneNodeFails checks what happens when a node can't write an entry that is
// durable in the log: its callers get an error, it has no beats and isn't ready, and once
// the disk is back it has the state of the others, without anything twice.
func TestTheDiskOfOneNodeFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 2, silent)
		one, two := c.nodes[0], c.nodes[1]
		stays, moves, left := one.web("stays", "tab"), one.web("moves", "tab"), one.web("left", "tab")
		one.register("alice")
		c.pass(1500 * time.Millisecond)
		putBack := one.loseDisk()
		began := time.Now()
		_, err := one.Connect(t.Context(), Device{UserID: "ghost", ID: "tab"})
		wantCode(t, err, CodeUnavailable, "its login is in the log, and can't be written here")
		if took := time.Since(began); took != 0 {
			t.Errorf("Connect takes %s", took)
		}
		left.Close()
		refused := make(chan error, 1)
		go func() {
			_, err := one.Set(t.Context(), "alice", "too late", 0)
			refused <- err
		}()
		synctest.Wait()
		if err := one.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "put it back") {
			t.Errorf("Ready returns %v", err)
		}
		two.is("ghost ONLINE", "its login is in the log")
		one.is("stays ONLINE", "reads continue")
		c.pass(6 * time.Second)
		wantCode(t, <-refused, CodeUnavailable, "nothing is applied here")
		wantList(t, two.live(), []string{"node 2"}, "the node has no beats")
		two.web("moves", "tab")

		putBack()
		c.pass(2 * time.Second)
		one.must(one.Ready(t.Context()))
		wantList(t, two.live(), []string{"node 2", "node 1"}, "the node has a new run")
		moves.ends(io.EOF)
		c.pass(45 * time.Second)
		c.is("stays ONLINE", "its stream is open")
		c.is("moves ONLINE", "its new stream is open")
		c.is("left UNLOGINED", "its stream has ended")
		c.is("alice UNLOGINED", "what was not proposed is withdrawn")
		c.is("ghost UNLOGINED", "its login is applied, and nobody reads its stream")
		stays.Close()
		c.pass(11 * time.Second)
		c.is("stays UNLOGINED", "the end of its stream counts")
		c.same()
	})
}

// TestAStreamMovesWhileTheDiskFails checks that a session ends whose device has moved, also
// if the entry that says so can't be written at once.
func TestAStreamMovesWhileTheDiskFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 2, silent)
		one, two := c.nodes[0], c.nodes[1]
		alice := one.web("alice", "tab")
		c.pass(1500 * time.Millisecond)
		c.links[0].cut(errCut, errCut)
		c.pass(5 * time.Second)
		two.web("alice", "tab")
		c.links[0].cut(nil, nil)
		putBack := one.loseDisk()
		c.pass(2 * time.Second)
		putBack()
		c.pass(2 * time.Second)
		alice.ends(io.EOF)
		c.is("alice ONLINE", "her new stream is open")
		c.same()
	})
}

// TestANodeBeginsARunWhileTheDiskFails checks that the node goes on whose run has begun in
// the log, but can't be written at once.
func TestANodeBeginsARunWhileTheDiskFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 2, silent)
		one, two := c.nodes[0], c.nodes[1]
		alice := one.web("alice", "tab")
		c.pass(1500 * time.Millisecond) // between two beats
		c.links[0].cut(errCut, nil)
		c.pass(5 * time.Second)
		wantList(t, two.live(), []string{"node 2"}, "the run has ended")
		c.links[0].hold()
		c.links[0].cut(nil, nil)
		c.pass(200 * time.Millisecond)
		c.links[0].release() // a beat of the run that has ended
		c.links[0].hold()
		c.pass(200 * time.Millisecond)
		putBack := one.loseDisk()
		c.links[0].release() // the begin is the first entry that can't be written
		c.pass(0)
		wantList(t, two.live(), []string{"node 2", "node 1"}, "a run has begun")
		wantList(t, one.live(), []string{"node 2"}, "the node can't write that")
		putBack()
		c.pass(2 * time.Second)
		one.must(one.Ready(t.Context()))
		wantList(t, one.live(), []string{"node 2", "node 1"}, "the node has its run")
		c.pass(45 * time.Second)
		c.is("alice ONLINE", "her stream is open, and was taken over")
		alice.quiet("nothing concerns it")
		c.same()
	})
}

// TestARepeatArrivesWhileTheDiskFails checks that an entry that arrives for the second time
// has no effect either if that can't be written at once.
func TestARepeatArrivesWhileTheDiskFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 2, silent)
		one := c.nodes[0]
		one.register("alice")
		one.set("alice", "first", 0)
		repeat := c.log.entries[c.log.last()-1].Data
		one.set("alice", "second", 0)
		c.settle()
		putBack := one.loseDisk()
		one.must(c.log.Append(t.Context(), repeat))
		c.pass(500 * time.Millisecond)
		putBack()
		c.pass(2 * time.Second)
		c.is("alice UNLOGINED second", "the first status isn't set again")
		c.same()
	})
}

// TestAnEntryWithoutEffectArrivesWhileTheDiskFails checks that the operations are proposed
// again of an entry that arrives after the run of its node has ended, if that can't be written
// at once either.
func TestAnEntryWithoutEffectArrivesWhileTheDiskFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 2, silent)
		one, two := c.nodes[0], c.nodes[1]
		c.pass(3 * time.Second)
		c.links[0].hold()
		c.pass(6 * time.Second)
		wantList(t, one.live(), []string{"node 2"}, "a beat of the node is on its way")
		putBack := one.loseDisk()
		c.links[0].release()
		c.pass(500 * time.Millisecond)
		putBack()
		c.pass(10 * time.Second)
		wantList(t, two.live(), []string{"node 2", "node 1"}, "the node has beats again")
		one.must(one.Ready(t.Context()))
		c.same()
	})
}

// TestADamagedDatabaseStopsItsNode checks that a node whose state isn't that of the others
// stops and says what to do, and that the others go on if they agree. Of two nodes, at least
// one stops.
func TestADamagedDatabaseStopsItsNode(t *testing.T) {
	for _, nodes := range []int{2, 3} {
		t.Run(fmt.Sprint(nodes, " nodes"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := openCluster(t, nodes)
				one, last := c.nodes[0], c.nodes[nodes-1]
				one.register("alice", "bob")
				one.must(last.Close())
				last.damage("UPDATE users SET custom_status = 'damaged', set_at = 1 WHERE user_id = 'alice'")
				last.start()
				c.pass(3 * time.Second)
				last.must(last.Ready(t.Context()))
				one.must(one.SetVisibility(t.Context(), "alice", true))
				c.pass(6 * time.Second)
				if nodes == 3 {
					one.must(one.Ready(t.Context()))
					one.set("bob", "goes on", 0)
					c.nodes[1].must(c.nodes[1].Ready(t.Context()))
				} else if last.Ready(t.Context()) == nil {
					last = one // neither can know whose database is damaged: the first to notice the difference stops
				}
				last.hasStopped("has another state than " + last.path)
			})
		})
	}
}

// TestAMinorityStops checks that the nodes which agree go on if they are most: also if three
// of seven have the same other state, such as that of a release that has a fault.
func TestAMinorityStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 7, silent)
		one := c.nodes[0]
		one.register("alice")
		c.settle()
		for _, w := range c.nodes[4:] {
			one.must(w.Close())
			w.damage("UPDATE users SET custom_status = 'damaged', set_at = 1 WHERE user_id = 'alice'")
			c.pass(100 * time.Millisecond)
			w.start()
		}
		c.pass(2750 * time.Millisecond) // the three beat next
		one.must(one.SetVisibility(t.Context(), "alice", true))
		c.pass(10 * time.Second)
		wantList(t, c.running(), []string{"node 1", "node 2", "node 3", "node 4"}, "the four that agree go on")
	})
}

// TestAHealthyNodeGoesOn checks that a node isn't stopped by one that is damaged while the
// third, which agrees, is away for a few seconds.
func TestAHealthyNodeGoesOn(t *testing.T) {
	for name, phase := range map[string]time.Duration{"damaged node beats before": 700 * time.Millisecond, "damaged node beats after": 300 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := openCluster(t, 3, silent)
				one, last := c.nodes[0], c.nodes[2]
				one.register("alice")
				one.must(last.Close())
				last.damage("UPDATE users SET custom_status = 'damaged', set_at = 1 WHERE user_id = 'alice'")
				c.pass(phase)
				last.start()
				c.pass(2500 * time.Millisecond)
				c.links[1].cut(errCut, errCut)
				one.must(one.SetVisibility(t.Context(), "alice", true))
				c.pass(2400 * time.Millisecond)
				c.links[1].cut(nil, nil)
				c.pass(6 * time.Second)
				wantList(t, c.running(), []string{"node 1", "node 2"}, "the two that agree go on")
			})
		})
	}
}

// running returns the names of the nodes that have not stopped.
func (c *cluster) running() (names []string) {
	for _, w := range c.nodes {
		if w.StopCause() == nil {
			names = append(names, w.node)
		}
	}
	return names
}

// TestANodeStopsWhileItsDiskFails closes a node that can't write an entry of its own.
func TestANodeStopsWhileItsDiskFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 2)
		one, two := c.nodes[0], c.nodes[1]
		one.register("alice")
		c.settle()
		putBack := one.loseDisk()
		_, err := one.Set(t.Context(), "alice", "it is in the log", 0)
		wantCode(t, err, CodeUnavailable, "it can't be written here")
		began := time.Now()
		one.must(one.Close())
		if took := time.Since(began); took > maxWait+retryEvery {
			t.Errorf("Close takes %s", took)
		}
		putBack()
		one.start()
		c.settle()
		two.is("alice UNLOGINED it is in the log", "the other has applied it")
		c.same()
	})
}

// TestBeatsArePartOfTheState checks that a node whose beats are not those of the others stops,
// because it would find others dead at another entry.
func TestBeatsArePartOfTheState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 3)
		last := c.nodes[2]
		c.pass(3 * time.Second)
		last.must(last.Close())
		last.damage("UPDATE runs SET beat_1 = beat_1 + 1")
		last.start()
		c.pass(3 * time.Second)
		last.hasStopped("has another state than " + last.path)
	})
}

// loseDisk makes everything fail that the service writes, until putBack is called.
func (w *world) loseDisk() (putBack func()) {
	w.t.Helper()
	if runtime.GOOS == "windows" {
		w.t.Skip("there an open file keeps its name")
	}
	away := filepath.Join(w.t.TempDir(), "away")
	w.must(os.Rename(w.path, away))
	return func() { w.must(os.Rename(away, w.path)) }
}

// damage changes the file of a service that is closed.
func (w *world) damage(statement string) {
	w.t.Helper()
	db, err := sql.Open("sqlite", w.path)
	w.must(err)
	_, err = db.Exec(statement)
	w.must(errors.Join(err, db.Close()))
}
