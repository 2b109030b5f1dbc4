//go:build linux

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/presence-server/presence/bench/lab"
	"github.com/presence-server/presence/deploy/testserver"
)

// crew is the users of a cluster who have a stream. All but the deserters always want
// one.
type crew struct {
	c         *cluster
	roamers   []*roamer
	deserters []string // these close their streams when asked to

	running sync.WaitGroup
	leave   func() // ends all streams, and returns when they have ended
	desert  func() // ends the streams of the deserters, as if their machines were gone

	away atomic.Bool  // the roamers wait before they open another stream
	calm atomic.Int64 // the version when everybody had arrived; zero before

	mu    sync.Mutex
	flaps map[string]testserver.Status // by roamer; the first status with a version above calm
}

const (
	desertersAtEach = 10
	watchedRoamers  = 10 // number of roamers that each roamer watches
	watchedWriters  = 15
)

func newCrew(c *cluster) *crew {
	w := &crew{c: c, flaps: make(map[string]testserver.Status), deserters: lab.Names("deserter", desertersAtEach*len(c.nodes))}
	for i, user := range lab.Names("roamer", c.a.Scale(clusterStreams, clusterStreams/3)) {
		w.roamers = append(w.roamers, newRoamer(w, user, i))
	}
	return w
}

// users returns the users who have a stream.
func (w *crew) users() []string {
	users := slices.Clone(w.deserters)
	for _, m := range w.roamers {
		users = append(users, m.user)
	}
	return users
}

// watchedBy returns whom a roamer watches.
func (w *crew) watchedBy(i int) (users []string) {
	for k := range watchedRoamers {
		users = append(users, w.roamers[(i+1+k*7)%len(w.roamers)].user)
	}
	writers := w.c.writes.users()
	for k := range watchedWriters {
		users = append(users, writers[(i+k)%len(writers)])
	}
	return append(users, w.deserters[i%len(w.deserters)])
}

// arrive opens all streams, evenly over the nodes, and returns when they are READY.
func (w *crew) arrive(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	w.leave = func() {
		cancel()
		w.running.Wait()
	}
	for i, m := range w.roamers {
		m.watches = w.watchedBy(i)
		if err := w.c.nodes[0].Befriend(ctx, m.user, m.watches...); err != nil {
			return err
		}
	}
	deserting, desert := context.WithCancel(ctx)
	w.desert = desert
	for i, user := range w.deserters {
		w.running.Go(func() { w.haveStream(deserting, user, w.c.nodes[i%len(w.c.nodes)]) })
	}
	for i, m := range w.roamers {
		random := w.c.a.random(fmt.Sprint("roamer-", i))
		w.running.Go(func() { m.roam(ctx, random) })
	}
	return w.settle(ctx)
}

// settle waits until everybody is ONLINE. From then on, no roamer may change.
func (w *crew) settle(ctx context.Context) error {
	err := until(ctx, func() (bool, error) {
		found, err := w.c.nodes[0].Statuses(ctx, w.users())
		for _, user := range w.users() {
			if found[user].StatusType != 1 {
				return false, err
			}
		}
		return true, err
	})
	if err != nil {
		return fmt.Errorf("the users don't become ONLINE: %w", err)
	}
	var stats struct{ Version int64 }
	err = w.c.nodes[0].Admin(ctx, "stats", nil, &stats)
	w.calm.Store(stats.Version)
	return err
}

// haveStream has a stream at one node, and doesn't come back.
func (w *crew) haveStream(ctx context.Context, user string, n *node) {
	stream, err := n.Follow(ctx, lab.Token(user), "deviceID=d", "")
	for err == nil {
		_, err = stream.Next()
	}
}

// note checks a status that a roamer was sent: roamers always return in time, so they must
// not change.
func (w *crew) note(s testserver.Status) {
	calm := w.calm.Load()
	if calm == 0 || s.Version <= calm {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, known := w.flaps[s.UserID]; !known && slices.ContainsFunc(w.roamers, func(m *roamer) bool { return m.user == s.UserID }) {
		w.flaps[s.UserID] = s
	}
}

// forgive lets the roamers be sent earlier versions than before.
func (w *crew) forgive() {
	for _, m := range w.roamers {
		m.mu.Lock()
		m.lossy = true
		m.mu.Unlock()
	}
}

// report reports the roamers who changed, although they had a stream again within the grace,
// which outages of the log extend.
func (w *crew) report(r *report, outages time.Duration) {
	var without []time.Duration
	opened, late := 0, 0
	for _, m := range w.roamers {
		m.mu.Lock()
		without = append(without, m.without)
		opened += m.opened
		m.mu.Unlock()
		if s, changed := w.flaps[m.user]; changed && !w.c.lossy.Load() && m.without <= w.c.grace+outages {
			r.lose("%s was announced as %s with version %d, but was never without a stream for more than %.1f s", m.user, s, s.Version, m.without.Seconds())
		} else if changed {
			late++
		}
	}
	r.try("%d streams moved %d times", len(w.roamers), opened-len(w.roamers))
	if late > 0 {
		r.figure("%d users changed, whose grace was over or whose status was lost", late)
	}
	r.figure("longest time of each without a stream %s", summary(without))
}

// roamer is a follower that always wants a stream. When its stream ends, or sends nothing
// for too long, it resumes at another node. Some move without a reason.
type roamer struct {
	*follower
	w        *crew
	watches  []string
	at       int // the node
	restless bool

	// The fields below are protected by mu of the follower.
	opened   int
	last     time.Time     // when something was received last
	without  time.Duration // the longest time until something was received again
	watchdog *time.Timer
}

const (
	opening = 2 * time.Second // after which a roamer tries another node
	silence = 3 * time.Second // after which a stream with a keepalive of 1 s is dead
)

func newRoamer(w *crew, user string, i int) *roamer {
	m := &roamer{follower: newFollower(user, w.c.r), w: w, at: i % len(w.c.nodes), restless: i%4 == 3}
	m.resumes = true // from 0, so that it knows everybody
	m.each = m.received
	return m
}

// received is called with each event.
func (m *roamer) received(e moment) {
	m.watchdog.Reset(silence)
	if m.w.calm.Load() != 0 && !m.last.IsZero() {
		m.without = max(m.without, time.Since(m.last))
	}
	m.last = time.Now()
	for _, s := range e.statuses {
		m.w.note(s)
	}
}

// roam has a stream until ctx is done.
func (m *roamer) roam(ctx context.Context, random *rand.Rand) {
	for ctx.Err() == nil {
		if m.w.away.Load() || !m.visit(ctx, random) {
			pause(ctx, 50*time.Millisecond+jitter(random, 100*time.Millisecond))
		}
		m.at = (m.at + 1 + random.IntN(len(m.w.c.nodes)-1)) % len(m.w.c.nodes)
	}
}

// visit has a stream at one node until the stream ends. It reports whether it was READY.
func (m *roamer) visit(ctx context.Context, random *rand.Rand) bool {
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	watchdog := time.AfterFunc(opening, leave)
	defer watchdog.Stop()
	m.mu.Lock()
	m.watchdog = watchdog
	m.mu.Unlock()
	if m.open(ctx, m.w.c.nodes[m.at].victim) != nil {
		return false
	}
	m.mu.Lock()
	m.opened++
	m.mu.Unlock()
	if m.restless {
		leaving := time.AfterFunc(500*time.Millisecond+jitter(random, 3*time.Second), leave)
		defer leaving.Stop()
	}
	<-m.ended
	return true
}
