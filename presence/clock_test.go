package presence

import (
	"testing"
	"testing/synctest"
	"time"
)

// The machine is suspended for longer than a status lasts. Go's timers, and the clock
// that drives them, stop meanwhile.
func TestPromise8HoldsAfterASuspension(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		watcher := w.web("watcher", "tab")
		w.web("alice", "tab").Close()
		w.befriend("watcher", "alice")
		w.set("alice", "Call", 0)
		w.set("watcher", "Day", 3*time.Hour)
		watcher.next()
		expires := w.Now().Add(2 * time.Hour)

		w.suspend(90 * time.Minute)
		w.is("watcher ONLINE Day", "nothing is cleared early")
		w.is("alice UNLOGINED", "what became due meanwhile is done within 1 s of the return")
		if got := expires.Sub(w.Now()); got != 29*time.Minute+59*time.Second {
			t.Errorf("two hours are over in %v, want 29m59s: time passes while the machine is suspended", got)
		}
		w.suspend(90 * time.Minute)
		w.is("watcher ONLINE", "what became due meanwhile is done within 1 s of the return")
	})
}

// suspend suspends the machine, and returns a second after it was resumed.
func (w *world) suspend(d time.Duration) {
	w.t.Helper()
	w.asleep.Add(int64(d))
	synctest.Wait()
	w.clockSet()
	w.pass(time.Second)
}

func TestATokenThatExpiresWhileSuspendedEndsItsStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, func(s *Settings) { s.Keepalive = 24 * time.Hour })
		alice := w.connect(Device{UserID: "alice", ID: "tab", ExpiresAt: time.Now().Add(time.Hour)})
		alice.expires = alice.expires.Add(-2 * time.Hour) // according to the machine's clock after the suspension
		w.clockSet()
		w.pass(0)
		alice.isKicked(KickedExpired)
	})
}

// The length of a suspension is known to a millisecond. Shorter ones must not count,
// or each reading of the clock would bring all deadlines nearer.
func TestClockIsNoFasterThanTime(t *testing.T) {
	c := newClock(0, suspended)
	for range 1000 {
		now, machine := c.read()
		if ahead := toMicros(machine.Sub(c.began)); now-c.origin > ahead {
			t.Fatalf("the clock is %d µs ahead without a suspension", now-c.origin-ahead)
		}
	}
}

// TestClockIsNeverBehindTheDatabase sets the machine's clock back while no service
// runs.
func TestClockIsNeverBehindTheDatabase(t *testing.T) {
	last := time.Now().Add(time.Hour).UnixMicro()
	if now := newClock(last, suspended).now(); now < last {
		t.Errorf("after a restart the time is %d µs behind the last batch", last-now)
	}
}

func TestOnClockSetEnds(t *testing.T) {
	stop, err := onClockSet(func() { t.Error("the clock was not set") })
	if err != nil {
		t.Fatal(err)
	}
	stop()
}

// TestTheClockOfANodeIsThatOfTheLog has a node whose machine's clock is an hour ahead: the
// first entry sets the clock right, and from then on it never goes back.
func TestTheClockOfANodeIsThatOfTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClock(0, simulatedMachine().suspended)
		first := c.now() - toMicros(time.Hour)
		c.follow(first, first)
		wantNow := func(want micros) {
			t.Helper()
			if got := c.now(); got != want {
				t.Errorf("the clock is %v off", time.Duration(got-want)*time.Microsecond)
			}
		}
		wantNow(first)
		<-time.After(time.Second)
		wantNow(first + toMicros(time.Second))
		c.follow(first, first)
		wantNow(first + toMicros(time.Second))
		<-time.After(3 * time.Second)
		wantNow(first + toMicros(3*time.Second))
	})
}
