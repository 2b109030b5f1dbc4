package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/presence-server/presence/bench/server"
)

const (
	queried = 500 // users in one getUserStatus
	clients = 64  // who set their status at once

	// changePace is longer than batch_window: each change is the first after a
	// silence.
	changePace = 70 * time.Millisecond
)

// lines are the table, from top to bottom.
func (b *bench) lines() []line {
	return []line{
		{
			name: "fan-out 1,000", load: "14 changes/s, one at a time, 1,000 streams that all watch",
			what: "CPU µs a delivery", ratioMost: 1.5,
			measure: func(ctx context.Context) (result, error) { return b.fanOut(ctx, 1000) },
		},
		{
			name: "idle memory", load: "10,000 streams", what: "KiB a stream", most: 20,
			measure: func(ctx context.Context) (result, error) { return b.idle(b.scale(10_000)) },
		},
		{
			name: "set, 64 clients", load: "saturated; floor: an fsync for each", what: "setSelfStatus/s", ratioLeast: 5,
			measure: func(context.Context) (result, error) { return b.set("fsync", byRate) },
		},
		{
			name: "set, 64 clients, CPU", load: "saturated; floor: stores nothing", what: "CPU µs a setSelfStatus", ratioMost: 1.75,
			measure: func(context.Context) (result, error) { return b.set("nothing", byCPU) },
		},
		{
			name: "get 500", load: "one client; floor: encoded beforehand", what: "CPU µs a getUserStatus", ratioMost: 1.5,
			measure: func(context.Context) (result, error) { return b.get() },
		},
	}
}

// scale returns n, or less in a short run.
func (b *bench) scale(n int) int {
	if b.short {
		return max(1, n/10)
	}
	return n
}

// fanOut changes one user's status, again and again, each time when all
// streams have heard of the last change.
func (b *bench) fanOut(ctx context.Context, n int) (r result, err error) {
	users := userNames(n)
	ours, err := b.start()
	if err != nil {
		return r, err
	}
	defer ours.end()
	if err := ours.importUsers(append(users, "star")); err != nil {
		return r, err
	}
	err = ours.callers(n, 64, func(c *caller, i int) error {
		return c.post("/v1/subscribeUserStatus", b.token(users[i]), []byte(`{"userIDList":["star"]}`))
	})
	if err != nil {
		return r, err
	}
	did, err := b.publish(ctx, ours, users, func(c *caller, i int) error {
		body := fmt.Appendf(nil, `{"userID":"star","customStatus":"change %d"}`, i)
		return c.post("/v1/admin/setUserStatus", server.AdminKey, body)
	})
	if err != nil {
		return r, err
	}
	ours.end()

	floor, err := b.startFloor("stream")
	if err != nil {
		return r, err
	}
	defer floor.end()
	least, err := b.publish(ctx, floor, users, func(c *caller, i int) error {
		event := fmt.Appendf(nil, "id: 1882842187431948\nevent: USER_STATUS_UPDATED\n"+
			`data: [{"userID":"star","statusType":3,"customStatus":"change %d","version":1882842187431948}]`+"\n\n", i)
		return c.post("/publish", "", event)
	})
	return byCPU(did, least), err
}

// publish measures changes that each go to all of the streams that it opens.
func (b *bench) publish(ctx context.Context, t target, users []string, change func(c *caller, i int) error) (cost, error) {
	s, err := b.open(t, users)
	if err != nil {
		return cost{}, err
	}
	defer s.close()
	c, err := t.dial()
	if err != nil {
		return cost{}, err
	}
	defer c.conn.Close()
	changes := b.scale(200)
	pace := time.NewTicker(changePace)
	defer pace.Stop()
	return t.cost(changes*len(users), func() error {
		start := s.received.Load()
		for i := range changes {
			<-pace.C
			if err := change(c, i); err != nil {
				return err
			}
			if err := s.wait(ctx, start+int64((i+1)*len(users))); err != nil {
				return err
			}
		}
		return nil
	})
}

func (t target) importUsers(users []string) error {
	c, err := t.dial()
	if err != nil {
		return err
	}
	defer c.conn.Close()
	for some := range slices.Chunk(users, 1000) {
		body, err := json.Marshal(map[string]any{"userIDList": some})
		if err != nil {
			return err
		}
		if err := c.post("/v1/admin/importUsers", server.AdminKey, body); err != nil {
			return err
		}
	}
	return nil
}

// set has many clients set their statuses, each as soon as the last is
// answered.
func (b *bench) set(floorName string, compare func(ours, floor cost) result) (r result, err error) {
	tokens := make([]string, clients)
	for i := range tokens {
		tokens[i] = b.token(userName(i))
	}
	load := func(t target, calls int) (cost, error) {
		work := func(calls int) error {
			return t.callers(calls, clients, func(c *caller, i int) error {
				body := fmt.Appendf(nil, `{"customStatus":"In call %d"}`, i)
				return c.post("/v1/setSelfStatus", tokens[i%clients], body)
			})
		}
		if err := work(clients); err != nil { // everyone is registered
			return cost{}, err
		}
		return t.cost(calls, func() error { return work(calls) })
	}
	ours, err := b.start()
	if err != nil {
		return r, err
	}
	defer ours.end()
	did, err := load(ours, b.scale(50_000))
	if err != nil {
		return r, err
	}
	ours.end()
	floor, err := b.startFloor(floorName)
	if err != nil {
		return r, err
	}
	defer floor.end()
	least, err := load(floor, b.scale(10_000))
	return compare(did, least), err
}

// get has one client ask for many users.
func (b *bench) get() (r result, err error) {
	users := userNames(queried)
	ask, err := json.Marshal(map[string]any{"userIDList": users})
	if err != nil {
		return r, err
	}
	calls := b.scale(2000)
	load := func(t target) (cost, error) {
		return t.cost(calls, func() error {
			return t.callers(calls, 1, func(c *caller, _ int) error {
				return c.post("/v1/admin/getUserStatus", server.AdminKey, ask)
			})
		})
	}
	ours, err := b.start()
	if err != nil {
		return r, err
	}
	defer ours.end()
	if err := ours.importUsers(users); err != nil {
		return r, err
	}
	err = ours.callers(queried, 64, func(c *caller, i int) error {
		return c.post("/v1/setSelfStatus", b.token(users[i]), []byte(`{"customStatus":"In a call"}`))
	})
	if err != nil {
		return r, err
	}
	did, err := load(ours)
	if err != nil {
		return r, err
	}
	ours.end()
	floor, err := b.startFloor("statuses")
	if err != nil {
		return r, err
	}
	defer floor.end()
	least, err := load(floor)
	return byCPU(did, least), err
}

// idle opens streams on which nothing happens.
func (b *bench) idle(n int) (r result, err error) {
	ours, err := b.start()
	if err != nil {
		return r, err
	}
	defer ours.end()
	users := userNames(n)
	if err := ours.importUsers(users); err != nil {
		return r, err
	}
	before, err := resident(ours.pid)
	if err != nil {
		return r, err
	}
	s, err := b.open(ours, users)
	if err != nil {
		return r, err
	}
	defer s.close()
	after, err := resident(ours.pid)
	return result{ours: float64(after-before) / 1024 / float64(n)}, err
}
