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

// crowd is many clients that misbehave in the same way at the same time.
type crowd struct {
	a     *attacker
	name  string
	n     int
	loud  bool     // the clients watch users whose long statuses change all the time, and the server must cut all the clients
	again bool     // a client that was cut, or is done, starts again
	one   behavior // what one client does

	v       *victim
	healthy *healthy
}

// behavior is how one client misbehaves over a connection, which is closed at the end.
// It calls begun once it has begun.
type behavior func(c *client, begun func()) error

// client is one client of a crowd.
type client struct {
	net.Conn
	token  string
	random *rand.Rand
}

// crowds returns the crowds. Each is used by an attack of its own.
func (a *attacker) crowds() []*crowd {
	all := []*crowd{
		{name: "stop reading", n: 500, loud: true, one: stopReading},
		{name: "connect and leave", n: 500, again: true, one: leave},
		{name: "endless bodies", n: 500, again: true, one: sendBody},
		{name: "idle connections", n: 10_000, one: idle},
	}
	for _, c := range all {
		c.a = a
	}
	return all
}

// crowdTimeout is the write_timeout of the server. It is longer than the measurement
// of the healthy stream.
const crowdTimeout = 4 * time.Second

// attack measures the healthy stream without the crowd and with it, and what the crowd
// leaves behind.
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

// loudUsers is the number of long statuses that each client of a loud crowd watches.
const loudUsers = 4

// badUsers is the number of users that a crowd uses.
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

// rage starts the crowd, and meanwhile measures the healthy stream and the resources
// that the server holds.
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

// settles waits until the server holds what it did before the crowd, except for what
// Go's runtime keeps to describe each goroutine that existed at the same time.
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
		r.lose("before the attack the server held %s, and afterwards it still holds %s", before, after)
		stacks, _ := c.v.ops(ctx, "debug/pprof/goroutine?debug=1")
		r.figure("goroutines: %s", stacks)
	}
	r.figure("before %s", before)
	r.figure("afterwards %s", after)
	return nil
}

// compare checks that the delays of the healthy stream stayed as they were. The bound
// is generous, because the crowd, the server and the watcher share the machine.
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
