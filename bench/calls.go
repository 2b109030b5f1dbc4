//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	server "github.com/presence-server/presence/deploy/testserver"
)

// setByMany is clients that set their statuses, each as soon as the last is
// answered.
func (b *bench) setByMany() load {
	const clients = 64
	calls := b.scale(50_000)
	return load{
		name:  "set, 64 clients",
		shape: "saturated; 64 users without a stream, each as fast as it is answered; nobody watches",
		figures: []figure{
			{what: "setSelfStatus/s; floor: fsyncs each", least: 24_000, ratioLeast: 5},
			{what: "CPU µs; floor: stores nothing", ratioMost: 1.75},
			{what: "ms, median; floor: stores nothing"},
			{what: "ms, p99"},
			{what: "ms, p99.9"},
		},
		measure: func(ctx context.Context) ([]result, error) {
			ours, err := b.setOurs(clients, calls)
			if err != nil {
				return nil, err
			}
			durable, err := b.setFloor("fsync", clients, calls/10)
			if err != nil {
				return nil, err
			}
			nothing, err := b.setFloor("nothing", clients, calls)
			return []result{
				compare(cost.rate, ours, durable, cost{}),
				compare(cost.perUnit, ours, nothing, cost{}),
				compare(delay(0.5), ours, nothing, cost{}),
				compare(delay(0.99), ours, nothing, cost{}),
				compare(delay(0.999), ours, nothing, cost{}),
			}, err
		},
	}
}

// setByOne is a single client that sets its status.
func (b *bench) setByOne() load {
	calls := b.scale(3000)
	return load{
		name:  "set, one client",
		shape: "saturated; one user without a stream; floor: one write and fdatasync in a handler",
		figures: []figure{
			{what: "ms, median", ratioMost: 1.3},
			{what: "ms, p99"},
			{what: "CPU µs"},
		},
		measure: func(ctx context.Context) ([]result, error) {
			ours, err := b.setOurs(1, calls)
			if err != nil {
				return nil, err
			}
			floor, err := b.setFloor("fdatasync", 1, calls)
			return []result{
				compare(delay(0.5), ours, floor, cost{}),
				compare(delay(0.99), ours, floor, cost{}),
				compare(cost.perUnit, ours, floor, cost{}),
			}, err
		},
	}
}

func (b *bench) setOurs(clients, calls int) (c cost, err error) {
	ours, err := b.start("")
	if err != nil {
		return c, err
	}
	defer ours.end()
	began := time.Now()
	if c, err = b.set(ours, clients, calls); err != nil {
		return c, err
	}
	return c, checkpointed(ours, calls, began)
}

// checkpointed fails if many statuses were set without a checkpoint: the delays
// would not be those of a server that goes on.
func checkpointed(t *target, calls int, began time.Time) error {
	const many = 40_000
	info, err := os.Stat(t.database())
	if err == nil && calls >= many && info.ModTime().Before(began) {
		err = errors.New("the database has had no checkpoint")
	}
	return err
}

func (b *bench) setFloor(name string, clients, calls int) (c cost, err error) {
	floor, err := b.startFloor(name)
	if err != nil {
		return c, err
	}
	defer floor.end()
	return b.set(floor, clients, calls)
}

// set measures calls of setSelfStatus. The delays are theirs.
func (b *bench) set(t *target, clients, calls int) (c cost, err error) {
	tokens := b.someTokens(clients)
	set := func(c *caller, i int) error { return c.setStatus(tokens[i%clients], i) }
	if _, err := t.callers(10*clients, clients, 0, set); err != nil { // everyone is registered
		return c, err
	}
	return t.cost(calls, func() ([]time.Duration, error) { return t.callers(calls, clients, 0, set) })
}

const queried = 500 // users in one getUserStatus

// get is one client that asks for many users.
func (b *bench) get() load {
	return load{
		name:  "get 500",
		shape: fmt.Sprintf("saturated; one client asks for the same %d users", queried),
		figures: []figure{
			{what: "CPU µs", ratioMost: 1},
			{what: "ms, median"},
		},
		measure: func(ctx context.Context) ([]result, error) {
			ours, err := b.getOurs()
			if err != nil {
				return nil, err
			}
			floor, err := b.getFloor()
			return []result{
				compare(cost.perUnit, ours, floor, cost{}),
				compare(delay(0.5), ours, floor, cost{}),
			}, err
		},
	}
}

func (b *bench) getOurs() (c cost, err error) {
	ours, err := b.start("")
	if err != nil {
		return c, err
	}
	defer ours.end()
	if err := ours.importUsers(queried); err != nil {
		return c, err
	}
	tokens := b.someTokens(queried)
	_, err = ours.callers(queried, 64, 0, func(c *caller, i int) error { return c.setStatus(tokens[i], i) })
	if err != nil {
		return c, err
	}
	return b.getAll(ours)
}

func (b *bench) getFloor() (c cost, err error) {
	floor, err := b.startFloor("statuses")
	if err != nil {
		return c, err
	}
	defer floor.end()
	return b.getAll(floor)
}

func (b *bench) getAll(t *target) (c cost, err error) {
	users := make([]string, queried)
	for i := range users {
		users[i] = userName(i)
	}
	ask, err := json.Marshal(map[string]any{"userIDList": users})
	if err != nil {
		return c, err
	}
	calls := b.scale(2000)
	return t.cost(calls, func() ([]time.Duration, error) {
		return t.callers(calls, 1, 0, func(c *caller, _ int) error {
			return c.post("/v1/admin/getUserStatus", server.AdminKey, ask)
		})
	})
}
