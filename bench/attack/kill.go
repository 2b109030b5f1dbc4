//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/presence-server/presence/bench/lab"
)

// restartGrace is long enough for all users to come back on a busy machine.
const restartGrace = 2 * time.Second

// massacre is one server that is killed again and again.
type massacre struct {
	v       *victim
	r       *report
	load    *load
	loyal   []*follower // these come back immediately after each kill
	returns map[string]int64
	highest int64 // the highest version that the server has sent or answered
}

// kill kills the server with -9 at random moments under load and starts it again. It
// checks that everything answered is stored, that versions never go back, and that
// users who return in time cause no event.
func (a *attacker) kill(ctx context.Context, r *report) error {
	const setters, loyal, most = 12, 4, 300
	rounds, random := a.Scale(150, 50), a.random("kill")
	v, err := a.start(fmt.Sprint("TIMING__RESTART_GRACE=", restartGrace))
	if err != nil {
		return err
	}
	defer v.End()
	m := &massacre{v: v, r: r, returns: make(map[string]int64)}
	if m.load, err = newLoad(ctx, v, setters); err != nil {
		return err
	}
	if err := m.gather(ctx, loyal); err != nil {
		return err
	}
	for round := range rounds {
		if err := m.round(ctx, 1+random.Int64N(most)); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
	}
	for _, f := range m.loyal {
		f.close()
		if err := returns(ctx, v, f); err != nil {
			return err
		}
	}
	r.try("%d kills under load, %d writes answered", rounds, m.load.answered.Load())
	r.figure("%d streams came back %d times each without an event", loyal, rounds)
	return nil
}

// gather makes the loyal users watch the setters and each other.
func (m *massacre) gather(ctx context.Context, n int) error {
	names := lab.Names("loyal", n)
	if err := m.v.Register(ctx, names); err != nil {
		return err
	}
	for _, name := range names {
		f := newFollower(name, m.r)
		m.loyal = append(m.loyal, f)
		err := m.v.Befriend(ctx, name, append(m.load.users(), names...)...)
		if err = errors.Join(err, f.open(ctx, m.v)); err != nil {
			return err
		}
	}
	found, err := m.v.Statuses(ctx, names)
	for name, s := range found {
		m.returns[name] = s.Version
	}
	return err
}

// round kills the server after a number of answers, and checks what is left.
func (m *massacre) round(ctx context.Context, answers int64) error {
	m.load.untilKilled(ctx, m.v, answers)
	for _, f := range m.loyal {
		<-f.ended
		_, cursor := f.known()
		m.highest = max(m.highest, cursor)
	}
	if err := m.v.Start(); err != nil {
		return err
	}
	for _, f := range m.loyal {
		if err := f.open(ctx, m.v); err != nil {
			return err
		}
	}
	return m.check(ctx)
}

// check compares the state of the server with what it answered and sent.
func (m *massacre) check(ctx context.Context) error {
	var stats struct{ Version int64 }
	if err := m.v.Admin(ctx, "stats", nil, &stats); err != nil {
		return err
	}
	if stats.Version < m.highest {
		m.r.lose("version %d was sent, and after a restart the counter is at %d", m.highest, stats.Version)
	}
	m.highest = stats.Version
	if err := m.load.verify(ctx, m.v, m.r); err != nil {
		return err
	}
	found, err := m.v.Statuses(ctx, slices.Collect(maps.Keys(m.returns)))
	for name, version := range m.returns {
		if got := found[name]; got.Version != version || got.StatusType != 1 {
			m.r.lose("%s came back in time, but a change was announced: %+v", name, got)
			m.returns[name] = got.Version
		}
	}
	return err
}
