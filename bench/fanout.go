//go:build linux

package main

import (
	"context"
	"fmt"
	"time"

	server "github.com/presence-server/presence/deploy/testserver"
)

// changePace is longer than batch_window: each change is the first after a
// silence.
const changePace = 70 * time.Millisecond

// fanOut is one user whom all streams watch.
func (b *bench) fanOut(name string, n, changes int) load {
	return load{
		name:  name,
		shape: fmt.Sprintf("paced, at most 14 changes/s, one at a time; %d streams, all watch the one user", b.scale(n)),
		figures: []figure{
			{what: "CPU µs a delivery", ratioMost: 1.2, peerMost: 1},
			{what: "deliveries/s"},
			{what: "ms to the last receipt, median"},
		},
		measure: func(ctx context.Context) ([]result, error) {
			n, changes := b.scale(n), b.scale(changes)
			ours, err := b.tellWatchers(ctx, n, changes)
			if err != nil {
				return nil, err
			}
			floor, err := b.tellByFloor(ctx, n, changes)
			if err != nil {
				return nil, err
			}
			peer, err := b.tellByNchan(ctx, n, changes)
			return []result{
				compare(cost.perUnit, ours, floor, peer),
				compare(cost.rate, ours, floor, peer),
				compare(delay(0.5), ours, floor, peer),
			}, err
		},
	}
}

// friends is one user whose friends hear of each change.
func (b *bench) friends() load {
	const n, changes = 200, 50
	return load{
		name:  "200 friends",
		shape: "paced, 14 changes/s of one user, one at a time; 200 streams of their friends; floor: no commit",
		figures: []figure{
			{what: "ms to the last receipt, median", ratioMost: 1.4},
			{what: "ms to the last receipt, p90"},
			{what: "CPU µs a delivery"},
		},
		measure: func(ctx context.Context) ([]result, error) {
			ours, err := b.tellFriends(ctx, n, b.scale(changes))
			if err != nil {
				return nil, err
			}
			floor, err := b.tellByFloor(ctx, n, b.scale(changes))
			return []result{
				compare(delay(0.5), ours, floor, cost{}),
				compare(delay(0.9), ours, floor, cost{}),
				compare(cost.perUnit, ours, floor, cost{}),
			}, err
		},
	}
}

// tellWatchers has users 0 to n-1 subscribe to user n, who has no stream.
func (b *bench) tellWatchers(ctx context.Context, n, changes int) (cost, error) {
	database, err := b.seed(fmt.Sprint("watchers ", n), n+1, subscriptions{watchers: n, targets: 1, first: n, each: 1})
	if err != nil {
		return cost{}, err
	}
	ours, err := b.start(database)
	if err != nil {
		return cost{}, err
	}
	defer ours.end()
	return b.tell(ctx, ours, n, changes, b.ownChange(n))
}

// tellFriends makes users 0 to n-1 the friends of user n, who has no stream.
func (b *bench) tellFriends(ctx context.Context, n, changes int) (cost, error) {
	ours, err := b.start("")
	if err != nil {
		return cost{}, err
	}
	defer ours.end()
	if err := ours.importUsers(n + 1); err != nil {
		return cost{}, err
	}
	friends := make([]string, n)
	for i := range friends {
		friends[i] = userName(i)
	}
	body := map[string]any{"userID": userName(n), "friendIDList": friends}
	if err := ours.Must(ctx, "/v1/admin/addFriends", server.AdminKey, body, nil); err != nil {
		return cost{}, err
	}
	return b.tell(ctx, ours, n, changes, b.ownChange(n))
}

func (b *bench) tellByFloor(ctx context.Context, n, changes int) (cost, error) {
	floor, err := b.startFloor("stream")
	if err != nil {
		return cost{}, err
	}
	defer floor.end()
	return b.tell(ctx, floor, n, changes, func(c *caller, i int) error {
		return c.post("/publish", "", readyEvent(i))
	})
}

// tellByNchan costs nothing where nchan isn't installed.
func (b *bench) tellByNchan(ctx context.Context, n, changes int) (cost, error) {
	nchan, err := b.startNchan()
	if nchan == nil {
		return cost{}, err
	}
	defer nchan.end()
	return b.tell(ctx, nchan, n, changes, func(c *caller, i int) error {
		return c.post("/publish", "", readyStatuses(i))
	})
}

// ownChange is a change that a user makes.
func (b *bench) ownChange(user int) func(c *caller, i int) error {
	token := b.token(user)
	return func(c *caller, i int) error { return c.setStatus(token, i) }
}

// readyStatuses is the data of an event as ours would be.
func readyStatuses(i int) []byte {
	return fmt.Appendf(nil, `[{"userID":"user-000000","statusType":3,"customStatus":"In call %d","version":1882842187431948}]`, i)
}

func readyEvent(i int) []byte {
	return fmt.Appendf(nil, "id: 1882842187431948\nevent: USER_STATUS_UPDATED\ndata: %s\n\n", readyStatuses(i))
}

// tell measures changes that each go to all of n streams, at changePace or as
// soon as the last one has been received. The delays are from the change to its
// last receipt.
func (b *bench) tell(ctx context.Context, t *target, n, changes int, change func(c *caller, i int) error) (cost, error) {
	s, err := t.open(ctx, b.requests(n), nil)
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
