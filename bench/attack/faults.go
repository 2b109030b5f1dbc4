//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/presence-server/presence/bench/lab"
	"github.com/presence-server/presence/deploy/testserver"
)

const (
	// quickly is a grace for attacks after which clients return at once. patiently is one
	// for attacks during which a node keeps its streams for ten seconds without knowing that
	// the others consider it dead.
	quickly   = 5 * time.Second
	patiently = 15 * time.Second
)

// ordeals returns the attacks on a cluster.
func (a *attacker) ordeals() []lab.Item {
	var items []lab.Item
	for _, o := range append([]ordeal{
		{name: "kill a node", short: true, grace: quickly, harm: killNode},
		{name: "kill PostgreSQL", short: true, grace: quickly, harm: killEngine},
		{name: "kill both", grace: quickly, harm: killBoth},
		{name: "stop a node for 2 s", grace: quickly, harm: stopNode(2 * time.Second)},
		{name: "stop a node for 6 s", grace: quickly, harm: stopNode(6 * time.Second)},
		{name: "stop a node for 20 s", grace: quickly, harm: stopNode(20 * time.Second)},
		{name: "stop PostgreSQL for 2 s", grace: quickly, harm: stopEngine(2 * time.Second)},
		{name: "stop PostgreSQL for 6 s", grace: quickly, harm: stopEngine(6 * time.Second)},
		{name: "stop PostgreSQL for 20 s", grace: quickly, harm: stopEngine(20 * time.Second)},
		{name: "stop PostgreSQL, clients away", grace: quickly, harm: stopEngineWhileAway},
		{name: "break connections", short: true, grace: quickly, harm: breakConnections},
		{name: "full disk of a node", grace: patiently, needs: smallDisk, harm: fullDisk},
		{name: "full disk of PostgreSQL", grace: quickly, needs: smallEngine, harm: fullEngine},
		{name: "rolling restart", grace: quickly, harm: restartAll},
		{name: "rolling upgrade", short: true, grace: quickly, needs: buildNext, harm: upgradeCluster},
		{name: "a node joins", grace: quickly, harm: joinNode},
		{name: "lost end, while down", grace: patiently, harm: loseEndStopped},
		{name: "lost end, at a failover", grace: patiently, harm: loseEndBroken},
		{name: "lost end, while connected", grace: patiently, harm: loseEndConnected},
		{name: "go on from a lost end", grace: patiently, harm: goOnFromLog},
		{name: "clock an hour ahead", grace: quickly, harm: shiftClock("1 hour")},
		{name: "clock an hour behind", grace: quickly, harm: shiftClock("-1 hour")},
		{name: "clocks of nodes", grace: quickly, needs: shiftNodes, harm: useClocks},
	}, networks()...) {
		if a.Short && !o.short {
			continue
		}
		items = append(items, attack("cluster: "+o.name, a.onCluster(o)))
	}
	return items
}

// down is for how long a process that was killed is down.
const down = 2 * time.Second

// killNode kills a node with -9 under load, and starts it again.
func killNode(ctx context.Context, c *cluster) error {
	n := c.nodes[1]
	n.Kill()
	c.crew.desert()
	if err := c.writes.more(ctx, 300); err != nil {
		return err
	}
	return n.Start()
}

// killEngine kills PostgreSQL with -9 under load, and starts it again.
func killEngine(ctx context.Context, c *cluster) error {
	for range c.a.Scale(5, 1) {
		c.engine.Kill()
		c.crew.desert()
		pause(ctx, down)
		if err := errors.Join(c.engine.Start(), c.writes.more(ctx, 100)); err != nil {
			return err
		}
	}
	return nil
}

// killBoth kills PostgreSQL and a node with -9 at the same time.
func killBoth(ctx context.Context, c *cluster) error {
	n := c.nodes[1]
	c.engine.Kill()
	n.Kill()
	c.crew.desert()
	pause(ctx, down)
	if err := c.engine.Start(); err != nil {
		return err
	}
	return errors.Join(n.Start(), c.writes.more(ctx, 100))
}

// stopNode makes a node hang.
func stopNode(d time.Duration) func(context.Context, *cluster) error {
	return func(ctx context.Context, c *cluster) error {
		n := c.nodes[1]
		n.Signal(syscall.SIGSTOP)
		c.crew.desert()
		pause(ctx, d)
		n.Signal(syscall.SIGCONT)
		return c.writes.more(ctx, 100)
	}
}

// stopEngine makes PostgreSQL hang.
func stopEngine(d time.Duration) func(context.Context, *cluster) error {
	return func(ctx context.Context, c *cluster) error {
		c.engine.Pause()
		c.crew.desert()
		pause(ctx, d)
		c.engine.Continue()
		return c.writes.more(ctx, 100)
	}
}

