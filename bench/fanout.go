//go:build linux

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/presence-server/presence/bench/lab"
)

// changePace is longer than batch_window, so that each change is the first after a
// pause.
const changePace = 70 * time.Millisecond

// fanOut is one user whom all streams watch. The user has no stream.
func (b *bench) fanOut(name string, n, changes int) load {
	n, changes = b.Scale(n, n/10), b.Scale(changes, changes/10)
	seed := func(context.Context) (string, error) {
		return b.seed(fmt.Sprint("watchers ", n), n+1, subscriptions{watchers: n, targets: 1, first: n, each: 1})
	}
	token := lab.Token(userName(n))
	send := func(change func(c *caller, i int) error) func(context.Context, *target) ([]float64, error) {
		return func(ctx context.Context, t *target) ([]float64, error) {
			c, err := fan(ctx, t, n, changes, change)
			return []float64{c.perUnit(), c.rate(), c.delay(0.5)}, err
		}
	}
	return load{
		name:  name,
		shape: fmt.Sprintf("paced, at most 14 changes/s, one at a time; %d streams, all watch one user", n),
		figures: []figure{
			{what: "CPU µs per delivery", ratioMost: 0.9, peerMost: 0.9},
			{what: "deliveries/s"},
			{what: "ms to the last receipt, median"},
		},
		ours:  b.onOurs(seed, send(func(c *caller, i int) error { return c.setStatus(token, i) })),
		floor: b.onFloor("stream", send(func(c *caller, i int) error { return c.post("/publish", "", readyEvent(i)) })),
		peer: on(func(context.Context) (*target, error) { return b.startNchan() },
			send(func(c *caller, i int) error { return c.post("/publish", "", readyStatuses(i)) })),
	}
}

// readyStatuses is the data of an event in the format of our server.
func readyStatuses(i int) []byte {
	return fmt.Appendf(nil, `[{"userID":"user-000000","statusType":3,"customStatus":"In call %d","version":1882842187431948}]`, i)
}

func readyEvent(i int) []byte {
	return fmt.Appendf(nil, "id: 1882842187431948\nevent: USER_STATUS_UPDATED\ndata: %s\n\n", readyStatuses(i))
}

// fan measures changes that each go to all of n streams. They are made at changePace,
// or as soon as the last one has been received. A delay is the time from a change to
// its last receipt.
func fan(ctx context.Context, t *target, n, changes int, change func(c *caller, i int) error) (cost, error) {
	s, err := t.open(ctx, requests(n), nil)
	if err != nil {
		return cost{}, err
	}
	defer s.close()
	c, err := t.dial()
	if err != nil {
		return cost{}, err
	}
	defer c.close()
	pace := time.NewTicker(changePace)
	defer pace.Stop()
	return t.cost(changes*n, func() ([]time.Duration, error) {
		delays := make([]time.Duration, changes)
		for i := range delays {
			<-pace.C
			began := time.Now()
			if err := change(c, i); err != nil {
				return nil, err
			}
			at, err := s.untilReceived(ctx, (i+1)*n)
			if err != nil {
				return nil, err
			}
			delays[i] = at.Sub(began)
		}
		return delays, nil
	})
}

// idle is streams on which nothing happens.
func (b *bench) idle() load {
	n := b.Scale(10_000, 1000)
	return load{
		name:    "idle 10,000",
		shape:   fmt.Sprintf("%d streams on which nothing happens, their users' sessions included", n),
		figures: []figure{{what: "KiB of RSS per stream", most: 10}},
		ours: b.onOurs(nil, func(ctx context.Context, t *target) ([]float64, error) {
			users := make([]string, n)
			for i := range users {
				users[i] = userName(i)
			}
			if err := t.ours.Register(ctx, users); err != nil {
				return nil, err
			}
			before, err := memory(t.pid, "VmRSS:")
			if err != nil {
				return nil, err
			}
			s, err := t.open(ctx, requests(n), nil)
			if err != nil {
				return nil, err
			}
			defer s.close()
			after, err := memory(t.pid, "VmRSS:")
			return []float64{(after - before) * 1024 / float64(n)}, err
		}),
	}
}

// million is a server that starts with many registered users, each of whom watches
// another.
func (b *bench) million() load {
	n := b.Scale(1_000_000, 100_000)
	return load{
		name:    "start with 1,000,000 users",
		shape:   fmt.Sprintf("%d users, each of whom watches one user", n),
		figures: []figure{{what: "s until ready", most: 5}, {what: "MiB of RSS once ready", most: 350}},
		ours: func(context.Context) ([]float64, error) {
			database, err := b.seed("million", n, subscriptions{watchers: n, targets: n, each: 1})
			if err != nil {
				return nil, err
			}
			s, err := b.Prepare(database)
			if err != nil {
				return nil, err
			}
			defer s.End()
			began := time.Now()
			if err := s.Start(); err != nil {
				return nil, err
			}
			took := time.Since(began)
			rss, err := memory(s.Pid(), "VmRSS:")
			return []float64{took.Seconds(), rss}, err
		},
	}
}
