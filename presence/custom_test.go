package presence

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Promise 8: what becomes due is done within 1 s, and undoes nothing newer.
func TestPromise8DueWorkIsDoneInASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		alice := w.web("alice", "tab")
		w.set("alice", "Lunch", 30*time.Minute)
		alice.wants("alice ONLINE Lunch")
		begun := time.Now()
		event := alice.next()
		for event.Type == EventKeepalive {
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
		w.is("alice ONLINE Call", "the status was set again, and has its own expiry")
		w.pass(2 * time.Second)
		w.is("alice ONLINE", "the last expiry counts")
	})
}

// The proposal was submitted when the status was due, and is applied after something
// newer.
func TestPromise8StaleProposalUndoesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		tab := w.web("alice", "tab")
		w.set("alice", "Call", 0)
		w.must(w.writer.do(t.Context(), &settle{Users: []uint32{tab.user.id}}))
		w.is("alice ONLINE Call", "a proposal only makes the writer check the clock")
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
		w.is("alice ONLINE Away", "coming back before then cancels it")

		w.must(w.Logout(t.Context(), "alice", ""))
		w.pass(ttl / 2)
		w.set("alice", "Gone", 0)
		w.pass(ttl - time.Second)
		w.is("alice UNLOGINED Gone", "the time counts from the later of logging out and setting")
		w.pass(2 * time.Second)
		w.is("alice UNLOGINED", "the status has ended")
	})
}

// TestAnExpiryOfItsOwnEndsAStatus checks this, and that nothing else ends the status.
func TestAnExpiryOfItsOwnEndsAStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		ttl := w.settings.CustomStatusTTL
		week := 7 * 24 * time.Hour
		w.register("alice", "bob", "carol")
		w.web("dave", "tab")
		w.set("alice", "On holiday", week)
		w.set("bob", "Lunch", time.Minute)
		w.set("carol", "Call", week)
		w.set("dave", "Away", week)
		w.must(w.Logout(t.Context(), "dave", ""))
		w.pass(time.Minute + time.Second)
		w.is("bob UNLOGINED", "an expiry before custom_status_ttl ends it")
		w.set("carol", "Call", 0)
		w.pass(ttl - time.Second)
		w.is("carol UNLOGINED Call", "without the expiry, custom_status_ttl counts from setting it")
		w.pass(2 * time.Second)
		w.is("carol UNLOGINED", "without the expiry, custom_status_ttl ends it")
		w.set("carol", "Call", 0)
		w.pass(ttl / 2)
		w.set("carol", "Call", week)
		w.restart(24 * time.Hour)
		w.is("alice UNLOGINED On holiday", "custom_status_ttl is not for a status with an expiry")
		w.is("carol UNLOGINED Call", "nor for one that was given an expiry later")
		w.is("dave UNLOGINED Away", "nor after a logout")
		w.pass(week)
		for _, user := range []string{"alice", "carol", "dave"} {
			w.is(user+" UNLOGINED", "its own expiry ends it")
		}
	})
}

// TestOldDatabaseKeepsAnExpiry covers schema 1, which stored a clear_at next to an
// expiry.
func TestOldDatabaseKeepsAnExpiry(t *testing.T) {
	path := fixture(t, 1)
	execSQL(t, path, "UPDATE users SET custom_status = 'Away', expires_at = (SELECT clock FROM service) + 3600000000, clear_at = 1 WHERE user_id = 'frank'")
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, path: path, settings: DefaultSettings()}
		w.start()
		w.is("frank UNLOGINED Away", "it ends by its own expiry alone")
		w.must(w.Close())
	})
}

func TestCustomStatusOfTheOfflineStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.ios("alice", "phone").Close()
		w.set("alice", "Away", 0)
		w.pass(w.settings.OfflineRetention - time.Second)
		w.is("alice OFFLINE Away", "only a user who is UNLOGINED loses it")
		w.pass(time.Second + w.settings.CustomStatusTTL)
		w.is("alice UNLOGINED", "custom_status_ttl counts from the end of the retention")
	})
}

func TestSettingTheSameStatusChangesNothing(t *testing.T) {
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
			t.Errorf("expires at %v: there is nothing to expire", got)
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
