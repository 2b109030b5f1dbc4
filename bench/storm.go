//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"
)

const (
	stormUsers = 200 // whom everyone watches; each has a client of their own
	stormPace  = time.Second / 2000

	// stormRoom is how much memory, in bytes, each user watched may take on each
	// stream: some times what an encoded status takes. It is our own bound, to
	// see that memory depends on nothing else.
	stormRoom = 1024

	bystanderPace = 100 * time.Millisecond
	calm          = 20 * bystanderPace
)

// storm is users who are watched by all and change all the time, beside one
// bystander whom somebody else watches.
func (b *bench) storm() load {
	n, changes := b.scale(1000), b.scale(10_000)
	return load{
		name: "storm",
		shape: fmt.Sprintf("paced, 2,000 changes/s of 200 users, whom %d streams watch, all the same; "+
			"beside it one user with one watcher, 10 changes/s (floor: before the storm)", n),
		figures: []figure{
			{what: "CPU µs a status delivered", most: 1},
			{what: "statuses delivered/s"},
			{what: "% of changes × streams delivered"},
			{what: "changes/s"},
			{what: "ms from the last change to calm"},
			{what: "MiB of RSS gained", most: float64(n*stormUsers*stormRoom) / (1 << 20)},
			{what: "ms to the bystander's watcher, p50"},
		},
		measure: func(ctx context.Context) ([]result, error) {
			r, err := b.stormOnce(ctx, n, changes)
			return []result{
				{ours: r.cost.perUnit()},
				{ours: r.cost.rate()},
				{ours: 100 * float64(r.cost.units) / float64(changes*n)},
				{ours: float64(changes) / r.load.Seconds()},
				{ours: (r.cost.wall - r.load).Seconds() * 1000},
				{ours: r.gained / (1 << 20)},
				compare(delay(0.5), r.storm, r.calm, cost{}),
			}, err
		},
	}
}

type stormResult struct {
	cost        cost          // units are statuses delivered
	load        time.Duration // how long there were changes
	gained      float64       // resident memory, in bytes, at its peak
	calm, storm cost          // delays of the bystander's changes
}

// stormOnce seeds a database: behind the watchers come the users of the storm,
// then the bystander and who watches them.
func (b *bench) stormOnce(ctx context.Context, n, changes int) (r stormResult, err error) {
	bystander := n + stormUsers
	database, err := b.seed("storm", bystander+2,
		subscriptions{watchers: n, targets: stormUsers, first: n, each: stormUsers})
	if err != nil {
		return r, err
	}
	ours, err := b.start(database)
	if err != nil {
		return r, err
	}
	defer ours.end()
	w := watched{first: n, versions: make([][stormUsers]int64, n)}
	if w.streams, err = ours.open(ctx, b.requests(n), w.note); err != nil {
		return r, err
	}
	defer w.streams.close()
	aside, err := b.standAside(ctx, ours, bystander)
	if err != nil {
		return r, err
	}
	defer aside.close()
	end := make(chan struct{})
	time.AfterFunc(calm, func() { close(end) })
	if r.calm, err = aside.changes(ctx, end); err != nil {
		return r, err
	}
	return r, b.rage(ctx, ours, &w, aside, changes, &r)
}

// rage measures the storm itself, until every stream has seen the last status
// of every user.
func (b *bench) rage(ctx context.Context, t *target, w *watched, aside *aside, changes int, r *stormResult) error {
	before, err := resident(t.pid)
	if err := errors.Join(err, forgetPeak(t.pid)); err != nil {
		return err
	}
	end, ended := make(chan struct{}), make(chan error)
	go func() {
		var err error
		r.storm, err = aside.changes(ctx, end)
		ended <- err
	}()
	r.cost, err = t.cost(0, func() ([]time.Duration, error) {
		began := time.Now()
		last, err := b.blow(t, w.first, changes)
		r.load = time.Since(began)
		if err != nil {
			return nil, err
		}
		if err := w.streams.until(ctx, func() bool { return w.fault != nil || w.sawLast(last) }); err != nil {
			return nil, fmt.Errorf("some stream hasn't seen the last status of everyone: %w", err)
		}
		return nil, nil
	})
	close(end)
	most, errPeak := peak(t.pid)
	r.gained = float64(most - before)
	r.cost.units = w.streams.received()
	return errors.Join(err, w.fault, <-ended, errPeak)
}

