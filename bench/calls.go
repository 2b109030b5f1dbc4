//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/presence-server/presence/deploy/testserver"
)

// set is clients that set their statuses, each as soon as its last call is answered.
func (b *bench) set() load {
	const clients = 64
	calls := b.Scale(50_000, 5000)
	all := tokens(clients)
	set := func(c *caller, i int) error { return c.setStatus(all[i%clients], i) }
	measure := func(_ context.Context, t *target) ([]float64, error) {
		if _, err := t.callers(10*clients, clients, 0, set); err != nil { // all users are registered
			return nil, err
		}
		began := time.Now()
		c, err := t.cost(calls, func() ([]time.Duration, error) { return t.callers(calls, clients, 0, set) })
		if t.ours.Server != nil {
			err = errors.Join(err, checkpointed(t, calls, began))
		}
		return []float64{c.perUnit(), c.rate(), c.delay(0.5), c.delay(0.99), c.delay(0.999)}, err
	}
	return load{
		name:  "set, 64 clients",
		shape: "saturated; 64 users without a stream, each calls again as soon as it is answered; nobody watches; floor: stores nothing",
		figures: []figure{
			{what: "CPU µs", ratioMost: 2},
			{what: "setSelfStatus/s"},
			{what: "ms, median"},
			{what: "ms, p99"},
			{what: "ms, p99.9"},
		},
		ours:  b.onOurs(nil, measure),
		floor: b.onFloor("nothing", measure),
	}
}

// checkpointed fails if many statuses were set without a checkpoint. Otherwise the
// delays would not be those of a server that runs for long.
func checkpointed(t *target, calls int, began time.Time) error {
	const many = 40_000
	info, err := os.Stat(t.ours.Database())
	if err == nil && calls >= many && info.ModTime().Before(began) {
		err = errors.New("the database has had no checkpoint")
	}
	return err
}

const queried = 500 // number of users in one getUserStatus

// get is one client that requests the statuses of many users.
func (b *bench) get() load {
	users := make([]string, queried)
	for i := range users {
		users[i] = userName(i)
	}
	ask, _ := json.Marshal(map[string]any{"userIDList": users})
	calls, all := b.Scale(2000, 200), tokens(queried)
	measure := func(ctx context.Context, t *target) ([]float64, error) {
		if t.ours.Server != nil { // all users have a status
			if _, err := t.callers(queried, 64, 0, func(c *caller, i int) error { return c.setStatus(all[i], i) }); err != nil {
				return nil, err
			}
		}
		c, err := t.cost(calls, func() ([]time.Duration, error) {
			return t.callers(calls, 1, 0, func(c *caller, _ int) error {
				return c.post("/v1/admin/getUserStatus", testserver.AdminKey, ask)
			})
		})
		return []float64{c.perUnit(), c.delay(0.5)}, err
	}
	return load{
		name:    "get 500",
		shape:   fmt.Sprintf("saturated; one client requests the same %d users", queried),
		figures: []figure{{what: "CPU µs", ratioMost: 1}, {what: "ms, median"}},
		ours:    b.onOurs(nil, measure),
		floor:   b.onFloor("statuses", measure),
	}
}
