//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/presence-server/presence/bench/lab"
	"github.com/presence-server/presence/deploy/testserver"
)

// healthy is one user, and the stream of another user who watches them. Its delays
// show what the clients of a crowd do to other users.
type healthy struct {
	v      *victim
	token  string // of the user who changes
	stream *testserver.Stream
	made   int
}

func newHealthy(ctx context.Context, v *victim) (*healthy, error) {
	h := &healthy{v: v, token: lab.Token("healthy")}
	err := v.Register(ctx, []string{"healthy", "watcher"})
	if err = errors.Join(err, v.Befriend(ctx, "watcher", "healthy")); err != nil {
		return nil, err
	}
	h.stream, err = v.Follow(ctx, lab.Token("watcher"), "deviceID=d", "")
	return h, err
}

// pace is the time from one change to the next.
const pace = 10 * time.Millisecond

// delays makes n changes, and returns how long each took from the call until the
// watcher received it.
func (h *healthy) delays(ctx context.Context, n int) ([]time.Duration, error) {
	var all []time.Duration
	every := time.NewTicker(pace)
	defer every.Stop()
	for range n {
		select {
		case <-every.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		delay, err := h.change(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, delay)
	}
	slices.Sort(all)
	return all, nil
}

func (h *healthy) change(ctx context.Context) (time.Duration, error) {
	h.made++
	text, began := fmt.Sprint("change ", h.made), time.Now()
	answer, err := h.v.set(ctx, h.token, text)
	if err != nil || answer.Code != 0 {
		return 0, fmt.Errorf("the healthy user's change is answered %+v, %w", answer, err)
	}
	for {
		event, err := h.stream.Next()
		if err != nil {
			return 0, fmt.Errorf("the healthy stream: %w", err)
		}
		statuses, err := event.Statuses()
		if err != nil {
			return 0, err
		}
		for _, s := range statuses {
			if s.CustomStatus == text {
				return time.Since(began), nil
			}
		}
	}
}
