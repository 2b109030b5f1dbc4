package presence

import (
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestASessionAheadOfItsLoginStays checks that changes of its user which are not a newer
// stream don't end a session whose login waits for the log.
func TestASessionAheadOfItsLoginStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 2, silent)
		one, two := c.nodes[0], c.nodes[1]
		alice := two.web("alice", "tab")
		two.register("bob")
		two.subscribe("alice", "bob")
		c.pass(time.Second)
		c.links[0].cut(errCut, nil)
		c.pass(1500 * time.Millisecond) // a beat is under way
		again := &stream{w: one, device: alice.device, versions: make(map[string]int64)}
		again = again.resumeFrom(one.stats().Version)
		two.set("alice", "elsewhere", 0)
		two.set("bob", "busy", 0)
		c.settle()
		again.wants("alice ONLINE elsewhere", "bob UNLOGINED busy")
		c.links[0].cut(nil, nil)
		c.pass(time.Second)
		alice.ends(io.EOF)
		c.pass(time.Minute)
		c.is("alice ONLINE elsewhere", "her newest stream is open")
		again.Close()
		c.pass(11 * time.Second)
		c.is("alice UNLOGINED elsewhere", "its end counts")
		c.same()
	})
}

// TestASessionAheadOfItsLoginStaysWhenItsDeviceIsOffline is the same for a device whose node is
// dead, and whose grace is over, when the node has begun its next run, and before the login is
// applied.
func TestASessionAheadOfItsLoginStaysWhenItsDeviceIsOffline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 2, silent, func(s *Settings) { s.RestartGrace = 2500 * time.Millisecond })
		one, two := c.nodes[0], c.nodes[1]
		phone := one.ios("alice", "phone")
		c.pass(time.Second)
		c.links[0].cut(errCut, nil)
		c.pass(1500 * time.Millisecond) // a beat is under way
		again := phone.resume()
		c.pass(3500 * time.Millisecond)
		c.is("alice OFFLINE", "the grace is over")
		again.wants("alice OFFLINE")
		c.links[0].hold()
		c.links[0].cut(nil, nil)
		for range 2 { // the beat, which has no effect, and the beginning of the run
			c.pass(200 * time.Millisecond)
			c.links[0].release()
			c.links[0].hold()
		}
		c.pass(200 * time.Millisecond)
		two.set("alice", "busy", 0)
		c.settle()
		again.wants("alice OFFLINE busy")
		c.links[0].release()
		c.pass(3 * time.Second)
		again.wants("alice ONLINE busy")
		c.is("alice ONLINE busy", "her newest stream is open")
		c.same()
	})
}

// TestAReplacedLoginEndsOnlyItsSession has a device that resumes twice while the log is away,
// where only the first login is on its way to the log. Its arrival doesn't end the second
// session.
func TestAReplacedLoginEndsOnlyItsSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 1, silent)
		one := c.nodes[0]
		alice := one.web("alice", "tab")
		c.pass(1500 * time.Millisecond)
		c.links[0].hold()
		first := alice.resume()
		var second *stream
		var opening sync.WaitGroup
		opening.Go(func() { second = first.resume() })
		opening.Wait()
		first.ends(io.EOF)
		c.links[0].release()
		c.pass(time.Minute)
		c.is("alice ONLINE", "her newest stream is open")
		second.quiet("it is open")
		second.Close()
		c.pass(11 * time.Second)
		c.is("alice UNLOGINED", "no stream of hers is open")
		c.same()
	})
}

// TestAReplacedLoginOfAnEndedRun is the same where the run in which the first login has arrived
// ends before the second one is applied.
func TestAReplacedLoginOfAnEndedRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 1, silent)
		one := c.nodes[0]
		alice := one.web("alice", "tab")
		c.pass(1500 * time.Millisecond)
		c.links[0].hold()
		second := alice.resume().resume()
		held := c.links[0].take()
		c.links[0].cut(errCut, nil)
		c.links[0].deliver(held[:1]) // the first login
		synctest.Wait()
		two := c.join(silent)
		c.pass(5 * time.Second)
		wantList(t, two.live(), []string{"node 2"}, "the run has ended")
		two.set("alice", "elsewhere", 0)
		c.settle()
		second.wants("alice ONLINE elsewhere")
		c.links[0].cut(nil, nil)
		c.pass(40 * time.Second)
		c.is("alice ONLINE elsewhere", "her newest stream is open")
		c.same()
	})
}

// TestALoginThatIsReplacedAtOnce has a device that logs in twice in one entry. The first session
// is open ahead of its login, and the second login was given up. No stream is left.
func TestALoginThatIsReplacedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 1, silent)
		one := c.nodes[0]
		alice := one.web("alice", "tab")
		c.pass(1500 * time.Millisecond)
		c.links[0].hold()
		c.pass(time.Second) // a beat is under way
		again := alice.resume()
		var calls sync.WaitGroup
		calls.Go(func() {
			_, err := one.Connect(t.Context(), Device{UserID: "alice", ID: "tab"})
			wantCode(t, err, CodeUnavailable, "it is given up")
		})
		synctest.Wait()
		c.links[0].release()
		c.links[0].hold() // both logins are in one entry
		calls.Wait()
		c.links[0].release()
		c.settle()
		again.ends(io.EOF)
		c.pass(time.Minute)
		c.is("alice UNLOGINED", "no stream of hers is open")
		c.same()
	})
}

// TestAHiddenDeviceIsNotTakenOver checks that a stream ends whose device was hidden while its
// node was dead: in public, it has logged out.
func TestAHiddenDeviceIsNotTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 2, silent)
		one, two := c.nodes[0], c.nodes[1]
		tab := two.web("alice", "tab")
		watcher := one.web("watcher", "tab")
		one.subscribe("watcher", "alice")
		c.pass(time.Second)
		c.links[1].cut(errCut, errCut)
		c.pass(6 * time.Second)
		one.hide(true)
		one.hide(false)
		watcher.wants("alice UNLOGINED")
		c.links[1].cut(nil, nil)
		c.pass(2 * time.Second)
		tab.ends(io.EOF)
		watcher.quiet("the device counts once it connects")
		tab.resume()
		watcher.wants("alice ONLINE")
		c.same()
	})
}

// TestDrainOfANodeKeepsDevicesConnected checks that the devices of a node that drains count as
// connected until its run ends, also if their users change meanwhile.
func TestDrainOfANodeKeepsDevicesConnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 2, silent)
		one, two := c.nodes[0], c.nodes[1]
		alice := one.web("alice", "tab")
		c.pass(time.Second)
		one.Drain()
		alice.ends(ErrClosed)
		two.set("alice", "busy", 0)
		c.pass(15 * time.Second)
		two.is("alice ONLINE busy", "the grace of a dropped stream is over, and that of a restart has not begun")
		one.must(one.Close())
		two.pass(25 * time.Second)
		two.is("alice ONLINE busy", "it runs")
		two.pass(10 * time.Second)
		two.is("alice UNLOGINED busy", "it is over")
	})
}
