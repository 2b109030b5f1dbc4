package presence

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"
)

// longTexts registers users whom a watcher has as friends or subscribes to, each with
// a text of up to n bytes.
func (w *world) longTexts(watcher string, users, n int) []string {
	w.t.Helper()
	var ids []string
	for i := range users {
		ids = append(ids, fmt.Sprintf("user-%02d", i))
	}
	w.register(append(ids, watcher)...)
	w.befriend(watcher, ids[:users/2]...)
	for i, id := range ids {
		w.set(id, strings.Repeat("x", i*n/users), 0)
	}
	w.subscribe(watcher, ids[users/2:]...)
	return ids
}

func manyBytes(s *Settings) { s.CustomStatusBytes, s.BatchWindow = maxCustomStatusBytes, 0 }

// isPart checks the size and the order of a part.
func (s *stream) isPart(event Event) {
	s.w.t.Helper()
	if n := len(AppendList(nil, event.Statuses)); len(event.Statuses) == 0 || n > maxPart+2 && len(event.Statuses) > 1 {
		s.w.t.Errorf("%d statuses are %d bytes: a list of more than 32 KiB is split, and none is empty", len(event.Statuses), n)
	}
	for i, status := range event.Statuses[1:] {
		if before := event.Statuses[i]; s.w.visible(s.device.UserID, before) > s.w.visible(s.device.UserID, status) {
			s.w.t.Errorf("%s comes before %s: statuses come in order of version", before.UserID, status.UserID)
		}
	}
}

// visible returns the version of a status, or of what made it visible.
func (w *world) visible(watcher string, s Status) int64 {
	w.t.Helper()
	w.mu.RLock()
	user, target := w.model.byName[watcher].id, w.model.byName[s.UserID].id
	w.mu.RUnlock()
	watches, err := w.readWatches(w.t.Context(), user)
	w.must(err)
	version := s.Version
	for _, one := range watches {
		if one.target == target {
			version = max(version, one.since)
		}
	}
	return version
}

// TestASplitReplayLosesNothingWhereverItIsCut reads some parts of a snapshot,
// reconnects after some changes, and must then have the current statuses.
func TestASplitReplayLosesNothingWhereverItIsCut(t *testing.T) {
	w := open(t, manyBytes)
	users := w.longTexts("watcher", 40, 12_000)
	random := rand.New(rand.NewPCG(1, 2))
	w.web("watcher", "tab").Close()
	for cut := 0; ; cut++ {
		s := w.connect(Device{UserID: "watcher", ID: "tab", Resume: true})
		view := &viewer{s, make(map[string]Status)}
		parts := 0
		for ; parts < cut && len(s.waitingUsers()) > 0; parts++ {
			view.part()
		}
		whole := parts < cut
		s.Close()
		for range 3 {
			w.set(users[random.IntN(len(users))], strings.Repeat("y", random.IntN(12_000)), 0)
		}
		view.stream = s.resume()
		for len(view.waitingUsers()) > 0 {
			before := view.cursor
			view.part()
			if view.cursor <= before {
				t.Errorf("the cursor stays at %d: every event is progress", before)
			}
		}
		view.isUpToDate(users)
		if view.Close(); whole {
			if parts < 5 {
				t.Errorf("a snapshot of 240 kB has %d parts", parts)
			}
			return
		}
	}
}

func (v *viewer) part() {
	v.w.t.Helper()
	event := v.next()
	v.isPart(event)
	for _, s := range event.Statuses {
		v.fold(s)
	}
}

func (v *viewer) isUpToDate(users []string) {
	v.w.t.Helper()
	for _, id := range users {
		if found, _ := v.w.Get(id); v.view[id] != found[0] {
			v.w.t.Errorf("%s is shown with version %d, want %d: the last change always arrives", id, v.view[id].Version, found[0].Version)
		}
	}
}

// TestEachPartCarriesTheHighestCursor checks that the cursor is one below the version
// that comes next.
func TestEachPartCarriesTheHighestCursor(t *testing.T) {
	w := open(t, manyBytes)
	w.longTexts("watcher", 20, 30_000)
	s := w.connect(Device{UserID: "watcher", ID: "tab", Resume: true})
	before := Event{}
	for len(s.waitingUsers()) > 0 {
		event := s.next()
		event.Statuses = slices.Clone(event.Statuses)
		if first := event.Statuses[0]; before.Type != "" && before.Cursor != w.visible("watcher", first)-1 {
			t.Errorf("the cursor before %s is %d, want one below %d", first.UserID, before.Cursor, w.visible("watcher", first))
		}
		before = event
	}
	if before.Cursor != w.model.version {
		t.Errorf("the last cursor is %d, want the current version %d", before.Cursor, w.model.version)
	}
}

