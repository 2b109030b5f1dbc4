//go:build linux

package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/presence-server/presence/bench/lab"
	"github.com/presence-server/presence/deploy/testserver"
)

// writes is users who set statuses at all nodes of a cluster, users who are imported
// meanwhile, and what was answered.
type writes struct {
	authors  []*author
	imported int // number of calls that were answered; of one goroutine at a time

	answered atomic.Int64 // number of writes
	refused  atomic.Int64 // number of writes whose outcome is unknown

	mu      sync.Mutex
	last    time.Time     // when the last write was answered
	longest time.Duration // the longest time in which none was
}

// author is a user who sets the numbers from 1 on as a status, each once.
type author struct {
	user, token string
	number      int
	answer      testserver.Status // the last one
	unknown     map[string]bool   // texts of writes that were not answered: they may still happen
}

const (
	authors     = 40
	authorPause = 400 * time.Millisecond
	callTimeout = 8 * time.Second // longer than a node waits for the log
)

func newWrites(c *cluster) *writes {
	w := new(writes)
	for _, user := range lab.Names("author", authors) {
		w.authors = append(w.authors, &author{user: user, token: lab.Token(user), unknown: make(map[string]bool)})
	}
	return w
}

// users returns the users who set statuses.
func (w *writes) users() (users []string) {
	for _, s := range w.authors {
		users = append(users, s.user)
	}
	return users
}

// meanwhile writes until harm returns, and waits for the calls under way.
func (w *writes) meanwhile(ctx context.Context, c *cluster, harm func() error) error {
	writing, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	w.last = time.Now()
	repeat := func(name string, call func(*node) bool) {
		random := c.a.random(name)
		for writing.Err() == nil {
			w.count(call(c.nodes[random.IntN(len(c.nodes))]))
			pause(writing, authorPause/2+jitter(random, authorPause))
		}
	}
	for _, s := range w.authors {
		running.Go(func() { repeat(s.user, func(n *node) bool { return s.write(ctx, n, c) }) })
	}
	running.Go(func() { repeat("importer", func(n *node) bool { return w.importSome(ctx, n) }) })
	return harm()
}

// count counts a write.
func (w *writes) count(answered bool) {
	if !answered {
		w.refused.Add(1)
		return
	}
	w.answered.Add(1)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.longest = max(w.longest, time.Since(w.last))
	w.last = time.Now()
}

// more waits until n more writes have been answered.
func (w *writes) more(ctx context.Context, n int64) error {
	enough := w.answered.Load() + n
	if err := until(ctx, func() (bool, error) { return w.answered.Load() >= enough, nil }); err != nil {
		return fmt.Errorf("writes are not answered: %w", err)
	}
	return nil
}

// write sets the next number at a node, and reports whether it was answered.
func (s *author) write(ctx context.Context, n *node, c *cluster) bool {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	s.number++
	text := strconv.Itoa(s.number)
	var status testserver.Status
	answer, err := n.CallInto(ctx, "/v1/setSelfStatus", s.token, map[string]any{"customStatus": text}, &status)
	if err != nil || answer.Code != 0 {
		s.unknown[text] = true
		if err == nil && (answer.Status != 503 || answer.Code != 60022) {
			c.r.lose("a write at %s was answered %d %d %q", n.name, answer.Status, answer.Code, answer.Message)
		}
		return false
	}
	if status.CustomStatus != text || status.Version <= s.answer.Version && !c.lossy.Load() {
		c.r.lose("%s set %q at %s, and was answered %s after version %d", s.user, text, n.name, whole(status), s.answer.Version)
	}
	s.answer = status
	return true
}

// importSome imports some users at a node. Until a call is answered, it imports the same
// users again.
func (w *writes) importSome(ctx context.Context, n *node) bool {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	answer, err := n.Call(ctx, "/v1/admin/importUsers", testserver.AdminKey, map[string]any{"userIDList": batchOf(w.imported)})
	if err != nil || answer.Code != 0 {
		return false
	}
	w.imported++
	return true
}

// verify compares the answers with what a node has stored.
func (w *writes) verify(ctx context.Context, n *node, r *report) error {
	found, err := n.Statuses(ctx, w.users())
	if err != nil {
		return err
	}
	for _, s := range w.authors {
		s.verify(found[s.user], n, r)
	}
	for call := range w.imported {
		found, err := n.Statuses(ctx, batchOf(call))
		if err != nil {
			return err
		}
		if len(found) != inEach {
			r.lose("%s has %d of %d users whose import was answered", n.name, len(found), inEach)
		}
	}
	return nil
}

func (s *author) verify(stored testserver.Status, n *node, r *report) {
	same := stored.Version == s.answer.Version && stored.CustomStatus == s.answer.CustomStatus
	later := stored.Version > s.answer.Version && s.unknown[stored.CustomStatus]
	if !same && !later {
		r.lose("%s was answered %q with version %d, and %s has stored %q with version %d",
			s.user, s.answer.CustomStatus, s.answer.Version, n.name, stored.CustomStatus, stored.Version)
	}
}

// report reports how much was written.
func (w *writes) report(r *report) {
	r.try("%d writes answered and %d not", w.answered.Load(), w.refused.Load())
	r.figure("no write was answered for at most %.1f s", w.longest.Seconds())
}
