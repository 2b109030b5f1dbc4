//go:build linux

package main

import (
	"context"
	"fmt"
	"syscall"
	"time"
)

const (
	teammates = 50 // who watch each user
	teamPace  = 10 * time.Millisecond
)

// team is users who all have a stream and watch each other. The server is
// killed, everyone comes back, and then a few of them hear of each change.
func (b *bench) team() load {
	n, changes := b.scale(10_000), b.scale(300)
	return load{
		name: "restart, then 50 watch each",
		shape: fmt.Sprintf("%d streams, 50 watch each user; kill -9, all return at once with Last-Event-ID; then paced, 100 changes/s of one user each",
			n),
		figures: []figure{
			{what: "ms from ready until all are READY", ratioMost: 2},
			{what: "CPU µs of a return"},
			{what: "CPU µs a delivery", ratioMost: 1.2},
			{what: "changes/s"},
		},
		measure: func(ctx context.Context) ([]result, error) {
			ours, err := b.ourTeam(ctx, n, changes)
			if err != nil {
				return nil, err
			}
			floor, err := b.floorTeam(ctx, n, changes)
			return []result{
				compare(cost.millis, ours.comeBack, floor.comeBack, cost{}),
				compare(cost.perUnit, ours.comeBack, floor.comeBack, cost{}),
				compare(cost.perUnit, ours.changes, floor.changes, cost{}),
				compare(func(c cost) float64 { return c.rate() / (teammates + 1) }, ours.changes, floor.changes, cost{}),
			}, err
		},
	}
}

type teamCost struct{ comeBack, changes cost }

func (b *bench) ourTeam(ctx context.Context, n, changes int) (c teamCost, err error) {
	database, err := b.seedTeam(ctx, n)
	if err != nil {
		return c, err
	}
	ours, err := b.start(database)
	if err != nil {
		return c, err
	}
	defer ours.end()
	before, err := ours.open(ctx, b.requests(n), nil)
	if err != nil {
		return c, err
	}
	requests, tokens := before.resuming(), b.someTokens(n)
	ours.Kill()
	before.close()
	if err := ours.begin(); err != nil {
		return c, err
	}
	return teamUnderLoad(ctx, ours, requests, changes, func(c *caller, i int) error {
		return c.setStatus(tokens[changer(i, n)], i)
	})
}

// seedTeam returns the database of a server that stopped while everyone had a
// stream: when they come back to it, there is nothing to announce.
func (b *bench) seedTeam(ctx context.Context, n int) (path string, err error) {
	const name = "team that was online"
	if path, found := b.seeds[name]; found {
		return path, nil
	}
	database, err := b.seed("team", n, subscriptions{watchers: n, targets: n, each: teammates})
	if err != nil {
		return "", err
	}
	t, err := b.start(database)
	if err != nil {
		return "", err
	}
	s, err := t.open(ctx, b.requests(n), nil)
	if err != nil {
		t.end()
		return "", err
	}
	t.Signal(syscall.SIGTERM)
	t.Wait()
	s.close()
	b.seeds[name] = t.database()
	return t.database(), nil
}

func (b *bench) floorTeam(ctx context.Context, n, changes int) (c teamCost, err error) {
	floor, err := b.startFloor("stream")
	if err != nil {
		return c, err
	}
	defer floor.end()
	return teamUnderLoad(ctx, floor, b.requests(n), changes, func(c *caller, i int) error {
		path := fmt.Sprintf("/publish?count=%d&step=%d&first=%d", teammates+1, spread, changer(i, n))
		return c.post(path, "", readyEvent(i))
	})
}

// changer is who makes change i: another each time, far from the last.
func changer(i, n int) int { return i * 37 % n }

// teamUnderLoad has everyone come, and then some change. Those who watch hear
// of it, and the user's own stream; nobody hears anything else.
func teamUnderLoad(ctx context.Context, t *target, requests []string, changes int, change func(c *caller, i int) error) (c teamCost, err error) {
	var s *streams
	c.comeBack, err = t.cost(len(requests), func() ([]time.Duration, error) {
		s, err = t.open(ctx, requests, nil)
		return nil, err
	})
	if err != nil {
		return c, err
	}
	defer s.close()
	told := changes * (teammates + 1)
	c.changes, err = t.cost(told, func() ([]time.Duration, error) {
		if _, err := t.callers(changes, 8, teamPace, change); err != nil {
			return nil, err
		}
		_, err := s.untilReceived(ctx, told)
		return nil, err
	})
	if got := s.received(); err == nil && got != told {
		err = fmt.Errorf("%d statuses have come for %d changes of users whom %d watch: the return has announced some",
			got, changes, teammates)
	}
	return c, err
}
