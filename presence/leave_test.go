package presence

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestCloseEndsTheRunAtOnce checks that the others needn't wait for the beats of a node that
// has stopped, and that users who reconnect elsewhere take no version.
func TestCloseEndsTheRunAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 2)
		one, two := c.nodes[0], c.nodes[1]
		alice := two.web("alice", "tab")
		c.settle()
		version, began := one.stats().Version, time.Now()
		one.must(two.Close())
		alice.ends(ErrClosed)
		synctest.Wait()
		wantList(t, one.live(), []string{"node 1"}, "the node has ended its run")
		if took := time.Since(began); took > 0 {
			t.Errorf("Close takes %s", took)
		}
		one.web("alice", "tab")
		if got := one.stats().Version; got != version {
			t.Errorf("the version is %d, want %d", got, version)
		}
		c.pass(time.Minute)
		wantList(t, one.live(), []string{"node 1"}, "no run began after the end")
		one.is("alice ONLINE", "her new stream is open")
		two.start()
		c.same()
	})
}

// TestCloseWithoutTheLog checks that a node can be closed while the log is away, whatever
// waits for it then. The bubble fails the test if a goroutine stays.
func TestCloseWithoutTheLog(t *testing.T) {
	for name, away := range map[string]func(*link){
		"unreachable": func(l *link) { l.cut(errCut, errCut) },
		"no appends":  func(l *link) { l.cut(errCut, nil) },
		"no reads":    func(l *link) { l.cut(nil, errCut) },
		"hanging":     func(l *link) { l.hang() },
		"losing":      func(l *link) { l.lose() },
	} {
		for _, after := range []time.Duration{0, 3 * time.Second, 20 * time.Second} {
			t.Run(name+" "+after.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := openCluster(t, 2)
					one := c.nodes[0]
					alice := one.web("alice", "tab")
					one.register("bob")
					c.pass(1500 * time.Millisecond)
					away(c.links[0])
					alice.Close()
					c.pass(after)
					answer := make(chan error, 1)
					go func() {
						_, err := one.Set(t.Context(), "bob", "text", 0)
						answer <- err
					}()
					synctest.Wait()
					began := time.Now()
					one.must(one.Close())
					if took := time.Since(began); took > 6*time.Second {
						t.Errorf("Close takes %s", took)
					}
					wantCode(t, <-answer, CodeUnavailable, "the node stops")
					c.nodes[1].must(c.nodes[1].Ready(t.Context()))
				})
			})
		}
	}
}

// TestOpenWithoutTheLog checks that Open waits for a log that can't be reached, and returns
// when its context is done: before the log was there, and after.
func TestOpenWithoutTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 1)
		l := newLink(c.log)
		w := &world{t: t, path: t.TempDir() + "/presence.db", settings: DefaultSettings(), log: l}
		for _, cut := range [][2]error{{errCut, errCut}, {errCut, nil}} {
			l.cut(cut[0], cut[1])
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			began := time.Now()
			_, err := Open(ctx, Config{Path: w.path, Log: l})
			if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took != time.Minute {
				t.Errorf("Open returns %v after %s", err, took)
			}
			cancel()
		}
		time.AfterFunc(time.Minute, func() { l.cut(nil, nil) })
		w.start()
		w.must(w.Ready(t.Context()))
	})
}

// TestNodesThatDisagree checks that a node whose Config.Agreement is not that of the others
// is refused, and that the others are not disturbed.
func TestNodesThatDisagree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 1)
		one := c.nodes[0]
		other := &world{t: t, path: t.TempDir() + "/presence.db", settings: DefaultSettings(), log: c.log, node: "other", agreement: []string{"another"}}
		_, err := Open(t.Context(), Config{Path: other.path, Log: c.log, Agreement: []string{"another"}})
		if e, ok := errors.AsType[*DisagreementError](err); !ok || e.Node != "node 1" {
			t.Errorf("Open returns %v", err)
		}
		other.isRefusedToOpen(`is not the same here and on the node "node 1"`)
		c.pass(5 * time.Second)
		wantList(t, one.live(), []string{"node 1"}, "the other has no run")
		one.must(one.Ready(t.Context()))
		one.must(one.Close())
		other.start() // nobody is left who disagrees
		other.must(other.Ready(t.Context()))
	})
}

// TestADeadNodeDoesntDisagreeWithItself checks that a node which was killed can start with
// another Config.Agreement, however often others have refused it.
func TestADeadNodeDoesntDisagreeWithItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 1)
		other := c.join()
		c.pass(3 * time.Second)
		one := c.kill(0)
		one.agreement = []string{"another"}
		for range 2 {
			one.isRefusedToOpen(`is not the same here and on the node "node 2"`)
		}
		other.must(other.Close())
		one.start()
		one.must(one.Ready(t.Context()))
	})
}

// TestAClosingNodeWhoseRunHasEndedRefuses checks that a call isn't answered as if it had
// succeeded when its node, which the others have declared dead, closes before it can propose
// the call again.
func TestAClosingNodeWhoseRunHasEndedRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 2)
		one, two := c.nodes[0], c.nodes[1]
		one.register("alice")
		c.settle()
		c.links[1].cut(errCut, nil) // it can only read
		c.pass(6 * time.Second)
		wantList(t, one.live(), []string{"node 1"}, "the node is dead for the others")
		var set, connect error
		var tasks sync.WaitGroup
		tasks.Go(func() { _, set = two.Service.Set(t.Context(), "alice", "here", 0) })
		tasks.Go(func() { _, connect = two.Service.Connect(t.Context(), Device{UserID: "alice", ID: "tab"}) })
		synctest.Wait()
		tasks.Go(func() { two.Service.Close() })
		c.pass(300 * time.Millisecond)
		c.links[1].cut(nil, nil)
		tasks.Wait()
		wantCode(t, set, CodeUnavailable, "")
		wantCode(t, connect, CodeUnavailable, "")
		one.is("alice UNLOGINED", "nothing has happened")
	})
}
