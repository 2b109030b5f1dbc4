package presence

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestACutNodeIsDeadAfterThreeBeats checks what the others see when a node loses the log for
// 6 seconds, in one direction or in both: nothing. The node takes over the streams that are
// still open, and ends those of devices that have connected elsewhere or were kicked.
func TestACutNodeIsDeadAfterThreeBeats(t *testing.T) {
	for name, cut := range map[string][2]error{"both": {errCut, errCut}, "appends": {errCut, nil}, "reads": {nil, errCut}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { cutForSixSeconds(t, cut[0], cut[1]) })
		})
	}
}

func cutForSixSeconds(t *testing.T, appends, reads error) {
	c := openCluster(t, 3)
	one, two, three := c.nodes[0], c.nodes[1], c.nodes[2]
	stays, moves, kicked := three.web("stays", "tab"), three.web("moves", "tab"), three.web("kicked", "tab")
	watcher := one.web("watcher", "tab")
	one.subscribe("watcher", "stays", "moves")
	c.settle()
	version := one.stats().Version
	runs := one.LogMetrics().Nodes

	c.links[2].cut(appends, reads)
	c.pass(2500 * time.Millisecond)
	wantList(t, one.live(), []string{"node 1", "node 2", "node 3"}, "a node lives until three beats of another have passed")
	c.pass(2500 * time.Millisecond)
	wantList(t, one.live(), []string{"node 1", "node 2"}, "then it is dead")
	moved := two.web("moves", "tab")
	one.must(one.Kick(t.Context(), "kicked"))
	one.is("stays ONLINE", "the grace runs")
	c.links[2].cut(nil, nil)
	c.pass(2 * time.Second)

	c.settle()
	wantList(t, one.live(), []string{"node 1", "node 2", "node 3"}, "the node takes a new run")
	if run := one.LogMetrics().Nodes[2].Run; run <= runs[2].Run {
		t.Errorf("the run is %d, want one after %d", run, runs[2].Run)
	}
	moves.ends(io.EOF)
	kicked.isKicked(KickedByAdmin)
	watcher.quiet("the death of the node and its return change no status")
	moved.quiet("nor does the device that has moved")
	if got := one.stats().Version; got > version+1 {
		t.Errorf("the version has grown by %d, want at most 1, by the kick", got-version)
	}
	c.pass(time.Minute)
	c.is("stays ONLINE", "its stream is open")
	c.is("moves ONLINE", "its new stream is open")
	stays.Close()
	c.pass(11 * time.Second)
	c.is("stays UNLOGINED", "the end of a stream that was taken over counts")
	watcher.wants("stays UNLOGINED")
	c.same()
}

// TestUsersOfADeadNode checks what becomes of the users of a node that is cut for longer
// than Settings.RestartGrace: those who connect elsewhere in time take no version, and the
// others become OFFLINE or UNLOGINED at the end of the grace.
func TestUsersOfADeadNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 3, silent)
		one, two, three := c.nodes[0], c.nodes[1], c.nodes[2]
		moves, gone := three.web("moves", "tab"), three.web("gone", "tab")
		phone, late := three.ios("phone", "1"), three.ios("late", "1")
		watcher := one.web("watcher", "tab")
		one.subscribe("watcher", "moves", "gone", "phone", "late")
		c.settle()
		began := time.Now()
		c.links[2].cut(errCut, errCut)
		c.pass(8 * time.Second)
		version := one.stats().Version
		two.web("moves", "tab")
		if got := two.stats().Version; got != version {
			t.Errorf("the version grows from %d to %d although a device only moved", version, got)
		}
		c.pass(5 * time.Second)
		for _, s := range []*stream{moves, gone, phone, late} {
			s.ends(ErrClosed) // the node has moved it away
		}
		wantCode(t, three.Ready(t.Context()), CodeUnavailable, "a node that can't reach the log is not ready")
		c.pass(began.Add(32 * time.Second).Sub(time.Now()))
		watcher.quiet("the grace runs for 30 seconds from the death")
		c.pass(4 * time.Second)
		watcher.wants("gone UNLOGINED", "late OFFLINE", "phone OFFLINE")
		one.is("moves ONLINE", "it is connected")
		two.ios("late", "1")
		watcher.wants("late ONLINE")

		c.pass(time.Minute)
		c.links[2].cut(nil, nil)
		c.pass(2 * time.Second)
		watcher.quiet("the return of the node changes no status")
		c.is("phone OFFLINE", "the node that comes back knows what has happened")
		one.must(three.Ready(t.Context()))
		three.ios("phone", "1")
		watcher.wants("phone ONLINE")
		c.same()
	})
}

// TestANodeThatCanOnlyReadIsNotReady checks that a node which applies the log, but can't append
// to it, moves its streams away too, and says once that it can't reach the log.
func TestANodeThatCanOnlyReadIsNotReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 2, silent)
		one, two := c.nodes[0], c.nodes[1]
		one.must(one.Close())
		var lines bytes.Buffer
		one.logger = slog.New(slog.NewTextHandler(&lines, nil))
		one.start()
		alice := one.web("alice", "tab")
		c.links[0].cut(errCut, nil)
		c.pass(12 * time.Second)
		wantCode(t, one.Ready(t.Context()), CodeUnavailable, "it can't append")
		alice.ends(ErrClosed)
		two.set("alice", "elsewhere", 0)
		synctest.Wait()
		one.is("alice ONLINE elsewhere", "it applies the log")
		c.links[0].cut(nil, nil)
		c.pass(2 * time.Second)
		one.must(one.Ready(t.Context()))
		for _, line := range []string{"log can't be reached", "log can be reached again"} {
			if n := strings.Count(lines.String(), line); n != 1 {
				t.Errorf("%q is logged %d times, want once:\n%s", line, n, lines.String())
			}
		}
		c.same()
	})
}

// silent makes sessions send no KEEPALIVE.
func silent(s *Settings) { s.Keepalive = time.Hour }

// TestUsersOfADeadNodeAreSweptInThousands checks that no operation settles more than a
// thousand users, and that all are settled in time.
func TestUsersOfADeadNodeAreSweptInThousands(t *testing.T) {
	const users = 2200
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 2)
		var opening sync.WaitGroup
		for i := range users {
			opening.Go(func() { c.nodes[1].connectUnread(Device{UserID: fmt.Sprint("user", i), ID: "tab"}) })
		}
		opening.Wait()
		c.settle()
		c.nodes[0].wantCounts(users, 0)
		c.links[1].cut(errCut, errCut)
		c.pass(31 * time.Second) // it is dead after 2 to 3 s, and their grace is 30 s
		c.nodes[0].wantCounts(users, 0)
		c.pass(3 * time.Second)
		c.nodes[0].wantCounts(0, 0)
		for _, op := range operations[*settle](c.log) {
			if len(op.Users) > sweep {
				t.Errorf("an operation settles %d users, want at most %d", len(op.Users), sweep)
			}
		}
		c.links[1].cut(nil, nil)
		c.pass(2 * time.Second)
		c.same()
	})
}
