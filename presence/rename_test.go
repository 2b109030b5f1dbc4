package presence

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func (w *world) rename(user, to string) Status {
	w.t.Helper()
	status, err := w.Rename(w.t.Context(), user, to)
	w.must(err)
	return status
}

// TestRenameSendsBothIDs checks that each watcher receives UNKNOWN for the old ID and
// the status of the new one, followed by its later changes, and that only the streams
// of the old ID end.
func TestRenameSendsBothIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.register("alice", "bob", "carol", "dave")
		w.subscribe("bob", "alice")
		w.befriend("carol", "alice")
		tab, bob, carol, dave := w.web("alice", "tab"), w.web("bob", "tab"), w.web("carol", "tab"), w.web("dave", "tab")
		w.set("alice", "lunch", time.Hour)
		status := w.rename("alice", "alicia")
		if got := describe([]Status{status}); got[0] != "alicia UNLOGINED lunch" {
			t.Errorf("Rename returns %v", status)
		}
		for _, watcher := range []*stream{bob, carol} {
			watcher.wants("alice UNKNOWN", "alicia UNLOGINED lunch")
		}
		dave.quiet("nobody whom dave watches was renamed")
		tab.isKicked(KickedByAdmin)
		w.web("alicia", "tab")
		bob.wants("alicia ONLINE lunch")
		carol.wants("alicia ONLINE lunch")
		w.unsubscribe("bob", "alicia")
		w.set("alicia", "back", 0)
		bob.quiet("he has unsubscribed")
		w.nothingIsLeftOf("alice")
	})
}

// nothingIsLeftOf fails if any table but kicks contains the ID.
func (w *world) nothingIsLeftOf(user string) {
	w.t.Helper()
	if _, failed := w.Get(user); len(failed) != 1 {
		w.t.Errorf("%s still exists", user)
	}
	if n := w.count("SELECT count(*) FROM users WHERE user_id = ?", user); n != 0 {
		w.t.Errorf("%s is still stored", user)
	}
}

func (w *world) count(query string, args ...any) (n int) {
	w.t.Helper()
	w.must(w.store.Reader().QueryRowContext(w.t.Context(), query, args...).Scan(&n))
	return n
}

// TestRenameKeepsWhatBelongsToTheUser checks subscriptions and friends in both
// directions, the expiry of the custom status and its clearing, after a restart too.
func TestRenameKeepsWhatBelongsToTheUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.register("alice", "bob", "carol")
		w.subscribe("alice", "bob")
		w.subscribe("bob", "alice")
		w.succeeded(w.AddFriends(t.Context(), "alice", []string{"carol"}, true))
		w.set("alice", "until one", time.Hour)
		renamed := w.rename("alice", "alicia")
		for _, when := range []string{"right away", "after a restart"} {
			mine, err := w.Subscriptions(t.Context(), "alicia")
			w.must(err)
			his, err := w.Subscriptions(t.Context(), "bob")
			w.must(err)
			friends, err := w.FriendStatuses(t.Context(), "alicia")
			w.must(err)
			hers, _, err := w.Friends(t.Context(), "carol", "", 10)
			w.must(err)
			got := slices.Concat(describe(mine), describe(his), describe(friends), hers)
			wantList(t, got, []string{"bob UNLOGINED", "alicia UNLOGINED until one", "carol UNLOGINED", "alicia"}, when)
			if now := w.status("alicia"); now != renamed {
				t.Errorf("%s: %v, want %v", when, now, renamed)
			}
			w.restart(time.Minute)
		}
		w.pass(time.Hour)
		w.is("alicia UNLOGINED", "the expiry of the text moves with the user")
		w.set("alicia", "until cleared", 0)
		w.pass(w.settings.CustomStatusTTL / 2)
		w.rename("alicia", "alice")
		w.pass(w.settings.CustomStatusTTL / 2)
		w.is("alice UNLOGINED", "the clearing of the text moves with the user")
	})
}

// TestRenameRevokesTheOldID checks that credentials of the old ID are refused, after
// kill -9 and restarts too, and that credentials issued after the response register
// the ID again.
func TestRenameRevokesTheOldID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.register("alice")
		w.pass(time.Second)
		before := time.Now()
		tab := w.web("alice", "tab")
		w.rename("alice", "alicia")
		after := time.Now()
		if after.Unix() == before.Unix() {
			t.Error("Rename returns before its second is over")
		}
		w.refused(Device{UserID: "alice", ID: "tab", Resume: true, Cursor: tab.cursor}, "it was kicked within the last minute")
		w = w.killed()
		w.start()
		for range 2 {
			wantCode(t, w.Admit(t.Context(), "alice", before), CodeRevoked, "a token of the old ID")
			_, err := w.Connect(t.Context(), Device{UserID: "alice", ID: "other", IssuedAt: before})
			wantCode(t, err, CodeRevoked, "a stream of the old ID")
			w.must(w.Admit(t.Context(), "alicia", before))
			w.restart(time.Minute)
		}
		w.must(w.Admit(t.Context(), "alice", after))
		w.is("alice UNLOGINED", "the old ID is free for another user")
		w.rename("alicia", "alison")
		w.rename("alice", "alicia")
		wantCode(t, w.Admit(t.Context(), "alicia", after), CodeRevoked, "a token of the ID's former user")
		w.is("alison UNLOGINED", "a user who was renamed twice exists once")
	})
}

