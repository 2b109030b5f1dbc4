//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/presence-server/presence/deploy/testserver"
)

// cluster is several nodes that share a log in one PostgreSQL, and the clients that use
// them while they are attacked.
type cluster struct {
	a       *attacker
	r       *report
	folder  string // of PostgreSQL
	mounted []string
	grace   time.Duration
	engine  *testserver.Postgres
	nodes   []*node
	lossy   atomic.Bool // what was answered may be lost, and versions may go back
	writes  *writes
	crew    *crew
	next    string // the binary of the next release
}

// node is one server of a cluster.
type node struct {
	*victim
	number int
	name   string
	link   *link // to PostgreSQL
	wire   *wire // to everything, instead of a link; nil unless the node has a network of its own
}

// ordeal is an attack on a cluster.
type ordeal struct {
	name  string
	short bool          // it is part of a short run
	grace time.Duration // reconnect_grace and restart_grace
	needs func(c *cluster) error

	// harm does something to the cluster while its clients use it, and returns when
	// everything works again, except for what the nodes have to do by themselves.
	harm func(ctx context.Context, c *cluster) error
}

const (
	nodesInCluster = 3
	clusterStreams = 300
	clusterDrain   = time.Second
)

// onCluster returns an attack on a cluster that lives for it alone.
func (a *attacker) onCluster(o ordeal) func(context.Context, *report) error {
	return func(ctx context.Context, r *report) error {
		c := &cluster{a: a, r: r, grace: o.grace}
		defer c.end()
		if err := c.start(ctx, o.needs); isMissing(err) {
			r.skipped = err.Error()
			return nil
		} else if err != nil {
			return err
		}
		if err := c.populate(ctx); err != nil {
			return err
		}
		err := c.writes.meanwhile(ctx, c, func() error {
			return errors.Join(c.writes.more(ctx, 100), o.harm(ctx, c))
		})
		if err != nil {
			return c.withLogs(err)
		}
		if err := c.settles(ctx, time.Now()); err != nil {
			return c.withLogs(err)
		}
		return nil
	}
}

// isMissing reports whether the error is that the machine lacks what an attack needs.
func isMissing(err error) bool {
	return errors.Is(err, testserver.ErrNoPostgres) || errors.Is(err, errNoFileSystem) || errors.Is(err, errNoNamespace)
}

// start starts PostgreSQL and the nodes. needs, unless nil, prepares what the attack
// needs before anything is started.
func (c *cluster) start(ctx context.Context, needs func(*cluster) error) (err error) {
	if c.folder, err = os.MkdirTemp("", "presence-postgres-"); err != nil { // not in a folder that only root can reach
		return err
	}
	for i := range nodesInCluster {
		if err := c.prepare(i); err != nil {
			return err
		}
	}
	if needs != nil {
		if err := needs(c); err != nil {
			return err
		}
	}
	if c.engine, err = testserver.NewPostgres(c.folder); err != nil {
		return err
	}
	if err := errors.Join(c.admitWired(), c.engine.Start()); err != nil {
		return err
	}
	for _, n := range c.nodes {
		if err := c.join(n); err != nil {
			return err
		}
	}
	return nil
}

// prepare adds a node that isn't started.
func (c *cluster) prepare(i int) error {
	s, err := c.a.Prepare("", "LOG__LEVEL=warn", fmt.Sprint("CLUSTER__NAME=node-", i),
		fmt.Sprint("TIMING__RESTART_GRACE=", c.grace), fmt.Sprint("TIMING__RECONNECT_GRACE=", c.grace),
		fmt.Sprint("TIMING__DRAIN=", clusterDrain), "TIMING__KEEPALIVE=1s", "TIMING__CUSTOM_STATUS_TTL=1h")
	if err == nil {
		c.nodes = append(c.nodes, &node{victim: &victim{s}, number: i, name: fmt.Sprint("node-", i)})
	}
	return err
}

// join connects a node to PostgreSQL, and starts it for the first time.
func (c *cluster) join(n *node) error {
	url, err := c.logURL(n)
	if err != nil {
		return err
	}
	n.Env = append(n.Env, "CLUSTER__LOG="+url)
	return n.Start()
}

// end ends all processes, and removes what they stored.
func (c *cluster) end() {
	if c.crew != nil {
		c.crew.leave()
	}
	for _, n := range c.nodes {
		n.Kill()
		if n.link != nil {
			n.link.close()
		}
		if n.wire != nil {
			n.wire.close()
		}
	}
	if c.engine != nil {
		c.engine.Kill()
	}
	for _, folder := range c.mounted {
		syscall.Unmount(folder, syscall.MNT_DETACH)
	}
	for _, n := range c.nodes {
		n.End()
	}
	os.RemoveAll(c.folder)
}

// withLogs adds the last lines of the logs to an error.
func (c *cluster) withLogs(err error) error {
	for _, n := range c.nodes {
		err = fmt.Errorf("%w\n%s:\n%s", err, n.name, lastLines(n.Log(), 20))
	}
	return fmt.Errorf("%w\nPostgreSQL:\n%s", err, lastLines(c.engine.Log(), 10))
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// populate lets users connect to all nodes, and prepares those who write.
func (c *cluster) populate(ctx context.Context) error {
	c.writes = newWrites(c)
	c.crew = newCrew(c)
	if err := c.nodes[0].Register(ctx, append(c.writes.users(), c.crew.users()...)); err != nil {
		return err
	}
	return c.crew.arrive(ctx)
}

// others returns the nodes but one.
func (c *cluster) others(but *node) (others []*node) {
	for _, n := range c.nodes {
		if n != but {
			others = append(others, n)
		}
	}
	return others
}

// database returns where a node has its database.
func (n *node) database() string {
	for _, setting := range n.Env {
		if path, found := strings.CutPrefix(setting, "DATABASE__PATH="); found {
			return path
		}
	}
	return n.Database()
}

// moveDatabase makes a node that was never started have its database in a folder.
func (n *node) moveDatabase(folder string) {
	n.Env = append(n.Env, "DATABASE__PATH="+filepath.Join(folder, "presence.db"))
}

// pause waits for a time, or until ctx is done.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// readyAgain waits until all nodes are ready.
func (c *cluster) readyAgain(ctx context.Context) error {
	for _, n := range c.nodes {
		var answer testserver.Answer
		err := until(ctx, func() (bool, error) {
			within, cancel := context.WithTimeout(ctx, 2*time.Second)
			defer cancel()
			var err error
			answer, err = n.Call(within, "/readyz", "", nil)
			return err == nil && answer.Status == 200, nil
		})
		if err != nil {
			return fmt.Errorf("%s isn't ready: %d %q: %w", n.name, answer.Status, answer.Message, err)
		}
	}
	return nil
}

// jitter returns a random time below most.
func jitter(random *rand.Rand, most time.Duration) time.Duration {
	return time.Duration(random.Int64N(int64(most)))
}
