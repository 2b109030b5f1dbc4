package presence

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestRandomFaults lets clients connect, resume, disconnect and write at three nodes, while
// links and the log fail and nodes restart. Once all faults are over, the nodes have the same
// state, exactly the users with an open stream are ONLINE, and each answered write is there.
func TestRandomFaults(t *testing.T) {
	seeds := []uint64{1, 12, 13}
	if *seed != 0 {
		seeds = []uint64{*seed}
	}
	for _, n := range seeds {
		t.Run(fmt.Sprint("seed=", n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &faults{cluster: openCluster(t, 3, silent, func(s *Settings) { s.CustomStatusTTL = 24 * time.Hour }), rand: rand.New(rand.NewPCG(n, 0)), clients: make(map[string]*client)}
				for range 120 {
					f.step()
				}
				f.check()
				if t.Failed() {
					t.Logf("replay with -run TestRandomFaults -seed %d; the steps: %q", n, f.steps)
				}
			})
		})
	}
}

// faults is a cluster with clients, in which things go wrong.
type faults struct {
	*cluster
	rand    *rand.Rand
	clients map[string]*client
	steps   []string
}

// client is one device. Each user has one.
type client struct {
	session  *Session        // nil while it is not connected
	node     int             // to which it is connected
	cursor   int64           // of the last event
	possible map[string]bool // the texts that the user may have at the end; true means that the write was not answered
}

func (f *faults) step() {
	moves := []struct {
		weight int
		name   string
		move   func(c *client, user string, node int)
	}{
		{30, "connect", f.connect}, {15, "close", f.hangUp}, {20, "set", f.set}, {30, "pass", f.passSome},
		{6, "cut", f.cutLink}, {8, "restore", f.restoreLink}, {2, "outage", f.outage}, {3, "restart", f.restart}, {2, "kill", f.killNode},
		{3, "log out", f.logOut}, {2, "disk", f.failDisk}, {3, "clock", f.setClock}, {3, "slow", f.slowLink},
		{2, "snapshot", f.saveSnapshot}, {2, "lose", f.loseAppends}, {5, "close", f.closeTwice},
	}
	total := 0
	for _, m := range moves {
		total += m.weight
	}
	n := f.rand.IntN(total)
	user, node := string("abcdef"[f.rand.IntN(6)]), f.rand.IntN(len(f.nodes))
	c := f.clients[user]
	if c == nil {
		c = &client{possible: map[string]bool{"": false}}
		f.clients[user] = c
	}
	for _, m := range moves {
		if n -= m.weight; n < 0 {
			f.steps = append(f.steps, fmt.Sprintf("%s %s %d", m.name, user, node+1))
			m.move(c, user, node)
			break
		}
	}
	f.read()
}

// read makes all clients read what waits for them, and notice the end of their sessions.
func (f *faults) read() {
	synctest.Wait()
	for _, c := range f.clients {
		for more := c.session != nil; more; {
			event, again, err := c.session.Poll()
			c.cursor, more = max(c.cursor, event.Cursor), again && err == nil
			if err != nil {
				c.hangUp()
			}
		}
	}
}

func (c *client) hangUp() {
	if c.session != nil {
		c.session.Close()
		c.session = nil
	}
}

func (f *faults) connect(c *client, user string, node int) {
	older := c.session
	resumes := f.rand.IntN(2) == 0
	session, err := f.nodes[node].Connect(f.t.Context(), Device{UserID: user, ID: "tab", Resume: resumes, Cursor: c.cursor})
	if older != nil {
		older.Close() // the server notices late that the connection is broken
	}
	if c.session, c.node = session, node; err != nil && ErrorCode(err) != CodeUnavailable && !errors.Is(err, ErrKicked) {
		f.t.Errorf("Connect returns %v", err)
	}
}

func (f *faults) hangUp(c *client, _ string, _ int) { c.hangUp() }

func (f *faults) set(c *client, user string, node int) {
	text := fmt.Sprint("text ", len(f.steps))
	_, err := f.nodes[node].Set(f.t.Context(), user, text, 0)
	switch {
	case err == nil:
		maps.DeleteFunc(c.possible, func(_ string, unanswered bool) bool { return !unanswered })
		c.possible[text] = false
	case ErrorCode(err) == CodeUnavailable:
		c.possible[text] = true
	case ErrorCode(err) != CodeUnknownUser:
		f.t.Errorf("Set returns %v", err)
	}
}