func TestRenameRefuses(t *testing.T) {
	w := open(t)
	w.register("alice", "bob")
	before := w.dump()
	for _, c := range []struct {
		user, to string
		want     Code
	}{
		{"alice", "bob", CodeMalformed}, {"alice", "alice", CodeMalformed}, {"alice", "", CodeMalformed}, {"alice", " x", CodeMalformed},
		{"nobody", "x", CodeUnknownUser}, {"nobody", "bob", CodeUnknownUser}, {"", "x", CodeUnknownUser},
	} {
		_, err := w.Rename(t.Context(), c.user, c.to)
		wantCode(t, err, c.want, c.user+" to "+c.to)
	}
	for table, rows := range w.dump() {
		if rows != before[table] && table != "service" {
			t.Errorf("a refused rename changes %s", table)
		}
	}
}

// TestRenameWhileTheWatcherIsAway checks that a watcher that resumes receives the new
// ID, and that a query reports that the old one is gone.
func TestRenameWhileTheWatcherIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.register("alice", "bob")
		w.subscribe("bob", "alice")
		tab := w.web("bob", "tab")
		tab.Close()
		w.rename("alice", "alicia")
		tab.resume().wants("alicia UNLOGINED")
		_, failed := w.Get("alice")
		if len(failed) != 1 || failed[0].Code != CodeUnknownUser {
			t.Errorf("a query for the old ID fails with %v", failed)
		}
	})
}

// TestRenameConflates checks that a watcher who reads late receives one status for
// each ID, the last one.
func TestRenameConflates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.register("alice", "bob")
		w.subscribe("bob", "alice")
		bob := w.web("bob", "tab")
		w.set("alice", "1", 0)
		w.rename("alice", "alicia")
		w.rename("alicia", "alison")
		w.set("alison", "2", 0)
		bob.wants("alice UNKNOWN", "alicia UNKNOWN", "alison UNLOGINED 2")
		for range 3 {
			w.rename("alison", "alice")
			w.rename("alice", "alison")
		}
		if n := len(bob.waitingUsers()); n > 3 {
			t.Errorf("%d statuses wait for one user with two IDs", n)
		}
		bob.wants("alice UNKNOWN", "alison UNLOGINED 2")
	})
}

// TestRenameInOneBatch checks that operations before and after the rename affect the
// same user.
func TestRenameInOneBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.register("bob")
		w.subscribe("bob", "bob")
		bob := w.web("bob", "tab")
		first, early := w.login(Device{UserID: "alice", ID: "tab", Platform: Web})
		again, late := w.login(Device{UserID: "alicia", ID: "tab", Platform: Web})
		w.must(errors.Join(w.together(first, &subscribe{UserID: "bob", Targets: []string{"alice"}}, &setEntry{UserID: "alice", Entry: entry{Text: "1"}},
			&renameUser{UserID: "alice", To: "alicia"}, again, &setEntry{UserID: "alicia", Entry: entry{Text: "2"}},
			&drop{Ended: []endedStream{{User: 2, DeviceID: "tab", Stream: early.stream}}},
			&importUsers{UserIDs: []string{"alice"}})...))
		if event := early.next(); event.Self.UserID != "alice" {
			t.Errorf("a stream of the old ID begins with %v", event.Self)
		}
		early.isKicked(KickedByAdmin)
		if event := late.next(); event.Type != EventReady || event.Self.UserID != "alicia" {
			t.Errorf("a stream of the new ID begins with %s %v", event.Type, event.Self)
		}
		bob.wants("alice UNKNOWN", "alicia ONLINE 2")
		w.is("alice UNLOGINED", "the old ID was registered again")
		w.is("alicia ONLINE 2", "what came after the rename")
		late.Close()
	})
}

// TestRenameInFeeds checks that open and stored feeds send both IDs, a stored feed
// also if the user was renamed while it was away.
func TestRenameInFeeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.register("alice", "bob")
		f := w.follow(FromNow)
		w.followAs("backend")
		w.rename("alice", "alicia")
		f.wants("alice UNKNOWN", "alicia UNLOGINED")
		w = w.killed()
		w.start()
		stored := w.followAs("backend")
		stored.wants("alice UNKNOWN", "alicia UNLOGINED")
		w.rename("alicia", "alice")
		stored.wants("alicia UNKNOWN", "alice UNLOGINED")
		w.restart(time.Second)
		stored = w.followAs("backend")
		stored.wants("alicia UNKNOWN", "alice UNLOGINED")
		w.must(stored.Store(t.Context(), stored.cursor))
		if n := w.rows("gone"); n != 0 {
			t.Errorf("%d former IDs are still stored", n)
		}
	})
}
