package presence

import (
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