func (f *faults) logOut(_ *client, user string, node int) {
	switch err := f.nodes[node].Logout(f.t.Context(), user, ""); ErrorCode(err) {
	case 0, CodeUnavailable, CodeUnknownUser:
	default:
		f.t.Errorf("Logout returns %v", err)
	}
}

// failDisk makes a node unable to write while clients use it.
func (f *faults) failDisk(c *client, user string, node int) {
	path := f.nodes[node].path
	if runtime.GOOS == "windows" {
		return // there an open file keeps its name
	}
	f.nodes[node].must(os.Rename(path, path+".away"))
	f.connect(c, user, node)
	f.set(c, user, node)
	f.passSome(c, user, node)
	f.nodes[node].must(os.Rename(path+".away", path))
}

func (f *faults) passSome(*client, string, int) {
	f.pass(time.Duration(f.rand.Int64N(int64(8 * time.Second))))
}

func (f *faults) cutLink(_ *client, _ string, node int) {
	switch l := f.links[node]; f.rand.IntN(4) {
	case 0:
		l.cut(errCut, errCut)
	case 1:
		l.cut(errCut, nil)
	case 2:
		l.cut(nil, errCut)
	case 3:
		l.hold()
	}
}

func (f *faults) restoreLink(_ *client, _ string, node int) {
	f.links[node].cut(nil, nil)
	f.links[node].release()
}

func (f *faults) outage(*client, string, int) {
	f.log.fail(errCut)
	f.pass(time.Duration(f.rand.Int64N(int64(30 * time.Second))))
	f.log.fail(nil)
}

// leave makes the clients of a node lose their connections.
func (f *faults) leave(node int) {
	for _, c := range f.clients {
		if c.node == node {
			c.hangUp()
		}
	}
}

func (f *faults) restart(c *client, user string, node int) {
	f.restoreLink(c, user, node)
	w := f.nodes[node]
	w.must(w.Close())
	f.leave(node)
	w.start()
}

func (f *faults) killNode(c *client, user string, node int) {
	held := f.links[node].take()
	w := f.kill(node)
	f.leave(node)
	w.start()
	f.links[node].deliver(held)
}

// closeTwice closes a node whose link may be cut, and opens and closes it again, each time for
// as long as a context lasts.
func (f *faults) closeTwice(_ *client, _ string, node int) {
	w := f.nodes[node]
	w.must(w.Close())
	f.leave(node)
	for range 2 {
		ctx, cancel := context.WithTimeout(f.t.Context(), time.Duration(f.rand.Int64N(int64(5*time.Second))))
		svc, err := Open(ctx, Config{Path: w.path, Settings: &w.settings, Log: w.log, Node: w.node})
		if err == nil {
			w.must(svc.Close())
		} else if !errors.Is(err, context.DeadlineExceeded) {
			f.t.Errorf("Open: %v", err)
		}
		cancel()
	}
	f.restoreLink(nil, "", node)
	f.links[node].slow(0)
	w.start()
}

func (f *faults) setClock(*client, string, int) {
	f.log.turnClock(time.Duration(f.rand.Int64N(int64(40*time.Second))) - 20*time.Second)
}

func (f *faults) loseAppends(_ *client, _ string, node int) { f.links[node].lose() }

func (f *faults) slowLink(_ *client, _ string, node int) {
	f.links[node].slow(time.Duration(f.rand.Int64N(int64(1500 * time.Millisecond))))
}

// saveSnapshot has no effect if the link is cut.
func (f *faults) saveSnapshot(_ *client, _ string, node int) {
	f.nodes[node].Service.node.saveSnapshot(f.t.Context())
}

// check waits until all faults are over, and checks what must be true then.
func (f *faults) check() {
	for i := range f.links {
		f.restoreLink(nil, "", i)
		f.links[i].slow(0)
	}
	for range 10 {
		f.pass(20 * time.Second)
		f.read()
	}
	f.same()
	open := 0
	for _, w := range f.nodes {
		w.must(w.Ready(f.t.Context()))
		open += w.stats().Streams
	}
	for _, user := range slices.Sorted(maps.Keys(f.clients)) {
		c := f.clients[user]
		want := Unlogined
		if c.session != nil {
			want = Online
			open--
		}
		found, _ := f.nodes[0].Get(user)
		for _, s := range found {
			if _, possible := c.possible[s.CustomStatus]; s.StatusType != want || !possible {
				f.t.Errorf("got %+v, want %s and one of the texts %v", s, want, c.possible)
			}
		}
	}
	if open != 0 {
		f.t.Errorf("there are %d streams more than clients", open)
	}
}
