//go:build linux

package main

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"github.com/presence-server/presence/bench/lab"
)

const (
	teammates = 50 // number of users who watch each user
	teamPace  = 10 * time.Millisecond
)

// team is users who all have a stream and watch each other. The server is killed, all
// users come back, and then a few of them receive each change.
func (b *bench) team() load {
	n, changes := b.Scale(10_000, 1000), b.Scale(300, 30)
	return load{
		name: "restart, then 50 watch each",
		shape: fmt.Sprintf("%d streams, 50 watch each user; kill -9, all return at once with Last-Event-ID; then paced, 100 changes/s of one user each",
			n),
		figures: []figure{
			{what: "ms from ready until all are READY", ratioMost: 2},
			{what: "CPU µs per return"},
			{what: "CPU µs per delivery", ratioMost: 1.3},
			{what: "changes/s"},
		},
		ours: b.onOurs(func(ctx context.Context) (string, error) { return b.seedTeam(ctx, n) },
			func(ctx context.Context, t *target) ([]float64, error) { return b.teamReturns(ctx, t, n, changes) }),
		floor: b.onFloor("stream", func(ctx context.Context, t *target) ([]float64, error) {
			return teamUnderLoad(ctx, t, requests(n), changes, func(c *caller, i int) error {
				path := fmt.Sprintf("/publish?count=%d&step=%d&first=%d", teammates+1, spread, changer(i, n))
				return c.post(path, "", readyEvent(i))
			})
		}),
	}
}

func (b *bench) teamReturns(ctx context.Context, t *target, n, changes int) ([]float64, error) {
	before, err := t.open(ctx, requests(n), nil)
	if err != nil {
		return nil, err
	}
	returning, tokens := before.resuming(), tokens(n)
	t.ours.Kill()
	before.close()
	if err := t.ours.Start(); err != nil {
		return nil, err
	}
	t.pid = t.ours.Pid()
	return teamUnderLoad(ctx, t, returning, changes, func(c *caller, i int) error {
		return c.setStatus(tokens[changer(i, n)], i)
	})
}

// seedTeam returns the database of a server that stopped while all users had a stream.
// When they come back to it, there is nothing to announce.
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
	s, err := t.open(ctx, requests(n), nil)
	if err != nil {
		t.end()
		return "", err
	}
	t.ours.Signal(syscall.SIGTERM)
	t.ours.Wait()
	s.close()
	b.seeds[name] = t.ours.Database()
	return t.ours.Database(), nil
}

// changer is the user who makes change i. Each change is made by another user, far
// from the last.
func changer(i, n int) int { return i * 37 % n }

// teamUnderLoad opens all streams, and then makes some users change. The watchers of a
// user receive the change, and so does the user's own stream; nothing else may be
// received.
func teamUnderLoad(ctx context.Context, t *target, requests []string, changes int, change func(c *caller, i int) error) ([]float64, error) {
	var s *streams
	back, err := t.cost(len(requests), func() (_ []time.Duration, err error) {
		s, err = t.open(ctx, requests, nil)
		return nil, err
	})
	if err != nil {
		return nil, err
	}
	defer s.close()
	deliveries := changes * (teammates + 1)
	c, err := t.cost(deliveries, func() ([]time.Duration, error) {
		if _, err := t.callers(changes, 8, teamPace, change); err != nil {
			return nil, err
		}
		_, err := s.untilReceived(ctx, deliveries)
		return nil, err
	})
	if got := s.received(); err == nil && got != deliveries {
		err = fmt.Errorf("%d statuses arrived for %d changes of users whom %d watch: the return announced some",
			got, changes, teammates)
	}
	return []float64{lab.Millis(back.wall), back.perUnit(), c.perUnit(), c.rate() / (teammates + 1)}, err
}
