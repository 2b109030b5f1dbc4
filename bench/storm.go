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

	"github.com/presence-server/presence/bench/lab"
)

const (
	stormUsers = 200 // everyone watches these users; each has a client of their own
	stormPace  = time.Second / 2000

	// stormRoom is how much memory, in bytes, each watched user may take on each
	// stream: a few times the size of an encoded status. We chose this bound to see
	// that memory depends on nothing else.
	stormRoom = 1024
)

// storm is users whom all streams watch and who change all the time.
func (b *bench) storm() load {
	n, changes := b.Scale(1000, 100), b.Scale(10_000, 1000)
	return load{
		name:  "storm",
		shape: fmt.Sprintf("paced, 2,000 changes/s of 200 users, whom %d streams watch, all the same", n),
		figures: []figure{
			{what: "CPU µs per delivered status", most: 1},
			{what: "statuses delivered/s"},
			{what: "% of changes × streams delivered"},
			{what: "changes/s"},
			{what: "ms from the last change to its last receipt"},
			{what: "MiB of RSS gained", most: float64(n*stormUsers*stormRoom) / (1 << 20)},
		},
		ours: b.onOurs(func(context.Context) (string, error) { // the IDs of the storm's users follow those of the watchers
			return b.seed("storm", n+stormUsers, subscriptions{watchers: n, targets: stormUsers, first: n, each: stormUsers})
		}, func(ctx context.Context, t *target) ([]float64, error) { return stormOnce(ctx, t, n, changes) }),
	}
}

// stormOnce measures the storm, until every stream has seen the last status of
// every user.
func stormOnce(ctx context.Context, t *target, n, changes int) ([]float64, error) {
	w := watched{first: n, versions: make([][stormUsers]int64, n)}
	var err error
	if w.streams, err = t.open(ctx, requests(n), w.note); err != nil {
		return nil, err
	}
	defer w.streams.close()
	before, err := memory(t.pid, "VmRSS:")
	if err := errors.Join(err, forgetPeak(t.pid)); err != nil {
		return nil, err
	}
	var blowing time.Duration
	c, err := t.cost(0, func() ([]time.Duration, error) {
		began := time.Now()
		last, err := blow(t, n, changes)
		blowing = time.Since(began)
		if err != nil {
			return nil, err
		}
		if err := w.streams.until(ctx, func() bool { return w.failure != nil || w.sawLast(last) }); err != nil {
			return nil, fmt.Errorf("some stream hasn't seen the last status of everyone: %w", err)
		}
		return nil, nil
	})
	peak, errPeak := memory(t.pid, "VmHWM:")
	c.units = w.streams.received()
	return []float64{c.perUnit(), c.rate(), 100 * float64(c.units) / float64(changes*n), float64(changes) / blowing.Seconds(),
		lab.Millis(c.wall - blowing), peak - before}, errors.Join(err, w.failure, errPeak)
}

// blow makes the users of the storm change, in order from the first, and returns the
// version in the last response to each of them.
func blow(t *target, first, changes int) (last [stormUsers]int64, err error) {
	var tokens [stormUsers]string
	for i := range tokens {
		tokens[i] = lab.Token(userName(first + i))
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

// watched is the streams that watch the storm, and the last version of each of its
// users that each stream has received.
type watched struct {
	streams  *streams
	first    int // the first of the watched users
	versions [][stormUsers]int64
	failure  error
}

// note records the statuses of an event. It doesn't use a JSON decoder, because there
// are millions of them.
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
			w.failure = fmt.Errorf("not a status of the storm: %q", event)
			return
		}
		seen := &w.versions[stream][user]
		if version <= *seen {
			w.failure = fmt.Errorf("a stream was sent version %d of a user after %d", version, *seen)
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
