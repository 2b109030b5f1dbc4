package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	server "github.com/presence-server/presence/deploy/testserver"
)

// nodes is a PostgreSQL, and the nodes that have their log in it.
type nodes struct {
	t        *testing.T
	postgres *server.Postgres
}

func newNodes(t *testing.T) *nodes {
	t.Helper()
	return &nodes{t, server.StartPostgres(t)}
}

// node returns a node that isn't started yet.
func (n *nodes) node(name string, env ...string) *child {
	n.t.Helper()
	return newChild(n.t, append([]string{"CLUSTER__LOG=" + n.postgres.URL("postgres"), "CLUSTER__NAME=" + name}, env...)...)
}

// refused checks that a node doesn't start, and why.
func (c *child) refused(want string) {
	c.t.Helper()
	before := len(c.Log())
	if err := c.Launch(); err != nil {
		c.t.Fatal(err)
	}
	if code := c.Wait(); code != 1 {
		c.t.Errorf("the node ends with %d, want 1", code)
	}
	if said := c.Log()[before:]; !strings.Contains(said, want) {
		c.t.Errorf("the node prints %q, want %q", said, want)
	}
	if strings.Contains(c.Log(), server.PostgresPassword) {
		c.t.Errorf("the node prints the password of PostgreSQL:\n%s", c.Log())
	}
}

// awaits waits until the node has printed a text.
func (c *child) awaits(text string) {
	c.t.Helper()
	for !strings.Contains(c.Log(), text) {
		select {
		case <-c.Ctx.Done():
			c.t.Fatalf("the node doesn't print %q:\n%s", text, c.Log())
		case <-time.After(10 * time.Millisecond): // asking without a pause would take the CPU that the node needs
		}
	}
}

// succeeds runs a command of the program on the configuration of the node.
func (c *child) succeeds(args ...string) {
	c.t.Helper()
	if out, err := c.Command(args...).CombinedOutput(); err != nil {
		c.t.Fatalf("%v: %v\n%s", args, err, out)
	}
}

// fails runs a command of the program on the configuration of the node, and checks why it
// fails.
func (c *child) fails(want string, args ...string) {
	c.t.Helper()
	if out, err := c.Command(args...).CombinedOutput(); err == nil || !strings.Contains(string(out), want) {
		c.t.Errorf("%v: %v, %q, want %q", args, err, out, want)
	}
}

// takeFile gives the node a copy of the database of another one, which doesn't run.
func (c *child) takeFile(from *child) {
	c.t.Helper()
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(from.Database() + suffix)
		if err != nil && suffix == "" {
			c.t.Fatal(err)
		}
		if err == nil {
			if err := os.WriteFile(c.Database()+suffix, data, 0o600); err != nil {
				c.t.Fatal(err)
			}
		}
	}
}

// TestFromOneServerToThreeNodesAndBack checks that no status is lost on the way.
func TestFromOneServerToThreeNodesAndBack(t *testing.T) {
	alone := newChild(t)
	alone.Start()
	alone.Befriend("alice", "bob")
	alone.Set("alice", "before")
	alone.Kill()

	n := newNodes(t)
	one := n.node("one")
	one.takeFile(alone)
	one.Start()
	two, three := n.node("two"), n.node("three")
	two.Start()
	three.Start()
	if got := three.Status("alice"); !strings.Contains(got, "before") {
		t.Errorf("a node that has joined shows %s", got)
	}
	bob := three.Open("bob", "")
	two.Set("alice", "in three")
	three.Awaits(bob, "alice", "3 in three")
	for _, node := range []*child{two, three, one} {
		if err := node.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		node.Wait()
	}

	one.succeeds("cluster", "leave")
	back := newChild(t)
	back.takeFile(one)
	back.Start()
	if got := back.Status("alice"); !strings.Contains(got, "in three") {
		t.Errorf("a server that is alone again shows %s", got)
	}
	one.refused("has 2 users of its own, and the log has begun with another database")
}

