package presence

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Promise 8: what falls due is done within 1 s, and undoes nothing newer.
func TestPromise8DueWorkIsDoneInASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		alice := w.web("alice", "tab")
		w.set("alice", "Lunch", 30*time.Minute)
		alice.wants("alice ONLINE Lunch")
		begun := time.Now()
		event := alice.next()
		for event.Type == Keepalive {
			event = alice.next()
		}
		if got := describe(event.Statuses); got[0] != "alice ONLINE" {
			t.Errorf("got %v, want the custom status cleared", got)
		}
		if late := time.Since(begun) - 30*time.Minute; late < 0 || late > time.Second {
			t.Errorf("cleared %v after it was due: want within 1 s", late)
		}
	})
}

func TestPromise8TimerNeverClearsANewerStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.web("alice", "tab")
		w.set("alice", "Call", 10*time.Second)
		w.pass(9 * time.Second)
		w.set("alice", "Call", 0)
		w.pass(time.Hour)
		w.is("alice ONLINE Call", "a timer never clears a newer status, of the same text either")
		w.set("alice", "Call", 10*time.Second)
		w.pass(9 * time.Second)
		w.set("alice", "Call", 10*time.Second)
		w.pass(9 * time.Second)
		w.is("alice ONLINE Call", "it was set again, and has its own expiry")
		w.pass(2 * time.Second)
		w.is("alice ONLINE", "the last expiry counts")
	})
}

// The proposal was made when it was due, and is applied after something newer.
func TestPromise8StaleProposalUndoesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		tab := w.web("alice", "tab")
		w.set("alice", "Call", 0)
		w.must(w.do(t.Context(), &settle{users: []uint32{tab.user.id}}))
		w.is("alice ONLINE Call", "a proposal only makes the writer look at the clock")
	})
}

func TestPromise8ManyDueAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		var users []string
		for i := range 2*sweep + 1 {
			users = append(users, fmt.Sprint("user", i))
		}
		w.register(users...)
		var writers sync.WaitGroup
		for _, user := range users {
			writers.Go(func() { w.set(user, "Away", 0) })
		}
		writers.Wait()
		w.pass(w.settings.CustomStatusTTL + time.Second)
		found, _ := w.Get(users...)
		for _, s := range found {
			if s.CustomStatus != "" {
				t.Fatalf("%v is still set a second after it was due", s)
			}
		}
	})
}

func TestCustomStatusOfTheUnloginedIsCleared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		ttl := w.settings.CustomStatusTTL
		tab := w.web("alice", "tab")
		w.set("alice", "Away", 0)
		w.pass(time.Hour)
		tab.Close()
		w.pass(w.settings.ReconnectGrace + ttl - time.Second)
		w.is("alice UNLOGINED Away", "custom_status_ttl counts from being UNLOGINED")
		w.web("alice", "tab")
		w.pass(ttl)
		w.is("alice ONLINE Away", "coming back before cancels it")

		w.must(w.Logout(t.Context(), "alice", ""))
		w.pass(ttl / 2)
		w.set("alice", "Gone", 0)
		w.pass(ttl - time.Second)
		w.is("alice UNLOGINED Gone", "it counts from the later of logging out and setting")
		w.pass(2 * time.Second)
		w.is("alice UNLOGINED", "it is over")
	})
}

func TestCustomStatusOfTheOfflineStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.ios("alice", "phone").Close()
		w.set("alice", "Away", 0)
		w.pass(w.settings.OfflineRetention - time.Second)
		w.is("alice OFFLINE Away", "only who is UNLOGINED loses it")
		w.pass(time.Second + w.settings.CustomStatusTTL)
		w.is("alice UNLOGINED", "custom_status_ttl counts from the end of the retention")
	})
}

func TestSettingTheSameChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		alice := w.web("alice", "tab")
		before := w.set("alice", "Call", 0)
		alice.wants("alice ONLINE Call")
		if again := w.set("alice", "Call", 0); again != before {
			t.Errorf("got %v after %v: no visible difference, no version", again, before)
		}
		alice.quiet("no visible difference, no event")

		for i, expiresIn := range []time.Duration{time.Hour, 2 * time.Hour, 0} {
			changed := w.set("alice", "Call", expiresIn)
			if changed.Version <= before.Version {
				t.Errorf("change %d keeps version %d: another expiry is a change", i, changed.Version)
			}
			alice.wants("alice ONLINE Call")
			before = changed
		}
	})
}

func TestExpiryIsRoundedUpToTheMillisecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.web("alice", "tab")
		w.pass(300 * time.Microsecond)
		now := w.Now()
		got := w.set("alice", "Call", time.Second).ExpiresAt
		want := now.Add(time.Second).Truncate(time.Millisecond).Add(time.Millisecond)
		if !got.Equal(want) {
			t.Errorf("expires at %v, want %v: set at %v, for a second", got, want, now)
		}
		if got := w.set("alice", "", time.Second).ExpiresAt; !got.IsZero() {
			t.Errorf("expires at %v: nothing is there to expire", got)
		}
	})
}

func TestSetRefusesWhatIsMalformed(t *testing.T) {
	w := open(t)
	w.register("alice")
	most := strings.Repeat("x", w.settings.CustomStatusBytes)
	tests := []struct {
		name, user, text string
		expiresIn        time.Duration
		want             Code
	}{
		{"as long as may be", "alice", most, maxExpiry, 0},
		{"any UTF-8", "alice", "\x00\n\u2028 ", 0, 0},
		{"a byte too long", "alice", most + "x", 0, CodeMalformed},
		{"not UTF-8", "alice", "\xff", 0, CodeMalformed},
		{"negative expiry", "alice", "x", -1, CodeMalformed},
		{"expiry too far", "alice", "x", maxExpiry + 1, CodeMalformed},
		{"unknown user", "nobody", "x", 0, CodeUnknownUser},
	}
	for _, test := range tests {
		_, err := w.Set(t.Context(), test.user, test.text, test.expiresIn)
		wantCode(t, err, test.want, test.name)
	}
}
