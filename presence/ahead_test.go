package presence

import (
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestADeviceResumesWhileTheLogIsAway checks that its session opens after 3 seconds, shows
// what the node knows, and is logged in once the log is back.
func TestADeviceResumesWhileTheLogIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 2, silent)
		one := c.nodes[0]
		alice, bob := one.web("alice", "tab"), one.web("bob", "tab")
		one.subscribe("alice", "bob")
		one.set("bob", "before", 0)
		c.settle()
		c.log.fail(errCut)
		c.pass(12 * time.Second)
		alice.ends(ErrClosed)
		bob.ends(ErrClosed)
		began := time.Now()
		again := alice.resume()
		if took := time.Since(began); took != aheadAfter {
			t.Errorf("Connect takes %s", took)
		}
		again.wants("bob ONLINE before")
		c.pass(20 * time.Second)
		again.quiet("the stream stays open: it was opened after the others were moved away")
		c.log.fail(nil)
		c.pass(30 * time.Second)
		c.is("alice ONLINE", "her login was proposed when the log was back")
		again.wants("bob UNLOGINED before")
		if n := one.stats().Streams; n != 1 {
			t.Errorf("%d streams are open, want 1", n)
		}
		again.Close()
		c.pass(11 * time.Second)
		c.is("alice UNLOGINED", "the end of her stream counts")
		c.same()
	})
}

// TestLoginsThatCameTooLate checks what becomes of a session that was opened ahead of its
// login: one that has ended is not logged in, and one whose device was kicked or has
// connected elsewhere meanwhile ends.
func TestLoginsThatCameTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 2, silent)
		one, two := c.nodes[0], c.nodes[1]
		watcher := two.web("watcher", "tab")
		var streams []*stream
		for _, user := range []string{"closes", "kicked", "moves", "broken"} {
			two.register(user)
			two.subscribe("watcher", user)
			c.settle()
			if user == "broken" {
				streams = append(streams, one.web(user, "tab"))
				watcher.wants("broken ONLINE")
				continue
			}
			s := &stream{w: one, device: Device{UserID: user, ID: "tab", IssuedAt: time.Now()}, versions: make(map[string]int64)}
			streams = append(streams, s)
		}
		c.pass(time.Second)
		c.links[0].cut(errCut, errCut)
		var opening sync.WaitGroup
		for i, s := range streams {
			opening.Go(func() { streams[i] = s.resumeFrom(one.stats().Version) })
		}
		opening.Wait()
		c.pass(3 * time.Second)
		streams[0].Close()
		streams[3].Close() // its older stream has ended too, which the node didn't know
		two.must(two.Kick(t.Context(), "kicked"))
		two.web("moves", "tab")
		watcher.wants("moves ONLINE")
		if len(two.live()) != 1 {
			t.Errorf("the nodes %v live", two.live())
		}
		c.links[0].cut(nil, nil)
		c.pass(2 * time.Second)
		streams[1].isKicked(KickedByAdmin)
		streams[2].ends(io.EOF)
		watcher.quiet("no login has changed a status")
		c.is("closes UNLOGINED", "its session had ended before its login was proposed")
		c.is("moves ONLINE", "it is connected at the other node")
		c.pass(40 * time.Second)
		c.is("broken UNLOGINED", "neither of its streams is open")
		c.same()
	})
}

// TestAStreamThatWasReplacedInAnOutage has a device that resumes in an outage, and closes its
// session before the outage is over. Neither of its streams counts any more.
func TestAStreamThatWasReplacedInAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 2, silent)
		alice := c.nodes[0].web("alice", "tab")
		c.pass(time.Second)
		c.log.fail(errCut)
		c.pass(1500 * time.Millisecond) // a beat is under way, so the login isn't proposed yet
		again := alice.resume()
		again.Close()
		c.pass(time.Second)
		c.log.fail(nil)
		c.pass(9 * time.Second)
		c.is("alice ONLINE", "the grace of her stream runs")
		c.pass(2 * time.Second)
		c.is("alice UNLOGINED", "no stream of hers is open")
		c.same()
	})
}

// TestTwoLoginsInOneEntry has a device that resumes twice while the log is away. Both logins
// are in one entry, and the second stream has replaced the first one before the entry
// arrives. No stream is left that nobody reads.
func TestTwoLoginsInOneEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 1, silent) // nobody considers it dead meanwhile
		one := c.nodes[0]
		alice := one.web("alice", "tab")
		c.pass(time.Second)
		c.log.fail(errCut)
		c.pass(1500 * time.Millisecond) // a beat is under way
		first := alice.resume()
		var second *stream
		var opening sync.WaitGroup
		opening.Go(func() { second = first.resume() })
		synctest.Wait()
		c.links[0].hold()
		c.log.fail(nil)
		c.pass(200 * time.Millisecond)
		c.links[0].release() // the beat arrives, and both logins are proposed
		c.links[0].hold()
		opening.Wait()
		c.links[0].release()
		c.settle()
		first.Close()
		second.Close()
		c.pass(11 * time.Second)
		c.is("alice UNLOGINED", "none of her streams is open")
		c.same()
	})
}

// TestWhoDoesntResumeWaitsForTheLog checks that without the log no session opens for a device
// that doesn't resume, for an unknown user, or for one that the node knows to be kicked.
func TestWhoDoesntResumeWaitsForTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 2, silent)
		one := c.nodes[0]
		one.register("alice", "kicked")
		one.must(one.Kick(t.Context(), "kicked"))
		c.settle()
		c.log.fail(errCut)
		for _, d := range []Device{
			{UserID: "alice", ID: "tab"}, {UserID: "nobody", ID: "tab", Resume: true}, {UserID: "kicked", Resume: true, IssuedAt: time.Unix(1, 0)},
		} {
			began := time.Now()
			_, err := one.Connect(t.Context(), d)
			wantCode(t, err, CodeUnavailable, "the log is away")
			if took := time.Since(began); took != maxWait {
				t.Errorf("Connect takes %s", took)
			}
		}
		if n := one.stats().Streams; n != 0 {
			t.Errorf("%d streams are open", n)
		}
		c.log.fail(nil)
		c.pass(20 * time.Second)
		c.is("alice UNLOGINED", "her login was given up")
		c.same()
	})
}

// TestATakeoverEndsStreamsOfForgottenDevices checks that a stream ends whose device was
// forgotten while its node was cut: otherwise it would be open, and its user not ONLINE.
func TestATakeoverEndsStreamsOfForgottenDevices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 2, silent, func(s *Settings) { s.RestartGrace = time.Second })
		one, two := c.nodes[0], c.nodes[1]
		alice, bob := one.web("alice", "tab"), one.ios("bob", "phone")
		c.pass(time.Second)
		c.links[0].cut(errCut, errCut)
		c.pass(7 * time.Second)
		two.is("alice UNLOGINED", "the grace is over")
		two.is("bob OFFLINE", "the grace is over")
		c.links[0].cut(nil, nil)
		c.pass(2 * time.Second)
		alice.ends(io.EOF)
		bob.ends(io.EOF)
		bob.resume()
		c.settle()
		c.is("bob ONLINE", "the device has connected again")
		c.same()
	})
}
