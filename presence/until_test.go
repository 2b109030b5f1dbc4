package presence

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestEntryExpiresAt: a custom status may end at a time, which is in the future when the status is stored.
func TestEntryExpiresAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.web("alice", "tab")
		set := func(text string, until time.Time) (Status, error) {
			return w.SetEntry(t.Context(), "alice", Entry{CustomStatus: text, ExpiresAt: until})
		}
		at := w.Now().Add(time.Minute).Truncate(time.Second)
		first, err := set("Call", at.Add(-time.Microsecond))
		if err != nil || !first.ExpiresAt.Equal(at) {
			t.Fatalf("the status ends at %v, %v; want %v: in whole milliseconds, rounded up", first.ExpiresAt, err, at)
		}
		if again, _ := set("Call", at); again != first {
			t.Errorf("setting the same status again changes nothing, but gives %v after %v", again, first)
		}
		if later, _ := set("Call", at.Add(time.Second)); later.Version == first.Version {
			t.Error("another expiry is a change, but has the same version")
		}
		for why, until := range map[string]time.Time{
			"now": w.Now(), "in the past": w.Now().Add(-time.Second), "1970": time.Unix(0, 0),
			"more than 365 days ahead": w.Now().Add(maxExpiry + time.Second), "the year 9999": time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC),
		} {
			if _, err := set("Call", until); ErrorCode(err) != CodeMalformed {
				t.Errorf("an expiry that is %s gives %v, want CodeMalformed", why, err)
			}
		}
		w.is("alice ONLINE Call", "what is malformed changes nothing")
		w.pass(2 * time.Minute)
		w.is("alice ONLINE", "the status has ended")
	})
}
