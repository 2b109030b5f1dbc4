//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	server "github.com/presence-server/presence/deploy/testserver"
)

// restartGrace is long enough for all to come back on a busy machine.
const restartGrace = 2 * time.Second

// massacre is one server that is killed again and again.
type massacre struct {
	a       *attacker
	v       *victim
	r       *report
	load    *load
	loyal   []*follower // come back after each kill at once
	returns map[string]int64
	ghosts  int
	late    time.Duration // of the ghosts, beyond the grace
	highest int64         // version that the server gave out
}

// kill kills the server with -9 at random moments under load, and starts it
// again: all that was answered is there, versions never step back, who returns
// in time causes no event, and who doesn't is ONLINE no longer than the grace.
func (a *attacker) kill(ctx context.Context, r *report) error {
	const setters, pairs, loyal, most = 12, 4, 4, 300
	rounds, random := a.scale(150, 50), a.random("kill")
	v, err := a.start(fmt.Sprint("TIMING__RESTART_GRACE=", restartGrace))
	if err != nil {
		return err
	}
	defer v.end()
	m := &massacre{a: a, v: v, r: r, returns: make(map[string]int64)}
	if m.load, err = a.newLoad(ctx, v, setters, pairs); err != nil {
		return err
	}
	if err := m.gather(ctx, loyal); err != nil {
		return err
	}
	for round := range rounds {
		if err := m.round(ctx, 1+random.Int64N(most), round%12 == 5); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
	}
	for _, f := range m.loyal {
		f.converges(ctx, v, m.load.users())
		f.close()
	}
	r.try("%d kills under load, %d writes answered", rounds, m.load.answered.Load())
	r.figure("%d streams came back %d times each without an event", loyal, rounds)
	r.figure("%d ghosts, gone at most %.0f ms after the grace", m.ghosts, m.late.Seconds()*1000)
	return nil
}

// gather has the loyal watch the setters, and each other.
func (m *massacre) gather(ctx context.Context, n int) error {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprint("loyal-", i))
	}
	if err := m.v.register(ctx, names); err != nil {
		return err
	}
	for _, name := range names {
		f := m.a.newFollower(name, m.r)
		m.loyal = append(m.loyal, f)
		err := m.v.befriend(ctx, name, false, append(m.load.users(), names...)...)
		if err = errors.Join(err, f.open(ctx, m.v)); err != nil {
			return err
		}
	}
	found, err := m.v.statuses(ctx, names)
	for name, s := range found {
		m.returns[name] = s.Version
	}
	return err
}

// round kills the server after so many answers, and looks at what is left.
func (m *massacre) round(ctx context.Context, answers int64, haunted bool) error {
	var ghost *follower
	if haunted {
		ghost = m.a.newFollower(fmt.Sprint("ghost-", m.ghosts), m.r)
		if err := ghost.open(ctx, m.v); err != nil {
			return err
		}
	}
	var running sync.WaitGroup
	enough := make(chan struct{})
	running.Go(func() { m.load.run(ctx, m.v, answers, func() { close(enough) }) })
	select {
	case <-enough:
	case <-ctx.Done():
	}
	m.v.Kill()
	http.DefaultClient.CloseIdleConnections()
	running.Wait()
	for _, f := range m.loyal {
		<-f.ended
		_, cursor := f.known()
		m.highest = max(m.highest, cursor)
	}
	began := time.Now()
	if err := m.v.Start(); err != nil {
		return err
	}
	return m.look(ctx, ghost, began)
}

// look has the loyal return, and looks at everything.
func (m *massacre) look(ctx context.Context, ghost *follower, began time.Time) error {
	for _, f := range m.loyal {
		if err := f.open(ctx, m.v); err != nil {
			return err
		}
	}
	var stats struct{ Version int64 }
	if err := m.v.Must(ctx, "/v1/admin/stats", server.AdminKey, nil, &stats); err != nil {
		return err
	}
	if stats.Version < m.highest {
		m.r.lose("version %d was told, and after a restart the counter is at %d", m.highest, stats.Version)
	}
	m.highest = stats.Version
	if err := m.load.verify(ctx, m.v, m.r); err != nil {
		return err
	}
	if ghost != nil {
		if err := m.vanishes(ctx, ghost.user, began); err != nil {
			return err
		}
	}
	found, err := m.v.statuses(ctx, m.names())
	for name, version := range m.returns {
		if got := found[name]; got.Version != version || got.StatusType != 1 {
			m.r.lose("%s came back in time, and was announced: %+v", name, got)
			m.returns[name] = got.Version
		}
	}
	return err
}

func (m *massacre) names() (names []string) {
	for _, f := range m.loyal {
		names = append(names, f.user)
	}
	return names
}

// vanishes waits until who doesn't come back isn't ONLINE any more.
func (m *massacre) vanishes(ctx context.Context, user string, began time.Time) error {
	m.ghosts++
	err := until(ctx, func() (bool, error) {
		found, err := m.v.statuses(ctx, []string{user})
		return found[user].StatusType != 1, err
	})
	late := time.Since(began) - restartGrace
	m.late = max(m.late, late)
	if late < 0 {
		m.r.lose("%s had a grace of %s, and only %s of it", user, restartGrace, restartGrace+late)
	}
	if late > time.Second+ready {
		m.r.lose("%s is shown ONLINE %s after the grace", user, late)
	}
	return err
}

// ready is how long a start may take on a busy machine.
const ready = time.Second
