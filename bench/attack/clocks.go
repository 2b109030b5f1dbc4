//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/presence-server/presence/bench/lab"
	"github.com/presence-server/presence/deploy/testserver"
)

// ownClock makes the clock of the process ahead of that of the machine, by a number of
// seconds in CLOCK_AHEAD. The time that passes is the same.
var ownClock = []edit{
	{"time.go", "\nfunc Now() Time {\n	sec, nsec, mono := runtimeNow()\n", `
func Now() Time {
	sec, nsec, mono := runtimeNow()
	sec += ahead
`},
	{"time.go", "\n// x/tools uses a linkname of time.Now in its tests. No harm done.\n", `
var ahead = func() int64 {
	text, _ := syscall.Getenv("CLOCK_AHEAD")
	seconds, err := atoi(text)
	if err != nil {
		panic("CLOCK_AHEAD is not set")
	}
	return int64(seconds)
}()

// x/tools uses a linkname of time.Now in its tests. No harm done.
`},
	{"time.go", "import (\n", "import (\n	\"syscall\"\n"},
}

// clockAhead is by how much the clocks of the nodes are ahead.
var clockAhead = [nodesInCluster]time.Duration{0, time.Hour, -time.Hour}

// shiftNodes gives each node a clock of its own.
func shiftNodes(c *cluster) error {
	root, err := goPrints("env", "GOROOT")
	if err != nil {
		return fmt.Errorf("go env: %w", err)
	}
	binary, err := c.a.build("clock", filepath.Join(root, "src", "time"), ownClock...)
	for i, n := range c.nodes {
		n.Binary = binary
		n.Through = []string{"env", fmt.Sprintf("CLOCK_AHEAD=%.0f", clockAhead[i].Seconds())}
		n.Env = append(n.Env, "FEATURES__LAST_SEEN=true")
	}
	return err
}

// useClocks checks at each node that its clock decides nothing. Then it kills the nodes
// whose clocks are wrong, and checks again.
func useClocks(ctx context.Context, c *cluster) error {
	c.crew.desert()
	var err error
	for _, n := range c.nodes {
		err = errors.Join(err, c.useClock(ctx, n))
	}
	for _, n := range c.nodes[1:] {
		n.Kill()
		http.DefaultClient.CloseIdleConnections()
		err = errors.Join(err, n.Start(), c.writes.more(ctx, 100), c.useClock(ctx, n))
	}
	return err
}

func (c *cluster) useClock(ctx context.Context, n *node) error {
	c.r.try("%s, whose clock is wrong by %s", n.name, clockAhead[n.number])
	ahead := clockAhead[n.number] > 0
	return together(
		func() error { return c.expires(ctx, n, "expiresIn") },
		func() error { return c.expires(ctx, n, "expiresAt") },
		func() error { return errors.Join(c.leaves(ctx, n), c.explains(ctx, n)) },
		func() error { return c.kicks(ctx, n, !ahead) },
	)
}

// together makes calls at the same time, and returns their errors.
func together(calls ...func() error) error {
	errs := make([]error, len(calls))
	var running sync.WaitGroup
	for i, call := range calls {
		running.Go(func() { errs[i] = call() })
	}
	running.Wait()
	return errors.Join(errs...)
}

// dated is a status with its times.
type dated struct {
	UserID     string
	StatusType int
	LastSeenAt time.Time
}

// leaves checks that a user whose stream at a node ends is ONLINE for the grace, and was
// last seen when the stream ended, at all nodes.
func (c *cluster) leaves(ctx context.Context, at *node) error {
	user := "leaving-" + at.name
	if err := at.Register(ctx, []string{user}); err != nil {
		return err
	}
	stream, err := at.Follow(ctx, lab.Token(user), "deviceID=d", "")
	if err != nil {
		return err
	}
	if _, err := stream.Next(); err != nil { // READY
		return err
	}
	online := func(n *node) (bool, error) {
		s, err := n.dated(ctx, user)
		return s.StatusType == 1, err
	}
	if _, err := c.becomes(ctx, time.Now(), online); err != nil {
		return err
	}
	left := time.Now()
	stream.Close()
	took, err := c.becomes(ctx, left, func(n *node) (bool, error) {
		is, err := online(n)
		return !is, err
	})
	outages, errOutages := c.outages() // the machine may be too busy, or its disk
	if err = errors.Join(err, errOutages); err != nil || took.first < c.grace || took.last > c.grace+outages+late {
		c.r.lose("%s left %s, and was ONLINE for %s: %v", user, at.name, took, err)
	}
	for _, n := range c.nodes {
		s, err := n.dated(ctx, user)
		if s.LastSeenAt.Sub(left).Abs() > time.Minute {
			c.r.lose("at %s, %s was last seen at %s, but left %s at %s: %v", n.name, user, s.LastSeenAt, at.name, left, err)
		}
	}
	return nil
}

// dated returns the status of a user. It is the zero value if the node doesn't know the
// user yet.
func (n *node) dated(ctx context.Context, user string) (s dated, err error) {
	var found struct{ SuccessUserList []dated }
	if err = n.Admin(ctx, "getUserStatus", map[string]any{"userIDList": []string{user}}, &found); len(found.SuccessUserList) == 1 {
		s = found.SuccessUserList[0]
	}
	return s, err
}

// explains checks what time it is for a node.
func (c *cluster) explains(ctx context.Context, n *node) error {
	var explained struct{ Now time.Time }
	err := n.Must(ctx, "/v1/admin/explain?userID=leaving-"+n.name, testserver.AdminKey, nil, &explained)
	if off := time.Since(explained.Now); err == nil && off.Abs() > late {
		c.r.lose("for %s it is %s earlier than it is", n.name, off)
	}
	return err
}

// span is how long something took, until it was true at the first node and at the last.
type span struct{ first, last time.Duration }

func (s span) String() string {
	return fmt.Sprintf("%.1f s at the first node and %.1f s at the last", s.first.Seconds(), s.last.Seconds())
}

// becomes waits until something is true at all nodes, and returns how long that has taken.
func (c *cluster) becomes(ctx context.Context, began time.Time, is func(*node) (bool, error)) (took span, err error) {
	err = until(ctx, func() (bool, error) {
		n := 0
		for _, one := range c.nodes {
			yes, err := is(one)
			if err != nil {
				return false, err
			}
			if yes {
				n++
			}
		}
		if n > 0 && took.first == 0 {
			took.first = time.Since(began)
		}
		took.last = time.Since(began)
		return n == len(c.nodes), nil
	})
	return took, err
}
