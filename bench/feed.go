//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"time"

	"github.com/presence-server/presence/deploy/testserver"
)

// feedRequest is the request that opens a feed.
func feedRequest(query string) string {
	return fmt.Sprintf("GET /v1/admin/events%s HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer %s\r\n\r\n", query, testserver.AdminKey)
}

// feedMillion is a feed that starts with the status of every user.
func (b *bench) feedMillion() load {
	n := b.Scale(1_000_000, 100_000)
	return load{
		name:    "feed from 0",
		shape:   fmt.Sprintf("a feed that is sent %d users", n),
		figures: []figure{{what: "s until all users are received", most: 2}, {what: "MiB of RSS gained", most: 50}},
		ours: b.onOurs(func(context.Context) (string, error) {
			return b.seed("million", n, subscriptions{watchers: n, targets: n, each: 1})
		}, func(ctx context.Context, t *target) ([]float64, error) {
			before, err := memory(t.pid, "VmRSS:")
			if err := errors.Join(err, forgetPeak(t.pid)); err != nil {
				return nil, err
			}
			began := time.Now()
			s, err := t.open(ctx, []string{feedRequest("?since=0")}, nil)
			if err != nil {
				return nil, err
			}
			defer s.close()
			at, err := s.untilReceived(ctx, n)
			if err != nil {
				return nil, err
			}
			peak, err := memory(t.pid, "VmHWM:")
			return []float64{at.Sub(began).Seconds(), peak - before}, err
		}),
	}
}

// followed measures what a change costs while a feed and a webhook receive it,
// compared with what it costs without them.
func (b *bench) followed() load {
	const clients = 64
	calls := b.Scale(50_000, 5000)
	return load{
		name:    "set, followed",
		shape:   "saturated; 64 users set their statuses, while a feed and a webhook follow; floor: the same server without them",
		figures: []figure{{what: "CPU µs", ratioMost: 1.15}, {what: "setSelfStatus/s"}},
		ours: b.onFollowed(func(ctx context.Context, t *target) ([]float64, error) {
			return changesUnderFeed(ctx, t, calls, clients, 0, true)
		}),
		floor: b.onOurs(nil, func(ctx context.Context, t *target) ([]float64, error) {
			return changesUnderFeed(ctx, t, calls, clients, 0, false)
		}),
	}
}

// feedPaced is a feed of 10,000 changes per second.
func (b *bench) feedPaced() load {
	const clients, pace = 64, time.Second / 10_000
	calls := b.Scale(50_000, 10_000)
	return load{
		name:    "feed of 10,000 changes/s",
		shape:   "paced; 64 users, each of whom changes again before the next event; floor: the same server without a feed",
		figures: []figure{{what: "CPU µs per change, including calls and commits"}, {what: "changes/s"}},
		ours: b.onOurs(nil, func(ctx context.Context, t *target) ([]float64, error) {
			return changesUnderFeed(ctx, t, calls, clients, pace, true)
		}),
		floor: b.onOurs(nil, func(ctx context.Context, t *target) ([]float64, error) {
			return changesUnderFeed(ctx, t, calls, clients, pace, false)
		}),
	}
}

// onFollowed is onOurs for a server with a webhook, whose receiver answers
// immediately.
func (b *bench) onFollowed(work func(ctx context.Context, t *target) ([]float64, error)) side {
	return func(ctx context.Context) ([]float64, error) {
		var messages atomic.Int64
		receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { messages.Add(1) }))
		defer receiver.Close()
		s, err := b.Lab.Start("", "LOG__LEVEL=warn", "WEBHOOKS__URLS="+receiver.URL,
			"WEBHOOKS__SECRET=whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
		if err != nil {
			return nil, err
		}
		defer s.End()
		values, err := work(ctx, &target{address: s.Address, pid: s.Pid(), end: s.End, ours: s})
		if err == nil && messages.Load() == 0 {
			err = fmt.Errorf("the webhook has received nothing")
		}
		return values, err
	}
}

// changesUnderFeed measures calls that set statuses, with or without a feed that
// receives them. It returns the CPU time per change and the changes per second. It
// fails if the feed doesn't receive the last change.
func changesUnderFeed(ctx context.Context, t *target, calls, clients int, pace time.Duration, fed bool) ([]float64, error) {
	all := tokens(clients)
	set := func(c *caller, i int) error { return c.setStatus(all[i%clients], i) }
	if _, err := t.callers(10*clients, clients, 0, set); err != nil { // all users are registered
		return nil, err
	}
	var s *streams
	var newest atomic.Int64
	if fed {
		var err error
		if s, err = t.open(ctx, []string{feedRequest("")}, func(_ int, event []byte) { newest.Store(cursorOf(event)) }); err != nil {
			return nil, err
		}
		defer s.close()
	}
	c, err := t.cost(calls, func() ([]time.Duration, error) {
		delays, err := t.callers(calls, clients, pace, set)
		if err != nil || !fed {
			return delays, err
		}
		var stats struct{ Version int64 }
		if err := t.ours.Must(ctx, "/v1/admin/stats", testserver.AdminKey, nil, &stats); err != nil {
			return nil, err
		}
		return delays, s.until(ctx, func() bool { return newest.Load() >= stats.Version })
	})
	return []float64{c.perUnit(), c.rate()}, err
}

// cursorOf returns the id of an event.
func cursorOf(event []byte) (cursor int64) {
	_, after, _ := bytes.Cut(event, []byte("id: "))
	fmt.Fscan(bytes.NewReader(after), &cursor)
	return cursor
}
