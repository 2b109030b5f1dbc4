package presence

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestAnOutageOfTheLogMakesNobodyOffline checks what an outage of the log does that all
// nodes see: it ends no run, and graces that were running last longer by as much.
func TestAnOutageOfTheLogMakesNobodyOffline(t *testing.T) {
	for _, outage := range []time.Duration{2 * time.Second, 6 * time.Second, 20 * time.Second, time.Minute} {
		t.Run(outage.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { outageOf(t, outage) })
		})
	}
}

func outageOf(t *testing.T, outage time.Duration) {
	c := openCluster(t, 3, silent)
	one, two := c.nodes[0], c.nodes[1]
	c.settle() // until the first node knows the runs of the others
	runs := one.LogMetrics().Nodes
	stays, left, leaves := two.web("stays", "tab"), two.web("left", "tab"), two.ios("leaves", "1")
	one.register("talks", "died")
	one.set("talks", "for a minute and a half", 90*time.Second)
	c.nodes[2].web("died", "tab")
	one.must(c.nodes[2].Close()) // the grace of its users is 30 seconds
	c.nodes, c.links = c.nodes[:2], c.links[:2]
	left.Close() // its grace is 10 seconds
	c.pass(2 * time.Second)

	c.log.fail(errCut)
	c.pass(outage / 2)
	leaves.Close()
	c.pass(outage / 2)
	if away := outage >= 11*time.Second; away {
		for _, w := range c.nodes {
			wantCode(t, w.Ready(t.Context()), CodeUnavailable, "without the log, no node is ready")
		}
		stays.ends(ErrClosed)
	} else {
		one.must(one.Ready(t.Context()))
		stays.quiet("an outage changes no status")
	}
	c.log.fail(nil)
	c.pass(1500 * time.Millisecond)
	for _, w := range c.nodes {
		w.must(w.Ready(t.Context()))
	}
	c.is("stays ONLINE", "nobody becomes OFFLINE by an outage")
	c.is("left ONLINE", "a grace that was running is extended")
	c.is("leaves ONLINE", "the grace of a stream that broke in the outage begins with its end")
	c.is("died ONLINE", "the grace of the users of an ended run is extended")
	for i, n := range one.LogMetrics().Nodes {
		if n.Run != runs[i].Run {
			t.Errorf("the run of %s is %d, want %d: an outage ends no run", n.Name, n.Run, runs[i].Run)
		}
	}
	again := one.web("stays", "tab")
	c.pass(8 * time.Second) // at least 11 s after the beginning of its grace, less the outage
	c.is("left UNLOGINED", "its grace is over")
	c.pass(4 * time.Second)
	c.is("leaves OFFLINE", "its grace is over")
	c.pass(18 * time.Second)
	c.is("died UNLOGINED", "its grace is over")
	c.is("stays ONLINE", "its new stream is open")
	again.quiet("nothing concerns it")
	if at := 2*time.Second + outage + 31500*time.Millisecond; at < 89*time.Second {
		c.pass(89*time.Second - at)
		c.is("talks UNLOGINED for a minute and a half", "texts expire at their time")
		c.pass(2 * time.Second)
	}
	c.is("talks UNLOGINED", "the expiry of a text is not extended")
	c.same()
}

// TestCallsInAnOutage checks that calls wait for 5 seconds. What was not proposed until
// then never happens; what was proposed may happen later.
func TestCallsInAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 2)
		one := c.nodes[0]
		one.register("alice", "bob", "carol")
		c.settle()
		c.log.fail(errCut)
		call := func(user string) chan error {
			answer := make(chan error, 1)
			go func() {
				began := time.Now()
				_, err := one.Set(t.Context(), user, "said", 0)
				if waited := time.Since(began); waited > maxWait {
					t.Errorf("the call waits for %s", waited)
				}
				answer <- err
			}()
			synctest.Wait()
			return answer
		}
		proposed, withdrawn := call("alice"), call("bob")
		c.pass(3 * time.Second)
		waits := call("carol")
		c.pass(3 * time.Second)
		wantCode(t, <-proposed, CodeUnavailable, "after 5 seconds")
		wantCode(t, <-withdrawn, CodeUnavailable, "after 5 seconds")
		c.log.fail(nil)
		one.must(<-waits)
		c.settle()
		c.is("alice UNLOGINED said", "what was proposed happens later")
		c.is("bob UNLOGINED", "what was not proposed is withdrawn")
		c.is("carol UNLOGINED said", "a call that waits is answered")
		c.pass(2 * time.Second)
		c.same()
	})
}

// TestALoginThatWasGivenUpLeavesNoGhost checks that a device whose Connect has returned an
// error doesn't stay connected, whether its login was proposed or not.
func TestALoginThatWasGivenUpLeavesNoGhost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 2)
		one := c.nodes[0]
		one.register("first", "second")
		c.settle()
		c.log.fail(errCut)
		errs := make(chan error)
		for _, user := range []string{"first", "second"} {
			go func() {
				_, err := one.Connect(t.Context(), Device{UserID: user, ID: "tab"})
				errs <- err
			}()
			synctest.Wait()
		}
		for range 2 {
			if err := <-errs; !errors.Is(err, CodeUnavailable) {
				t.Errorf("Connect returns %v", err)
			}
		}
		c.log.fail(nil)
		c.pass(2 * time.Second)
		c.is("first ONLINE", "its login was proposed, and its grace runs")
		c.is("second UNLOGINED", "its login was withdrawn")
		c.pass(10 * time.Second)
		c.is("first UNLOGINED", "its stream ended when its login was applied")
		c.same()
	})
}

// TestStreamsEndOncePerOutage checks that a node moves its streams away once, that streams
// which were opened before the log was back stay, and that their number is right.
func TestStreamsEndOncePerOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 2, silent)
		one := c.nodes[0]
		for range 2 {
			alice := one.web("alice", "tab")
			c.settle()
			c.log.fail(errCut)
			c.pass(8 * time.Second)
			if n := one.stats().Streams; n != 1 {
				t.Errorf("%d streams are open, want 1: the node waits for 10 seconds", n)
			}
			c.pass(3 * time.Second)
			alice.ends(ErrClosed)
			if n := one.stats().Streams; n != 0 {
				t.Errorf("%d streams are open", n)
			}
			c.log.fail(nil)
			c.pass(2 * time.Second)
			c.is("alice ONLINE", "the grace of the stream runs")
			alice = one.web("alice", "tab")
			c.pass(20 * time.Second)
			if n := one.stats().Streams; n != 1 {
				t.Errorf("%d streams are open, want the one that was opened after the outage", n)
			}
		}
		c.same()
	})
}
