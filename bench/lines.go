package main

import (
	"context"
	"encoding/json"
	"fmt"
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
			name: "fan-out 1,000", load: "14 changes/s, 1,000 streams that all watch", unit: "delivery",
			floor: "net/http writing ready bytes", bound: "CPU ≤ 1.5", ratio: byCPU, limit: 1.5,
			measure: func(ctx context.Context, b *bench) (result, error) { return b.fanOut(ctx, 1000) },
		},
		{
			name: "set, 64 clients", load: "saturated, 64 clients", unit: "setSelfStatus",
			floor: "one write and fsync for each call", bound: "rate ≥ 5", ratio: byRate, limit: 5, least: true,
			measure: func(ctx context.Context, b *bench) (result, error) { return b.set(ctx) },
		},
		{
			name: "get 500", load: "one client", unit: "getUserStatus of 500",
			floor: "map of encoded statuses, encoding/json for the request", bound: "CPU ≤ 1.5", ratio: byCPU, limit: 1.5,
			measure: func(ctx context.Context, b *bench) (result, error) { return b.get(ctx) },
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
	if err := b.importUsers(ctx, ours, append(users, "star")); err != nil {
		return r, err
	}
	err = each(n, 64, func(i int) error {
		return b.post(ctx, ours.url+"/v1/subscribeUserStatus", b.token(users[i]), []byte(`{"userIDList":["star"]}`))
	})
	if err != nil {
		return r, err
	}
	r.ours, err = b.publish(ctx, ours, users, func(i int) error {
		body := fmt.Appendf(nil, `{"userID":"star","customStatus":"change %d"}`, i)
		return b.post(ctx, ours.url+"/v1/admin/setUserStatus", server.AdminKey, body)
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
	r.floor, err = b.publish(ctx, floor, users, func(i int) error {
		event := fmt.Appendf(nil, "id: 1882842187431948\nevent: USER_STATUS_UPDATED\n"+
			`data: [{"userID":"star","statusType":3,"customStatus":"change %d","version":1882842187431948}]`+"\n\n", i)
		return b.post(ctx, floor.url+"/publish", "", event)
	})
	return r, err
}

// publish measures changes that each go to all of the streams that it opens.
func (b *bench) publish(ctx context.Context, t target, users []string, change func(i int) error) (cost, error) {
	s, err := b.open(t, users)
	if err != nil {
		return cost{}, err
	}
	defer s.close()
	changes := b.scale(200)
	pace := time.NewTicker(changePace)
	defer pace.Stop()
	return t.cost(changes*len(users), func() error {
		start := s.received.Load()
		for i := range changes {
			<-pace.C
			if err := change(i); err != nil {
				return err
			}
			if err := s.wait(ctx, start+int64((i+1)*len(users))); err != nil {
				return err
			}
		}
		return nil
	})
}

func (b *bench) importUsers(ctx context.Context, t target, users []string) error {
	for len(users) > 0 {
		n := min(1000, len(users))
		body, err := json.Marshal(map[string]any{"userIDList": users[:n]})
		if err != nil {
			return err
		}
		if err := b.post(ctx, t.url+"/v1/admin/importUsers", server.AdminKey, body); err != nil {
			return err
		}
		users = users[n:]
	}
	return nil
}

// set has many clients set their statuses, each as soon as the last is
// answered.
func (b *bench) set(ctx context.Context) (r result, err error) {
	tokens := make([]string, clients)
	for i := range tokens {
		tokens[i] = b.token(userName(i))
	}
	load := func(t target, calls int) (cost, error) {
		work := func(calls int) error {
			return each(calls, clients, func(i int) error {
				body := fmt.Appendf(nil, `{"customStatus":"In call %d"}`, i)
				return b.post(ctx, t.url+"/v1/setSelfStatus", tokens[i%clients], body)
			})
		}
		if err := work(clients); err != nil { // everyone is registered, every connection open
			return cost{}, err
		}
		return t.cost(calls, func() error { return work(calls) })
	}
	ours, err := b.start()
	if err != nil {
		return r, err
	}
	defer ours.end()
	if r.ours, err = load(ours, b.scale(30_000)); err != nil {
		return r, err
	}
	ours.end()
	floor, err := b.startFloor("fsync")
	if err != nil {
		return r, err
	}
	defer floor.end()
	r.floor, err = load(floor, b.scale(3000))
	return r, err
}

// get has one client ask for many users.
func (b *bench) get(ctx context.Context) (r result, err error) {
	users := userNames(queried)
	ask, err := json.Marshal(map[string]any{"userIDList": users})
	if err != nil {
		return r, err
	}
	calls := b.scale(2000)
	load := func(t target) (cost, error) {
		return t.cost(calls, func() error {
			return each(calls, 1, func(int) error { return b.post(ctx, t.url+"/v1/admin/getUserStatus", server.AdminKey, ask) })
		})
	}
	ours, err := b.start()
	if err != nil {
		return r, err
	}
	defer ours.end()
	if err := b.importUsers(ctx, ours, users); err != nil {
		return r, err
	}
	err = each(queried, 64, func(i int) error {
		return b.post(ctx, ours.url+"/v1/setSelfStatus", b.token(users[i]), []byte(`{"customStatus":"In a call"}`))
	})
	if err != nil {
		return r, err
	}
	if r.ours, err = load(ours); err != nil {
		return r, err
	}
	ours.end()
	floor, err := b.startFloor("statuses")
	if err != nil {
		return r, err
	}
	defer floor.end()
	r.floor, err = load(floor)
	return r, err
}
