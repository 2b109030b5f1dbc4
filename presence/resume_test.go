package presence

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestResumeSendsWhatIsNewer(t *testing.T) {
	w := open(t)
	w.register("old", "new", "late", "friend")
	w.set("late", "before", 0)
	alice := w.web("alice", "tab")
	w.subscribe("alice", "old", "new")
	seen := w.set("old", "seen", 0).Version
	alice.wants("old UNLOGINED seen")
	alice.Close()
	w.set("new", "1", 0)
	w.set("new", "2", 0)
	w.subscribe("alice", "late") // the status of late is older than the cursor
	w.befriend("alice", "friend")

	tests := []struct {
		name   string
		cursor int64
		ready  int64
		want   []string
	}{
		{"older", seen, seen, []string{"friend UNLOGINED", "late UNLOGINED before", "new UNLOGINED 2"}},
		{"0", 0, 0, everything},
		{"negative", -1, 0, everything},
		{"above the current version", 1 << 52, 0, everything},
		{"inside the jump at the start", 1, 0, everything},
	}
	for _, test := range tests {
		resumed := alice.resumeFrom(test.cursor)
		if resumed.cursor != test.ready {
			t.Errorf("%s: READY has the cursor %d, want %d", test.name, resumed.cursor, test.ready)
		}
		resumed.wants(test.want...)
		resumed.resume().quiet("nothing is newer than the cursor " + test.name + " has led to")
	}
}

var everything = []string{
	"alice ONLINE", "friend UNLOGINED", "late UNLOGINED before", "new UNLOGINED 2", "old UNLOGINED seen",
}

func TestWithoutACursorNothingIsReplayed(t *testing.T) {
	w := open(t)
	w.register("bob")
	w.web("alice", "tab")
	w.subscribe("alice", "bob")
	version := w.set("bob", "Hi", 0).Version
	phone := w.ios("alice", "phone")
	phone.quiet("nothing is replayed")
	if phone.cursor != version {
		t.Errorf("READY has the cursor %d, want the current version %d", phone.cursor, version)
	}
	if got := describe([]Status{phone.ready.Self}); got[0] != "alice ONLINE" {
		t.Errorf("READY contains the own status %q", got)
	}
}

// A cut between READY and the replay must lose nothing.
func TestCutAfterReadyLosesNothing(t *testing.T) {
	w := open(t)
	w.register("bob")
	alice := w.web("alice", "tab")
	w.subscribe("alice", "bob")
	alice.Close()
	w.set("bob", "Hi", 0)
	alice = alice.resume().resume().resume()
	alice.wants("bob UNLOGINED Hi")
}

// There is no gap and no repetition between the replay and live changes.
func TestChangeBetweenReadyAndReplay(t *testing.T) {
	w := open(t)
	w.register("bob", "carol")
	alice := w.web("alice", "tab")
	w.subscribe("alice", "bob", "carol")
	w.set("bob", "missed", 0)
	alice = alice.resume()
	w.set("bob", "live", 0)
	w.set("carol", "live", 0)
	alice.wants("bob UNLOGINED live", "carol UNLOGINED live")
	alice.quiet("the replay and live changes are one list")
}

func TestRestoredBackupLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// Without a grace, the start itself changes alice, with a version that may have
		// been lost.
		w := open(t, func(s *Settings) { s.RestartGrace = 0 })
		w.register("bob", "carol")
		alice := w.web("alice", "tab")
		w.subscribe("alice", "bob", "carol")
		w.set("bob", "kept", 0)
		alice.wants("bob UNLOGINED kept")
		backup := w.killed()

		w.set("bob", "lost", 0)
		alice.wants("bob UNLOGINED lost")
		cursors := []int64{alice.cursor}
		w.pass(time.Second)
		for range 3 {
			cursors = append(cursors, w.set("alice", time.Now().String(), 0).Version)
			w.pass(time.Second)
		}
		w.must(w.Close())

		backup.start()
		alice.w = backup
		backup.web("alice", "other")
		for _, cursor := range cursors {
			restored := alice.resumeFrom(cursor)
			restored.wants("alice ONLINE", "bob UNLOGINED kept", "carol UNLOGINED")
		}
	})
}

// A device that connects while the set of watched users changes misses none of them.
func TestConnectDuringSubscribe(t *testing.T) {
	w := open(t, func(s *Settings) { s.BatchWindow = 0 })
	targets := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	w.register(targets...)
	w.register("alice")
	subscribed := make(chan struct{})
	go func() {
		defer close(subscribed)
		for _, target := range targets {
			w.subscribe("alice", target)
		}
	}()
	alice := w.web("alice", "tab")
	<-subscribed
	for _, target := range targets {
		w.set(target, "Hi", 0)
	}
	for received := make(map[string]bool); len(received) < len(targets); {
		for _, s := range alice.next().Statuses {
			if s.CustomStatus == "Hi" {
				received[s.UserID] = true
			}
		}
	}
}

// The number of remembered starts is bounded. A cursor that is older gets a snapshot.
func TestJumpsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		alice := w.web("alice", "tab")
		old := alice.cursor
		for range jumpsKept + 5 {
			w.pass(time.Second)
			w.must(w.writer.do(t.Context(), &beginRun{}))
		}
		recent := w.set("alice", "Hi", 0).Version
		w.restart(time.Second)
		alice.w = w
		if got := len(w.model.jumps); got > jumpsKept {
			t.Errorf("%d starts are stored, want at most %d", got, jumpsKept)
		}
		if got := alice.resumeFrom(old).ready.Cursor; got != 0 {
			t.Errorf("a cursor from before the stored starts starts at %d, want 0", got)
		}
		if got := alice.resumeFrom(recent).ready.Cursor; got != recent {
			t.Errorf("a recent cursor starts at %d, want %d", got, recent)
		}
	})
}
