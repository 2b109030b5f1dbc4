package presence

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"unicode/utf8"
)

// crowd registers n friends of alice with texts of about a kilobyte, so that a
// list of all of them is split.
func (w *world) crowd(n int) (names []string) {
	w.t.Helper()
	for i := range n {
		names = append(names, fmt.Sprintf("friend-%03d", i))
	}
	w.register(append(names, "alice")...)
	w.befriend("alice", names...)
	for _, name := range names {
		w.set(name, longText(name, 0), 0)
	}
	return names
}

func longText(name string, round int) string {
	return fmt.Sprintf("%s %d %s", name, round, strings.Repeat("x", 1000))
}

func withLongTexts(s *Settings) { s.CustomStatusBytes = 2048 }

// parts reads until nothing waits, and returns the parts.
func (s *stream) parts() (parts []Event) {
	s.w.t.Helper()
	for len(s.waitingUsers()) > 0 {
		event := s.next()
		event.Statuses = append([]Status(nil), event.Statuses...)
		parts = append(parts, event)
	}
	return parts
}

// TestLongListsAreSplit: each part is about 32 KiB at the most, the statuses are
// in order of version, and the cursor of a part covers no status of a later one.
func TestLongListsAreSplit(t *testing.T) {
	w := open(t, withLongTexts)
	names := w.crowd(100)
	w.set("friend-007", strings.Repeat("\x01", 2048), 0) // 12 KiB of JSON
	parts := w.connect(Device{UserID: "alice", ID: "tab", Resume: true}).parts()
	if len(parts) < 4 {
		t.Fatalf("100 KiB are sent in %d parts", len(parts))
	}
	var last int64
	seen := make(map[string]bool)
	for i, part := range parts {
		if size := len(AppendList(nil, part.Statuses)); size > maxPart+100 {
			t.Errorf("part %d has %d bytes", i, size)
		}
		for _, s := range part.Statuses {
			if s.Version < last {
				t.Errorf("part %d has version %d of %s after %d", i, s.Version, s.UserID, last)
			}
			last = s.Version
			seen[s.UserID] = true
		}
		if i < len(parts)-1 {
			if next := parts[i+1].Statuses[0].Version; part.Cursor < last || part.Cursor >= next {
				t.Errorf("part %d ends with version %d and has the cursor %d, and the next begins with %d", i, last, part.Cursor, next)
			}
		}
	}
	if len(seen) != len(names)+1 {
		t.Errorf("%d users are sent, want %d", len(seen), len(names)+1)
	}
	if got := parts[len(parts)-1].Cursor; got != w.model.version {
		t.Errorf("the last part has the cursor %d, want the current version %d", got, w.model.version)
	}
}

// TestALongStatusIsSentAlone: one that is longer than a part.
func TestALongStatusIsSentAlone(t *testing.T) {
	w := open(t, func(s *Settings) { s.CustomStatusBytes = maxCustomStatusBytes })
	w.crowd(3)
	w.set("friend-001", strings.Repeat("\x01", maxCustomStatusBytes), 0)
	parts := w.connect(Device{UserID: "alice", ID: "tab", Resume: true}).parts()
	if len(parts) != 3 || len(parts[1].Statuses) != 1 { // the others, the long one, and alice, who has just come
		t.Errorf("there are %d parts, want the long status alone in the second of three", len(parts))
	}
}

// TestPromise3ACutBetweenPartsLosesNothing cuts a replay after each of its parts,
// while users change, come and go, and resumes from the cursor of that part.
func TestPromise3ACutBetweenPartsLosesNothing(t *testing.T) {
	for cut := range 6 {
		synctest.Test(t, func(t *testing.T) {
			w := open(t, withLongTexts)
			names := w.crowd(100)
			alice := w.connect(Device{UserID: "alice", ID: "tab", Resume: true})
			view := make(map[string]Status)
			read := func(event Event) {
				for _, s := range event.Statuses {
					view[s.UserID] = s
				}
			}
			for i := range cut {
				if len(alice.waitingUsers()) > 0 {
					read(alice.next())
				}
				w.set(names[3*i], longText("changed while it is sent", i), 0) // sent before, or still to be sent
				w.set(names[99-i], longText("changed while it is sent", i), 0)
				w.unfriend("alice", names[50+i])
				w.remove(names[60+i])
				w.register(names[60+i]) // another user of the same ID, and no friend
			}
			w.befriend("alice", names[50]) // visible since now, its status is older
			alice = alice.resume()
			for _, part := range alice.parts() {
				read(part)
			}
			friends, _, err := w.Friends(t.Context(), "alice", "", 1000)
			w.must(err)
			want, _ := w.Get(append(friends, "alice")...)
			for _, status := range want {
				if view[status.UserID] != status {
					t.Errorf("after a cut at part %d, %s is shown with version %d, want %d", cut, status.UserID, view[status.UserID].Version, status.Version)
				}
			}
		})
	}
}

// TestPromise7BetweenPartsOfAList: what was to be sent in a later part is not
// sent after its reason has gone.
func TestPromise7BetweenPartsOfAList(t *testing.T) {
	w := open(t, withLongTexts)
	names := w.crowd(100)
	alice := w.connect(Device{UserID: "alice", ID: "tab", Resume: true})
	alice.next()
	w.unfriend("alice", names[98], names[99])
	for _, part := range alice.parts() {
		for _, s := range part.Statuses {
			if s.UserID == names[98] || s.UserID == names[99] {
				t.Errorf("%s is sent after the friendship ended", s.UserID)
			}
		}
	}
}

// TestChangesBetweenPartsAreSentOnce: a user who changes before their part is
// sent comes once, with the last status, after the others.
func TestChangesBetweenPartsAreSentOnce(t *testing.T) {
	synctest.Test(t, testChangesBetweenParts)
}

func testChangesBetweenParts(t *testing.T) {
	w := open(t, withLongTexts)
	names := w.crowd(100)
	alice := w.connect(Device{UserID: "alice", ID: "tab", Resume: true})
	alice.next()
	changed := w.set(names[90], longText("changed", 1), 0)
	w.remove(names[91])
	count := make(map[string]int)
	last := make(map[string]Status)
	for _, part := range alice.parts() {
		for _, s := range part.Statuses {
			count[s.UserID]++
			last[s.UserID] = s
		}
	}
	if count[names[90]] != 1 || last[names[90]] != changed {
		t.Errorf("the changed user is sent %d times, at last with version %d, want once, with %d", count[names[90]], last[names[90]].Version, changed.Version)
	}
	if got := last[names[91]].StatusType; got != Unknown {
		t.Errorf("the deleted user is sent as %v, want UNKNOWN", got)
	}
	for name, n := range maps.All(count) {
		if n > 1 {
			t.Errorf("%s is sent %d times", name, n)
		}
	}
}

// TestLineSeparatorsAreEscaped: many clients take these for the end of a line.
func TestLineSeparatorsAreEscaped(t *testing.T) {
	text := "a\u0085b\u2028c\u2029d\v\f\x1c\x1d\x1ee"
	s := Status{UserID: "x\u2028y", CustomStatus: text}
	quoted := AppendList(nil, []Status{s})
	for _, r := range string(quoted) {
		if r < ' ' || r > utf8.RuneSelf {
			t.Errorf("%q is in the JSON of a list: %s", r, quoted)
		}
	}
	if want := `a\u0085b\u2028c\u2029d\u000b\f\u001c\u001d\u001ee`; !strings.Contains(string(quoted), want) {
		t.Errorf("got %s, want it to contain %s", quoted, want)
	}
}
