//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/presence-server/presence/bench/lab"
)

// crowd is many clients that do the same bad thing at once.
type crowd struct {
	a     *attacker
	name  string
	n     int
	loud  bool     // they watch users whose statuses are long and change all the time, and the server has to cut them all
	again bool     // who was cut, or is done, begins anew
	one   behavior // of one of them

	v       *victim
	healthy *healthy
}

// behavior does one bad thing over a connection, which is closed in the end. It
// calls begun once that has begun.
type behavior func(c *client, begun func()) error

// client is one of a crowd.
type client struct {
	net.Conn
	token  string
	random *rand.Rand
}

// crowds are the crowds, each of an attack of its own.
func (a *attacker) crowds() []*crowd {
	all := []*crowd{
		{name: "stop reading", n: 500, loud: true, one: stopReading},
		{name: "connect and leave", n: 500, again: true, one: leave},
		{name: "bodies without end", n: 500, again: true, one: sendBody},
		{name: "idle connections", n: 10_000, one: idle},
	}
	for _, c := range all {
		c.a = a
	}
	return all
}

// crowdTimeout is the server's write_timeout: longer than the healthy stream is
// measured for.
const crowdTimeout = 4 * time.Second

// attack measures the healthy stream without the crowd and with it, and what is
// left of the crowd afterwards.
func (c *crowd) attack(ctx context.Context, r *report) error {
	v, err := c.a.start("TIMING__BATCH_WINDOW=0s", "TIMING__RECONNECT_GRACE=0s", "LIMITS__CUSTOM_STATUS_BYTES=65536",
		fmt.Sprint("TIMING__WRITE_TIMEOUT=", crowdTimeout))
	if err != nil {
		return err
	}
	defer v.End()
	c.v = v
	if err := c.prepare(ctx); err != nil {
		return err
	}
	defer c.healthy.stream.Close()
	changes := c.a.Scale(500, 150)
	without, err := c.healthy.delays(ctx, changes)
	if err != nil {
		return err
	}
	before, err := v.holdings(ctx)
	if err != nil {
		return err
	}
	with, most, err := c.rage(ctx, changes, r)
	if err != nil {
		return err
	}
	compare(r, without, with)
	r.figure("at most %s", most)
	return c.settles(ctx, before, most, r)
}

// loudUsers is how many long statuses each of a loud crowd watches.
const loudUsers = 4

// badUsers is as many users as a crowd comes from.
const badUsers = 500

func (c *crowd) prepare(ctx context.Context) (err error) {
	users, louds := lab.Names("bad", badUsers), lab.Names("loud", loudUsers)
	if err := c.v.Register(ctx, append(users, louds...)); err != nil {
		return err
	}
	for i := 0; c.loud && i < len(users); i++ {
		if err := c.v.Befriend(ctx, users[i], louds...); err != nil {
			return err
		}
	}
	c.healthy, err = newHealthy(ctx, c.v)
	return err
}

// rage lets the crowd in, and measures the healthy stream and what the server
// holds meanwhile.
func (c *crowd) rage(ctx context.Context, changes int, r *report) (with []time.Duration, most holdings, err error) {
	ctx, cancel := context.WithCancel(ctx)
	var shouting sync.WaitGroup
	defer shouting.Wait()
	defer cancel()
	if c.loud {
		shouting.Go(func() { c.shout(ctx) })
	}
	m, err := c.gather(ctx, c.v.Address)
	if err != nil {
		return nil, most, err
	}
	with, err = c.healthy.delays(ctx, changes)
	if err == nil {
		most, err = c.v.holdings(ctx)
	}
	if err == nil && c.loud {
		c.areCut(ctx, r)
	}
	r.try("%d clients", c.n)
	return with, most, errors.Join(err, m.leave())
}

// areCut waits until the server has cut as many streams as there are clients.
func (c *crowd) areCut(ctx context.Context, r *report) {
	var h holdings
	err := until(ctx, func() (bool, error) {
		var err error
		h, err = c.v.holdings(ctx)
		return h.cuts >= c.n, err
	})
	if err != nil {
		r.lose("of %d that don't read, %d were cut: %v", c.n, h.cuts, err)
	}
	r.figure("%d cut by write_timeout", h.cuts)
}

// settles waits until the server holds what it did before, but for what Go's
// runtime keeps to describe each goroutine that there was at once.
func (c *crowd) settles(ctx context.Context, before, most holdings, r *report) error {
	kept := (most.goroutines - before.goroutines) << 10
	http.DefaultClient.CloseIdleConnections()
	var after holdings
	err := until(ctx, func() (bool, error) {
		var err error
		after, err = c.v.holdings(ctx)
		return after.goroutines <= before.goroutines+10 && after.descriptors <= before.descriptors+10 &&
			after.streams == before.streams && after.heap <= before.heap+4<<20+kept, err
	})
	if err != nil {
		r.lose("before there were %s, and afterwards stay %s", before, after)
		stacks, _ := c.v.ops(ctx, "debug/pprof/goroutine?debug=1")
		r.figure("goroutines: %s", stacks)
	}
	r.figure("before %s", before)
	r.figure("afterwards %s", after)
	return nil
}

// compare holds the healthy stream to staying as it was. The bound is generous:
// crowd, server and watcher share the machine.
func compare(r *report, without, with []time.Duration) {
	const medianMost, p99Most = 100 * time.Millisecond, time.Second
	median, p99 := lab.Part(with, 0.5), lab.Part(with, 0.99)
	r.figure("healthy stream median %.1f → %.1f ms (×%.1f), p99 %.1f → %.1f ms (×%.1f)",
		lab.Millis(lab.Part(without, 0.5)), lab.Millis(median), float64(median)/float64(lab.Part(without, 0.5)),
		lab.Millis(lab.Part(without, 0.99)), lab.Millis(p99), float64(p99)/float64(lab.Part(without, 0.99)))
	if median > medianMost || p99 > p99Most {
		r.lose("the healthy stream is delayed by %.1f ms, p99 %.1f ms", lab.Millis(median), lab.Millis(p99))
	}
}
