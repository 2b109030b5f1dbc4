//go:build linux

package main

import (
	"context"
	"fmt"
	"time"
)

// million is many registered users, nearly all of whom follow one of them.
func (b *bench) million() load {
	followers := b.scale(1_000_000)
	return load{
		name: "a million users",
		shape: fmt.Sprintf("%d registered; the same 10 streams follow one user with %d followers and (floor) one with 10; saturated, one change at a time",
			followers+2, followers),
		figures: []figure{
			{what: "s until ready", most: 5},
			{what: "MiB of RSS once ready", most: 350},
			{what: "CPU µs a change", ratioMost: 1.1},
			{what: "ms a change, median"},
		},
		measure: func(ctx context.Context) ([]result, error) {
			database, err := b.seed("million", followers+2,
				subscriptions{watchers: followers, targets: 1, first: followers, each: 1},
				subscriptions{watchers: 10, targets: 1, first: followers + 1, each: 1})
			if err != nil {
				return nil, err
			}
			ours, err := b.prepare(database)
			if err != nil {
				return nil, err
			}
			defer ours.end()
			began := time.Now()
			if err := ours.begin(); err != nil {
				return nil, err
			}
			took := time.Since(began)
			memory, err := resident(ours.pid)
			if err != nil {
				return nil, err
			}
			cpu, wait, err := b.followed(ctx, ours, followers, followers+1)
			return []result{{ours: took.Seconds()}, {ours: float64(memory) / (1 << 20)}, cpu, wait}, err
		},
	}
}

// followed measures changes of two users, whom users 0 to 9 follow, in turns,
// and returns the medians of the turns: to collect the garbage beside a million
// users costs as much as many changes, and falls into any turn.
func (b *bench) followed(ctx context.Context, t *target, star, other int) (cpu, wait result, err error) {
	s, err := t.open(ctx, b.requests(10), nil)
	if err != nil {
		return cpu, wait, err
	}
	defer s.close()
	var cpus, waits []result
	for turn := range b.scale(30) {
		one, err := b.changesOf(t, star, turn)
		if err != nil {
			return cpu, wait, err
		}
		two, err := b.changesOf(t, other, turn)
		if err != nil {
			return cpu, wait, err
		}
		cpus = append(cpus, compare(cost.perUnit, one, two, cost{}))
		waits = append(waits, compare(delay(0.5), one, two, cost{}))
	}
	return middle(cpus), middle(waits), nil
}

func (b *bench) changesOf(t *target, user, turn int) (cost, error) {
	const changes = 100
	token := b.token(user)
	return t.cost(changes, func() ([]time.Duration, error) {
		return t.callers(changes, 1, 0, func(c *caller, i int) error { return c.setStatus(token, turn*changes+i) })
	})
}

func middle(results []result) result {
	ours, _ := medianOf(results, func(r result) float64 { return r.ours })
	floor, _ := medianOf(results, func(r result) float64 { return r.floor })
	return result{ours: ours, floor: floor}
}
