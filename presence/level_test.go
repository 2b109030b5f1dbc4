package presence

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// nextLevel returns the codec of a release whose level is higher by one, and that has added
// the logout.
func nextLevel() *codec {
	c := newCodec()
	c.level++
	code, err := c.encode(&logout{})
	if err != nil {
		panic(err)
	}
	c.levels = map[uint64]int{code.Code: c.level}
	return c
}

// upgrade starts a node again with the next release.
func (c *cluster) upgrade(i int) {
	c.t.Helper()
	w := c.nodes[i]
	w.must(w.Close())
	w.codec = nextLevel()
	w.start()
}

// TestANewLevelWaitsForAllNodes checks that a node proposes operations of a level once all
// nodes know it, and that their callers get an error until then.
func TestANewLevelWaitsForAllNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 2)
		one, two := c.nodes[0], c.nodes[1]
		c.upgrade(0)
		alice := one.web("alice", "tab")
		err := one.Logout(t.Context(), "alice", "")
		wantCode(t, err, CodeUnavailable, "the other node can't log a device out")
		if !strings.Contains(err.Error(), `"node 2"`) {
			t.Errorf("the error is %q, which should name the node", err)
		}
		one.set("alice", "all else works", 0)
		c.upgrade(1)
		c.settle() // until the first node knows the level of the second
		one.must(one.Logout(t.Context(), "alice", ""))
		alice.isKicked(KickedLogout)
		c.settle()
		two.is("alice UNLOGINED all else works", "both nodes know the level")
		c.same()
	})
}

// TestAnEntryOfAHigherLevelStopsANode checks that a node doesn't guess what an entry of a
// later release means, and that the nodes that know it go on.
func TestAnEntryOfAHigherLevelStopsANode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 2)
		one, two := c.nodes[0], c.nodes[1]
		alice := one.web("alice", "tab")
		c.upgrade(1)
		op, err := nextLevel().encode(&logout{UserID: "alice"})
		two.must(err)
		entry := nextLevel().marshal(&proposal{Level: 2, Run: 99, Number: 1, Operations: []encoded{op}}) // of a run that has ended
		two.must(c.log.Append(t.Context(), entry))
		synctest.Wait()
		alice.ends(ErrClosed)
		one.hasStopped("upgrade this node")
		one.isRefusedToOpen("the log has operations of level 2, and this release knows level 1: upgrade this node")
		c.pass(5 * time.Second)
		two.must(two.Ready(t.Context()))
		wantList(t, two.live(), []string{"node 2"}, "the node that has stopped is dead for the others")
		c.upgrade(0)
		two.must(one.Ready(t.Context()))
	})
}