// blow has the users of the storm, from the first on, change, and returns the
// version that each was answered last.
func (b *bench) blow(t *target, first, changes int) (last [stormUsers]int64, err error) {
	var tokens [stormUsers]string
	for i := range tokens {
		tokens[i] = b.token(first + i)
	}
	_, err = t.callers(changes, stormUsers, stormPace, func(c *caller, i int) error {
		user := i % stormUsers
		if err := c.setStatus(tokens[user], i); err != nil {
			return err
		}
		var answer struct{ Data struct{ Version int64 } }
		err := json.Unmarshal(c.answer, &answer)
		last[user] = answer.Data.Version
		return err
	})
	return last, err
}

// watched is the streams that watch the storm, and the last version of each of
// its users that each stream has seen.
type watched struct {
	streams  *streams
	first    int // of the users
	versions [][stormUsers]int64
	fault    error
}

// note notes the statuses of an event. It is no JSON decoder, as there are
// millions of them.
func (w *watched) note(stream int, event []byte) {
	for {
		_, rest, found := bytes.Cut(event, []byte(`"userID":"user-`))
		if !found {
			return
		}
		name, rest, _ := bytes.Cut(rest, []byte(`"`))
		_, rest, _ = bytes.Cut(rest, []byte(`"version":`))
		digits, rest, _ := bytes.Cut(rest, []byte("}"))
		user, err := strconv.Atoi(string(name))
		version, err2 := strconv.ParseInt(string(digits), 10, 64)
		user -= w.first
		if err != nil || err2 != nil || user < 0 || user >= stormUsers {
			w.fault = fmt.Errorf("not a status of the storm: %q", event)
			return
		}
		seen := &w.versions[stream][user]
		if version <= *seen {
			w.fault = fmt.Errorf("a stream was told version %d of a user after %d", version, *seen)
			return
		}
		*seen = version
		event = rest
	}
}

// sawLast reports whether every stream has seen these versions last.
func (w *watched) sawLast(last [stormUsers]int64) bool {
	return !slices.ContainsFunc(w.versions, func(seen [stormUsers]int64) bool { return seen != last })
}

// aside is a user and the stream of the one who watches them.
type aside struct {
	*streams
	*caller
	change func(c *caller, i int) error
	made   int
}

// standAside has the user after the bystander watch them.
func (b *bench) standAside(ctx context.Context, t *target, bystander int) (*aside, error) {
	c, err := t.dial()
	if err != nil {
		return nil, err
	}
	body := fmt.Appendf(nil, `{"userIDList":[%q]}`, userName(bystander))
	if err := c.post("/v1/subscribeUserStatus", b.token(bystander+1), body); err != nil {
		c.close()
		return nil, err
	}
	s, err := t.open(ctx, []string{b.request(bystander + 1)}, nil)
	if err != nil {
		c.close()
		return nil, err
	}
	return &aside{streams: s, caller: c, change: b.ownChange(bystander)}, nil
}

// changes has the bystander change until told to end, and returns how long it
// took until the watcher heard of each.
func (a *aside) changes(ctx context.Context, end <-chan struct{}) (c cost, err error) {
	pace := time.NewTicker(bystanderPace)
	defer pace.Stop()
	for {
		select {
		case <-end:
			slices.Sort(c.delays)
			return c, nil
		case <-pace.C:
		}
		began := time.Now()
		if err := a.change(a.caller, a.made); err != nil {
			return c, err
		}
		a.made++
		at, err := a.untilReceived(ctx, a.made)
		if err != nil {
			return c, err
		}
		c.delays = append(c.delays, at.Sub(began))
	}
}

func (a *aside) close() {
	a.streams.close()
	a.caller.close()
}
