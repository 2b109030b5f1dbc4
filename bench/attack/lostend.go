//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
)

// lostEntries is how many entries the log loses. All nodes have applied more of it.
const lostEntries = 100

// loseEntries removes the last entries of the log, as a restored backup or a replica that
// takes over too early would have lost them.
func (c *cluster) loseEntries() error {
	_, err := c.engine.SQL("postgres", fmt.Sprintf(`
		UPDATE presence.head SET last = last - %d;
		DELETE FROM presence.entries WHERE place > (SELECT last FROM presence.head);
		UPDATE presence.head SET bytes = (SELECT sum(length(data)) FROM presence.entries)`, lostEntries))
	c.r.try("the log lost its last %d entries", lostEntries)
	return err
}

// moreEntries waits until the log has n more entries. So what the log loses afterwards is
// none of what was prepared: a client whose subscriptions are lost is sent nothing.
func (c *cluster) moreEntries(ctx context.Context, n int) error {
	enough, err := c.engine.SQL("postgres", fmt.Sprintf("SELECT last + %d FROM presence.head", n))
	if err != nil {
		return err
	}
	return until(ctx, func() (bool, error) {
		past, err := c.engine.SQL("postgres", fmt.Sprintf("SELECT last >= %s FROM presence.head", enough))
		return past == "t", err
	})
}

// loseEndStopped makes the log lose its end while all nodes are down.
func loseEndStopped(ctx context.Context, c *cluster) error {
	c.crew.desert()
	c.killAll()
	if err := c.loseEntries(); err != nil {
		return err
	}
	for _, n := range c.nodes {
		err := n.Start()
		if err == nil || !strings.Contains(err.Error(), "has lost it") {
			c.r.lose("%s should have refused to start, because the log has lost its end: %v", n.name, err)
			n.Kill()
		}
	}
	return c.accept(ctx)
}

// loseEndBroken makes the log lose its end while the nodes can't reach it for a moment, as
// when a replica takes over.
func loseEndBroken(ctx context.Context, c *cluster) error {
	for _, n := range c.nodes {
		n.link.cut()
	}
	err := c.loseEntries()
	for _, n := range c.nodes {
		n.link.reset()
		n.link.restore()
	}
	return errors.Join(err, c.allStop(ctx), c.accept(ctx))
}

// loseEndConnected makes the log lose its end while all nodes stay connected.
func loseEndConnected(ctx context.Context, c *cluster) error {
	return errors.Join(c.loseEntries(), c.allStop(ctx), c.accept(ctx))
}

// allStop checks that all nodes notice that the log has lost its end.
func (c *cluster) allStop(ctx context.Context) error {
	c.crew.desert()
	for _, n := range c.nodes {
		if until(ctx, func() (bool, error) { return strings.Contains(n.Log(), "has lost it"), nil }) != nil {
			c.r.lose("%s hasn't noticed that the log has lost its end", n.name)
		}
	}
	return nil
}

func (c *cluster) killAll() {
	for _, n := range c.nodes {
		n.Kill()
	}
	http.DefaultClient.CloseIdleConnections()
}

// accept makes the log go on from the node that has applied the most, with the command for
// that. The other nodes copy the state from it.
func (c *cluster) accept(ctx context.Context) error {
	c.killAll()
	var err error
	places := make(map[*node]int)
	for _, n := range c.nodes {
		place, errPlace := n.place(ctx)
		places[n], _ = strconv.Atoi(place)
		err = errors.Join(err, errPlace)
	}
	newest := slices.MaxFunc(c.nodes, func(a, b *node) int { return places[a] - places[b] })
	if out, errAccept := newest.Command("cluster", "accept").CombinedOutput(); errAccept != nil {
		err = errors.Join(err, fmt.Errorf("cluster accept: %w\n%s", errAccept, out))
	}
	for _, n := range c.others(newest) {
		err = errors.Join(err, n.removeDatabase())
	}
	if err = errors.Join(err, newest.Start()); err != nil {
		return err
	}
	for _, n := range c.others(newest) {
		err = errors.Join(err, n.Start())
	}
	return errors.Join(err, c.writes.more(ctx, 100))
}

// removeDatabase removes the files of a database, as somebody does who moves it away.
func (n *node) removeDatabase() error {
	var err error
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if errRemove := os.Remove(n.database() + suffix); !errors.Is(errRemove, os.ErrNotExist) {
			err = errors.Join(err, errRemove)
		}
	}
	return err
}

// goOnFromLog makes the log lose its end, and all nodes start from what is left of it. What
// is lost was answered, and the clients have seen it: they return when as many versions
// were issued again as were lost.
func goOnFromLog(ctx context.Context, c *cluster) error {
	if err := c.moreEntries(ctx, lostEntries); err != nil {
		return err
	}
	c.lossy.Store(true)
	c.crew.away.Store(true)
	c.crew.forgive()
	c.crew.desert()
	c.killAll()
	err := c.loseEntries()
	for _, n := range c.nodes {
		err = errors.Join(err, n.removeDatabase())
	}
	for _, n := range c.nodes {
		err = errors.Join(err, n.Start())
	}
	if err == nil {
		err = c.writes.more(ctx, 3*lostEntries)
	}
	c.crew.away.Store(false)
	return err
}
