package presence

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// cluster is several nodes that share a log.
type cluster struct {
	t     *testing.T
	log   *memoryLog
	nodes []*world
	links []*link
}

func openCluster(t *testing.T, n int, adjust ...func(*Settings)) *cluster {
	t.Helper()
	c := &cluster{t: t, log: newMemoryLog()}
	for range n {
		c.join(adjust...)
	}
	return c
}

// join starts one more node.
func (c *cluster) join(adjust ...func(*Settings)) *world {
	c.t.Helper()
	settings := DefaultSettings()
	for _, f := range adjust {
		f(&settings)
	}
	name := fmt.Sprint("node ", len(c.nodes)+1)
	l := newLink(c.log)
	w := &world{t: c.t, path: filepath.Join(c.t.TempDir(), "presence.db"), settings: settings, log: l, node: name}
	w.start()
	c.nodes, c.links = append(c.nodes, w), append(c.links, l)
	return w
}

// pass lets time pass, until everything that becomes due is done.
func (c *cluster) pass(d time.Duration) { c.nodes[0].pass(d) }

// is checks a status on all nodes.
func (c *cluster) is(want, promise string) {
	c.t.Helper()
	for _, w := range c.nodes {
		w.is(want, promise+", on "+w.node)
	}
}

// live returns the names of the nodes that live, in order of their runs, as w knows them.
func (w *world) live() (names []string) {
	for _, n := range w.LogMetrics().Nodes {
		names = append(names, n.Name)
	}
	return names
}

// settle waits until all nodes have applied the whole log.
func (c *cluster) settle() {
	c.t.Helper()
	synctest.Wait()
	for _, w := range c.nodes {
		if w.StopCause() == nil {
			if got := w.Service.model.applied.place; got != c.log.last() {
				c.t.Errorf("%s has applied %d entries of %d", w.node, got, c.log.last())
			}
		}
	}
}

// same checks that all nodes have the same rows and the same digest.
func (c *cluster) same() {
	c.t.Helper()
	c.settle()
	first := c.nodes[0].dump()
	for _, w := range c.nodes[1:] {
		for table, rows := range w.dump() {
			if rows != first[table] {
				c.t.Errorf("%s differs on %s:\n%s\nand on %s\n%s", table, c.nodes[0].node, first[table], w.node, rows)
			}
		}
		if string(w.Service.model.applied.digest) != string(c.nodes[0].Service.model.applied.digest) {
			c.t.Errorf("the digests differ")
		}
	}
	c.nodes[0].must(checkConditions(c.t.Context(), c.nodes[0].store.Reader(), c.nodes[0].path, latest, false))
}

// TestNodesActAsOne checks that what is written at one node is seen at the others.
func TestNodesActAsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 3)
		one, two, three := c.nodes[0], c.nodes[1], c.nodes[2]
		one.register("alice", "bob")
		bob := two.web("bob", "tab")
		two.subscribe("bob", "alice")
		alice := three.web("alice", "tab")
		if event := bob.next(); event.Statuses[0].StatusType != Online {
			t.Errorf("bob receives %v", event.Statuses)
		}
		three.set("alice", "here", 0)
		bob.next()
		alice.next()
		c.settle()
		one.is("alice ONLINE here", "a status that another node has set")
		again := one.web("alice", "tab")
		c.settle()
		alice.ends(io.EOF)
		two.is("alice ONLINE here", "the device connected again elsewhere")
		again.Close()
		c.nodes[0].pass(11 * time.Second)
		for _, w := range c.nodes {
			w.is("alice UNLOGINED here", "the grace is over on all nodes")
		}
		one.must(two.Kick(t.Context(), "bob"))
		bob.isKicked(KickedByAdmin)
		c.same()
	})
}

// TestModelOnTwoNodes walks as TestModel does on one of two nodes. The other must have the
// same state. So every operation that a call submits is encoded, and applied by a node that
// didn't submit it.
func TestModelOnTwoNodes(t *testing.T) {
	for n := range uint64(4) {
		synctest.Test(t, func(t *testing.T) {
			c := openCluster(t, 2, walkSettings)
			k := newWalk(c.nodes[0], n+1)
			k.run()
			c.same()
		})
	}
}

// TestExplainNamesNodes checks that each node explains at which node a device is
// connected, and which node has stopped.
func TestExplainNamesNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 2)
		one, two := c.nodes[0], c.nodes[1]
		two.web("alice", "tab").next()
		c.settle()
		for _, w := range c.nodes {
			e, err := w.Explain(t.Context(), "alice")
			w.must(err)
			if e.Devices[0].Node != two.node || e.Streams != 1 {
				t.Errorf("%s explains that the device is connected at %q with %d streams, want %q with 1", w.node, e.Devices[0].Node, e.Streams, two.node)
			}
		}
		two.Service.Close()
		synctest.Wait()
		e, err := one.Explain(t.Context(), "alice")
		one.must(err)
		if want := "the last was connected to the node node 2, which stopped at "; !strings.Contains(e.Why, want) || e.Devices[0].Node != "" {
			t.Errorf("after the end of %s, alice is %q and her device is at %q, want %q", two.node, e.Why, e.Devices[0].Node, want)
		}
	})
}

// TestDigestsAreComparable checks that the metrics of all nodes have the digest of the same
// place, although the nodes have started at different times.
func TestDigestsAreComparable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 2)
		if m := c.nodes[0].LogMetrics(); m.DigestPlace != 0 || m.Digest != nil {
			t.Errorf("before a minute begins, the digest is %x at place %d", m.Digest, m.DigestPlace)
		}
		c.nodes[0].pass(70 * time.Second)
		c.join()
		c.nodes[0].pass(50 * time.Second)
		c.settle()
		first := c.nodes[0].LogMetrics()
		if first.DigestPlace == 0 {
			t.Fatal("no digest after a minute")
		}
		for _, w := range c.nodes[1:] {
			if m := w.LogMetrics(); m.DigestPlace != first.DigestPlace || string(m.Digest) != string(first.Digest) {
				t.Errorf("%s has the digest %x at place %d, and %s has %x at place %d",
					w.node, m.Digest, m.DigestPlace, c.nodes[0].node, first.Digest, first.DigestPlace)
			}
		}
	})
}

// TestASlowNodeBeatsAsOftenAsItCan has a node whose beats often take longer than a second,
// because another entry is under way before them. It doesn't leave out the beats that
// follow: then the others would nearly consider it dead.
func TestASlowNodeBeatsAsOftenAsItCan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 2)
		two := c.nodes[1]
		two.register("alice")
		c.links[1].slow(500 * time.Millisecond)
		beats := func() int64 {
			for _, n := range two.LogMetrics().Nodes {
				if n.Own {
					return n.Beats
				}
			}
			return 0
		}
		before, end := beats(), time.Now().Add(21*time.Second)
		for i := 0; time.Now().Before(end); i++ {
			two.set("alice", fmt.Sprint(i), 0)
		}
		if n := beats() - before; n < 18 {
			t.Errorf("in 21 s the node has had %d beats, want nearly one in each second", n)
		}
	})
}
