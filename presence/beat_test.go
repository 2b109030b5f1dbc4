package presence

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestANodeThatHasJustBegunIsNotDead checks that the beginning of a run counts as a beat.
func TestANodeThatHasJustBegunIsNotDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 1)
		one := c.nodes[0]
		c.pass(10 * time.Second)
		c.join()
		c.settle()
		c.links[1].cut(errCut, errCut)
		c.pass(1500 * time.Millisecond)
		wantList(t, one.live(), []string{"node 1", "node 2"}, "one beat of the other has passed")
		c.pass(2 * time.Second)
		wantList(t, one.live(), []string{"node 1"}, "three have passed")
	})
}

// TestBeatsBeforeAnOutageDontCount checks that a node which reaches the log again a little
// later than the others, after an outage that all have had, isn't dead.
func TestBeatsBeforeAnOutageDontCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 2)
		one := c.nodes[0]
		c.pass(10*time.Second + 500*time.Millisecond)
		runs := one.LogMetrics().Nodes
		c.links[1].cut(errCut, errCut)
		c.pass(time.Second) // a beat of the other
		c.links[0].cut(errCut, errCut)
		c.pass(6 * time.Second)
		c.links[0].cut(nil, nil)
		c.pass(1500 * time.Millisecond)
		c.links[1].cut(nil, nil)
		c.pass(3 * time.Second)
		for i, n := range one.LogMetrics().Nodes {
			if n.Run != runs[i].Run {
				t.Errorf("%s has the run %d, want %d", n.Name, n.Run, runs[i].Run)
			}
		}
		c.same()
	})
}

// TestBeatsOfABusyLogCount checks that beats count which the log takes in with a delay that
// changes. So a death doesn't take longer then.
func TestBeatsOfABusyLogCount(t *testing.T) {
	b := beats{1}
	for i, delay := range []time.Duration{0, 400, 0, 300, 100, 400} {
		b.add(toMicros(time.Duration(i+1)*beatEvery + delay*time.Millisecond))
	}
	if want := (beats{6_400_000, 5_100_000, 4_300_000}); b != want {
		t.Errorf("the last beats are %d, want %d", b, want)
	}
}

// TestOneNodeReportsADeath checks that the node whose beats have found another one dead logs
// it, when that happens, and nobody else.
func TestOneNodeReportsADeath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 3)
		var lines [3]bytes.Buffer
		for i, w := range c.nodes {
			w.must(w.Close())
			w.logger = slog.New(slog.NewTextHandler(&lines[i], nil))
			w.start()
		}
		c.pass(2 * time.Second)
		c.links[2].cut(errCut, errCut)
		c.pass(5 * time.Second)
		c.links[2].cut(nil, nil)
		c.pass(2 * time.Second)
		c.nodes[0].must(c.nodes[0].Close())
		c.nodes[0].start() // applies none of it again
		c.pass(time.Second)
		if all := lines[0].String() + lines[1].String(); strings.Count(all, `"node is dead: it had no beat while this node had three" node="node 3"`) != 1 {
			t.Errorf("the other nodes log\n%s", all)
		}
		if own := lines[2].String(); strings.Contains(own, "node is dead") {
			t.Errorf("the node logs its own death:\n%s", own)
		}
	})
}

// TestStreamsMoveAwayAfterTenSeconds checks that the streams of a node end 10 seconds after an
// entry of the node was applied last, also if a call waits for the log at that time.
func TestStreamsMoveAwayAfterTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 1, silent)
		one := c.nodes[0]
		alice := one.web("alice", "tab")
		c.pass(1500 * time.Millisecond)
		c.links[0].hold() // an entry, behind which a beat waits
		go one.Set(t.Context(), "alice", "late", 0)
		c.pass(4700 * time.Millisecond)
		c.links[0].cut(errCut, nil)
		c.pass(200 * time.Millisecond) // until the node reads again, whose call the link has cut
		c.links[0].release()
		synctest.Wait()
		began := time.Now()
		alice.next() // the late status
		alice.ends(ErrClosed)
		if took := time.Since(began); took != awayAfter {
			t.Errorf("the stream ends after %s, want %s", took, awayAfter)
		}
		c.links[0].cut(nil, nil)
	})
}

// TestBeatsOutliveARestart restarts a node between two beats of another that find a third one
// dead. All must find it dead at the same entry.
func TestBeatsOutliveARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 1)
		for range 2 {
			c.pass(300 * time.Millisecond)
			c.join()
		}
		one, two := c.nodes[0], c.nodes[1]
		c.nodes[2].web("alice", "tab")
		c.pass(9300 * time.Millisecond)
		c.links[2].cut(errCut, errCut)
		c.pass(2 * time.Second) // two beats of the first node
		one.must(two.Close())
		two.start()
		c.pass(2 * time.Second)
		for _, w := range c.nodes[:2] {
			wantList(t, w.live(), []string{"node 1", "node 2"}, "on "+w.node)
		}
		if ends := one.dump()["run_ends"]; ends == "" || ends != two.dump()["run_ends"] {
			t.Errorf("the ends of runs differ:\n%s\nand after the restart\n%s", ends, two.dump()["run_ends"])
		}
		c.links[2].cut(nil, nil)
		c.pass(2 * time.Second)
		c.same()
	})
}