// TestLogThatLostItsEndIsAccepted checks that the nodes refuse to go on, and that the command
// cluster accept makes one of them the beginning of a new log, which the others copy.
func TestLogThatLostItsEndIsAccepted(t *testing.T) {
	n := newNodes(t)
	one, two := n.node("one"), n.node("two")
	one.Start()
	two.Start()
	one.Befriend("alice", "bob")
	one.Set("alice", "the last")
	one.Kill()
	two.Kill()
	if _, err := n.postgres.SQL("postgres", "WITH gone AS (DELETE FROM presence.entries WHERE place > 3) UPDATE presence.head SET last = 3"); err != nil {
		t.Fatal(err)
	}
	one.refused("the log has lost it")
	n.postgres.Stop()
	one.fails("no connection to PostgreSQL", "cluster", "accept")
	if err := n.postgres.Start(); err != nil {
		t.Fatal(err)
	}
	one.refused("the log has lost it") // the database hasn't left the log
	one.succeeds("cluster", "accept")
	one.Start()
	if got := one.Status("alice"); !strings.Contains(got, "the last") {
		t.Errorf("the node that was accepted shows %s", got)
	}
	two.refused("belongs to another log")
	if err := os.Rename(two.Database(), filepath.Join(two.Folder, "moved away")); err != nil {
		t.Fatal(err)
	}
	os.Remove(two.Database() + "-wal")
	two.Start()
	if got := two.Status("alice"); !strings.Contains(got, "the last") {
		t.Errorf("the node that has copied the state shows %s", got)
	}
}

// TestWhatNodesRefuse checks that each mistake gets one line that says what to do.
func TestWhatNodesRefuse(t *testing.T) {
	n := newNodes(t)
	const secret = "AUTH__SECRET=the-old-secret-of-the-test"
	one := n.node("one", secret)
	one.Start()
	one.Befriend("alice", "bob")

	n.node("x", "AUTH__SECRET=another secret, of 16 bytes or more").refused(`auth.secret (or auth.jwks_url, if there is none) is not the same here and on the node "one"`)
	// A secret is changed on one node after another; see deploy/README.md.
	changed := n.node("two", "AUTH__SECRET=another secret, of 16 bytes or more", "AUTH__PREVIOUS_SECRETS=the-old-secret-of-the-test")
	changed.Start()
	changed.Kill()
	n.node("x", "CLUSTER__LOG=postgres://postgres:wrong@"+n.postgres.Address+"/postgres").refused("cluster.log can't be used: PostgreSQL refuses the login")
	n.node("x", "CLUSTER__LOG="+n.postgres.URL("nowhere")).refused(`cluster.log can't be used: database "nowhere" does not exist`)
	n.node("x", "CLUSTER__LOG=mysql://somewhere/db").refused("CLUSTER__LOG = …: must be a URL of PostgreSQL")
	n.node("x", "CLUSTER__LOG=postgres://one/db\npostgres://another").refused("CLUSTER__LOG = …: must be a URL of PostgreSQL in one line")
	n.node("x", "AUTH__SECRET=").refused("must be set, to the same value on every node")
	n.node("x", "CLUSTER__LOG_FILE=missing").refused("CLUSTER__LOG_FILE = …: excludes cluster.log")
	same := n.node("x", secret, "DATABASE__PATH="+one.Database())
	same.refused("in use")

	copied := n.node("copy", secret)
	copied.takeFile(one)
	copied.refused("another process runs with a copy of")
}

// TestNodeWaitsForItsLog checks that a node which starts before its PostgreSQL says so and
// waits, and can be stopped meanwhile.
func TestNodeWaitsForItsLog(t *testing.T) {
	n := newNodes(t)
	n.postgres.Stop()
	one := n.node("one")
	if err := one.Launch(); err != nil {
		t.Fatal(err)
	}
	one.awaits("log can't be reached")
	if err := one.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := one.Wait(); code != 0 {
		t.Errorf("a node that is stopped while it waits ends with %d:\n%s", code, one.Log())
	}
	if err := one.Launch(); err != nil {
		t.Fatal(err)
	}
	if err := n.postgres.Start(); err != nil {
		t.Fatal(err)
	}
	one.awaits("msg=ready")
}