// TestALiveListIsSplit checks that changes of many users, made while a client doesn't
// read, are sent in parts without a pause. What changes meanwhile comes after them.
func TestALiveListIsSplit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, manyBytes, func(s *Settings) { s.BatchWindow = time.Second })
		w.register("a", "b", "c")
		s := w.web("watcher", "tab")
		w.subscribe("watcher", "a", "b", "c")
		for _, user := range []string{"a", "b", "c"} {
			w.set(user, strings.Repeat(user, 20_000), 0)
		}
		end := w.model.version
		began := time.Now()
		first := s.next()
		w.set("b", "later", 0)
		w.unsubscribe("watcher", "a")
		second := s.next()
		if len(first.Statuses) != 1 || second.Statuses[0].UserID != "c" || second.Cursor != end {
			t.Errorf("got %d, then %.20q up to %d; want a alone, then c up to %d",
				len(first.Statuses), describe(second.Statuses), second.Cursor, end)
		}
		if waited := time.Since(began); waited != 0 {
			t.Errorf("the second part comes after %v, want at once", waited)
		}
		s.wants("b UNLOGINED later")
		if waited := time.Since(began); waited != time.Second {
			t.Errorf("the next round comes after %v, want the batch window", waited)
		}
		s.quiet("everything has been sent")
	})
}

// TestANewReasonDelaysNoStatus checks that a waiting status is not delayed when a
// switch or a friendship gives one more reason to send it, which may be taken back.
func TestANewReasonDelaysNoStatus(t *testing.T) {
	w := open(t, manyBytes)
	w.register("a", "b", "c")
	s := w.web("watcher", "tab")
	w.subscribe("watcher", "a", "b", "c")
	w.set("a", strings.Repeat("a", 20_000), 0)
	w.set("b", strings.Repeat("b", 20_000), 0)
	w.befriend("watcher", "a")
	w.configure(func(s *Settings) { s.FriendNotifications = false })
	w.configure(func(s *Settings) { s.FriendNotifications = true })
	first := s.next()
	w.unfriend("watcher", "a")
	s.Close()
	view := &viewer{s, make(map[string]Status)}
	view.fold(first.Statuses[0])
	view.stream = s.resume()
	for len(view.waitingUsers()) > 0 {
		view.part()
	}
	view.isUpToDate([]string{"a", "b"})
}

// TestDeletedAndBackWithinARound checks that one status is sent for a user who was
// deleted and is back.
func TestDeletedAndBackWithinARound(t *testing.T) {
	w := open(t, manyBytes)
	w.register("a", "b")
	w.set("b", strings.Repeat("b", 40_000), 0)
	s := w.web("watcher", "tab")
	w.befriend("watcher", "b", "a")
	w.remove("a")
	w.register("a")
	if first := s.next(); first.Statuses[0].UserID != "b" {
		t.Fatalf("got %.40q, want b", describe(first.Statuses))
	}
	w.befriend("watcher", "a")
	s.wants("a UNLOGINED")
	s.quiet("everything has been sent")
}

// FuzzStatusText checks that a status is one line, whatever a client treats as a line,
// that its size is known before it is encoded, and that it reads back unchanged.
func FuzzStatusText(f *testing.F) {
	for _, text := range []string{
		"", "\u0085", "a\u2028b\u2029", "\v\f\x1c\x1d\x1e\r\n", "\r\r\r\r\r\r\r\r\r\r\r\r\r\r\r\r\r\r\r\r\r\r\r\r\r", "\u2027\u202a\u0084\u0086", "\\u2028", "\"\\\u2028", "\xe2\x80", "\U0001F642",
	} {
		f.Add(text, text)
	}
	f.Fuzz(func(t *testing.T, userID, text string) {
		s := Status{UserID: userID, CustomStatus: text, Version: 1<<53 - 1, ExpiresAt: time.Unix(1, 1)}
		line := string(s.AppendJSON(nil))
		if strings.ContainsAny(line, "\n\v\f\r\x1c\x1d\x1e\u0085\u2028\u2029") {
			t.Errorf("%q is not one line", line)
		}
		if !utf8.ValidString(userID) || !utf8.ValidString(text) {
			return
		}
		if size := s.sizeJSON(); size < len(line) || size > len(line)+80 {
			t.Errorf("%q has %d bytes, but the computed size is %d", line, len(line), size)
		}
	})
}