// stopEngineWhileAway makes PostgreSQL hang. Whoever loses a stream meanwhile returns only
// when PostgreSQL does.
func stopEngineWhileAway(ctx context.Context, c *cluster) error {
	c.crew.away.Store(true)
	defer c.crew.away.Store(false)
	c.engine.Pause()
	c.crew.desert()
	pause(ctx, 20*time.Second)
	c.engine.Continue()
	c.crew.away.Store(false)
	return c.writes.more(ctx, 100)
}

// breakConnections breaks the connections of all nodes to PostgreSQL again and again.
func breakConnections(ctx context.Context, c *cluster) error {
	c.crew.desert()
	for range c.a.Scale(100, 10) {
		for _, n := range c.nodes {
			n.link.reset()
		}
		if err := c.writes.more(ctx, 10); err != nil {
			return err
		}
	}
	return nil
}

// restartAll restarts one node after the other, as for an upgrade.
func restartAll(ctx context.Context, c *cluster) error {
	c.crew.desert()
	for _, n := range c.nodes {
		n.Signal(syscall.SIGTERM)
		if code := n.Wait(); code != 0 {
			c.r.lose("%s ended with %d", n.name, code)
		}
		http.DefaultClient.CloseIdleConnections()
		if err := errors.Join(n.Start(), c.writes.more(ctx, 100)); err != nil {
			return err
		}
	}
	return nil
}

// errNoFileSystem is the error of an attack that can't mount a file system.
var errNoFileSystem = errors.New("needs a file system of its own")

// mountSmall mounts a small file system.
func mountSmall(folder, size string) error {
	if err := command("mount", "-t", "tmpfs", "-o", "size="+size, "tmpfs", folder); err != nil {
		return fmt.Errorf("%w: %w", errNoFileSystem, err)
	}
	return nil
}

// smallDisk gives a node a small disk of its own for its database.
func smallDisk(c *cluster) error {
	n := c.nodes[1]
	folder := filepath.Join(n.Folder, "disk")
	if err := errors.Join(os.Mkdir(folder, 0o700), mountSmall(folder, "64m")); err != nil {
		return err
	}
	c.mounted = append(c.mounted, folder)
	n.moveDatabase(folder)
	return nil
}

// fullDisk uses up the space on the disk of a node, until the others consider it dead.
func fullDisk(ctx context.Context, c *cluster) error {
	n := c.nodes[1]
	filler := filepath.Join(filepath.Dir(n.database()), "filler")
	if err := fill(filler); err != nil {
		return err
	}
	c.crew.desert()
	err := c.nodes[0].Register(ctx, lab.Names("filling", 20_000)) // the space that is in the files is not enough
	c.says(ctx, n, "full")
	pause(ctx, 12*time.Second) // longer than until the node moves its streams away
	c.says(ctx, n, "full")
	return errors.Join(err, os.Remove(filler), c.writes.more(ctx, 100))
}

// says checks that a node isn't ready, for a reason that contains a text.
func (c *cluster) says(ctx context.Context, n *node, reason string) {
	var answer testserver.Answer
	err := until(ctx, func() (bool, error) {
		var err error
		answer, err = n.Call(ctx, "/readyz", "", nil)
		return answer.Status == http.StatusServiceUnavailable && strings.Contains(answer.Message, reason), err
	})
	if err != nil {
		c.r.lose("/readyz of a node answers %d %q, and should say %q: %v", answer.Status, answer.Message, reason, err)
	}
}

// smallEngine gives PostgreSQL a small disk.
func smallEngine(c *cluster) error {
	c.mounted = append(c.mounted, c.folder)
	return mountSmall(c.folder, "120m")
}

// fullEngine uses up the space on the disk of PostgreSQL. PostgreSQL may end because of
// that, and is then started again.
func fullEngine(ctx context.Context, c *cluster) error {
	filler := filepath.Join(c.folder, "filler")
	if err := fill(filler); err != nil {
		return err
	}
	c.crew.desert()
	pause(ctx, 10*time.Second)
	if err := os.Remove(filler); err != nil {
		return err
	}
	if err := until(ctx, func() (bool, error) {
		_, err := c.engine.SQL("postgres", "SELECT 1")
		return err == nil, nil
	}); err != nil {
		c.r.figure("PostgreSQL had to be started again")
		c.engine.Kill()
		if err := c.engine.Start(); err != nil {
			return err
		}
	}
	return c.writes.more(ctx, 100)
}
