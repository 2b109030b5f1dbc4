package presence

import (
	"testing"
	"testing/synctest"
)

func TestPromise7NothingAfterUnsubscribing(t *testing.T) {
	w := open(t)
	w.register("bob", "carol")
	alice := w.web("alice", "tab")
	w.subscribe("alice", "bob", "carol")
	w.set("bob", "waiting", 0)
	w.set("carol", "waiting", 0)
	w.unsubscribe("alice", "bob")
	w.set("bob", "later", 0)
	alice.wants("carol UNLOGINED waiting")

	w.set("carol", "again", 0)
	w.must(w.UnsubscribeAll(t.Context(), "alice"))
	w.set("carol", "later", 0)
	alice.quiet("after unsubscribing from all nothing more is sent")
}

func TestPromise7NothingAfterUnfriending(t *testing.T) {
	w := open(t)
	w.register("bob")
	alice := w.web("alice", "tab")
	w.befriend("alice", "bob")
	w.set("bob", "waiting", 0)
	w.unfriend("alice", "bob")
	w.set("bob", "later", 0)
	alice.quiet("after unfriending nothing more is sent")
}

func TestPromise7UnlessAnotherRuleApplies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.register("bob")
		alice := w.web("alice", "tab")
		w.befriend("alice", "bob")
		w.subscribe("alice", "bob")
		w.set("bob", "1", 0)
		w.unsubscribe("alice", "bob")
		alice.wants("bob UNLOGINED 1")
		w.subscribe("alice", "bob")
		w.set("bob", "2", 0)
		w.unfriend("alice", "bob")
		alice.wants("bob UNLOGINED 2")
		w.befriend("alice", "bob")
		w.set("bob", "3", 0)
		w.configure(func(s *Settings) { s.FriendNotifications = false })
		alice.wants("bob UNLOGINED 3")
	})
}

func TestPromise7NothingAfterSwitchingOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.register("friend", "target")
		alice := w.web("alice", "tab")
		w.befriend("alice", "friend")
		w.subscribe("alice", "target")

		w.set("friend", "waiting", 0)
		w.set("target", "1", 0)
		w.configure(func(s *Settings) { s.FriendNotifications = false })
		w.set("friend", "later", 0)
		alice.wants("target UNLOGINED 1")

		w.set("target", "waiting", 0)
		w.configure(func(s *Settings) { s.UserStatus = false })
		w.set("target", "later", 0)
		alice.quiet("with the user status switch off nothing more about others is sent")
		w.set("alice", "Me", 0)
		alice.wants("alice ONLINE Me") // one's own status needs no switch
	})
}

// A client that kept its stream must not know less than a client that resumes.
func TestSwitchingOnSendsWhatChangedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.register("friend", "target")
		open := w.web("alice", "open")
		w.subscribe("alice", "target")
		w.befriend("alice", "friend")
		open.wants("friend UNLOGINED")
		closed := w.web("alice", "closed")
		closed.Close()

		w.configure(func(s *Settings) { s.UserStatus = false })
		w.set("target", "1", 0)
		w.set("friend", "1", 0)
		closed.resume().quiet("with the switch off nothing is replayed")
		w.configure(func(s *Settings) { s.UserStatus = true })
		open.wants("friend UNLOGINED 1", "target UNLOGINED 1")
		closed.resume().wants("friend UNLOGINED 1", "target UNLOGINED 1")

		w.configure(func(s *Settings) { s.FriendNotifications = false })
		w.set("friend", "2", 0)
		w.configure(func(s *Settings) { s.FriendNotifications = true })
		open.wants("friend UNLOGINED 2")
	})
}

func TestSwitchedOffCallsAreRefused(t *testing.T) {
	w := open(t, func(s *Settings) { s.UserStatus = false })
	w.register("alice", "bob")
	_, err := w.Subscribe(t.Context(), "alice", []string{"bob"})
	wantCode(t, err, CodeSwitchedOff, "subscribe needs the switch")
	_, err = w.Unsubscribe(t.Context(), "alice", []string{"bob"})
	wantCode(t, err, CodeSwitchedOff, "unsubscribe needs the switch")
	_, _, err = w.Query("alice", []string{"alice", "bob"})
	wantCode(t, err, CodeSwitchedOff, "a query for others needs the switch")
	_, _, err = w.Query("alice", []string{"alice"})
	wantCode(t, err, 0, "a query for oneself alone needs no switch")
}

func TestSubscriptionsAreEvictedForNewerOnes(t *testing.T) {
	w := open(t, func(s *Settings) { s.Subscriptions = 3 })
	w.register("a", "b", "c", "d", "e")
	alice := w.web("alice", "tab")
	w.subscribe("alice", "a", "b", "c")
	w.subscribe("alice", "a") // now the newest
	answer := w.subscribe("alice", "d", "e")
	wantList(t, answer.Evicted, []string{"b", "c"}, "the earliest are evicted")
	wantList(t, describe(answer.Statuses), []string{"d UNLOGINED", "e UNLOGINED"}, "the result has the statuses")

	kept, err := w.Service.Subscriptions(t.Context(), "alice")
	w.must(err)
	wantList(t, describe(kept), []string{"e UNLOGINED", "d UNLOGINED", "a UNLOGINED"}, "the newest first")
	w.set("b", "Hi", 0)
	alice.quiet("nothing more is sent for an evicted subscription")
}

func TestSubscribeFailsPerID(t *testing.T) {
	w := open(t)
	w.register("alice", "bob")
	answer, err := w.Subscribe(t.Context(), "alice", []string{"nobody", "bob", "", "bob", "alice"})
	w.must(err)
	wantList(t, describe(answer.Statuses), []string{"bob UNLOGINED", "alice UNLOGINED"}, "repeats count once")
	if f := answer.Failed; len(f) != 2 || f[0].Code != CodeUnknownUser || f[1].Code != CodeMalformed {
		t.Errorf("failed: %v, want nobody as unknown and the empty ID as malformed", f)
	}
	kept, err := w.Service.Subscriptions(t.Context(), "alice")
	w.must(err)
	wantList(t, describe(kept), []string{"bob UNLOGINED"}, "subscribing to oneself counts for nothing")
	failed, err := w.Unsubscribe(t.Context(), "alice", []string{"alice", "nobody"})
	w.must(err)
	if len(failed) != 1 || failed[0].UserID != "nobody" {
		t.Errorf("failed: %v, want only nobody: unsubscribing from a registered user succeeds", failed)
	}
}

func TestOneChangeReachesADeviceOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		alice, phone := w.web("alice", "tab"), w.ios("alice", "phone")
		w.register("bob")
		w.subscribe("alice", "bob")
		w.befriend("alice", "bob")
		w.set("bob", "Hi", 0)
		for _, s := range []*stream{alice, phone} {
			s.wants("bob UNLOGINED Hi")
			s.quiet("one change reaches one device once")
		}
	})
}

// Another user makes the friendship, so no response contains the status.
func TestNewFriendIsSent(t *testing.T) {
	w := open(t)
	w.register("bob")
	w.set("bob", "Hi", 0)
	alice := w.web("alice", "tab")
	w.befriend("alice", "bob")
	alice.wants("bob UNLOGINED Hi")
	w.befriend("alice", "bob")
	alice.quiet("a user who is a friend already is not sent again")
}

func TestFriendsAreBoundedAndOneSidedOnRequest(t *testing.T) {
	w := open(t, func(s *Settings) { s.Friends = 2 })
	w.register("alice", "bob", "carol", "dave")
	w.succeeded(w.AddFriends(t.Context(), "alice", []string{"bob", "carol"}, true))
	failed, err := w.AddFriends(t.Context(), "alice", []string{"alice", "bob", "dave", "nobody"}, true)
	w.must(err)
	var got []Code
	for _, f := range failed {
		got = append(got, f.Code)
	}
	want := []Code{CodeMalformed, CodeLimit, CodeUnknownUser}
	wantList(t, got, want, "nobody is their own friend, dave is over the limit, bob is a friend already")
	w.befriend("dave", "alice")

	w.unfriend("alice", "bob")
	w.friendsAre("alice", "carol")
	w.friendsAre("bob", "alice")
	w.friendsAre("dave", "alice")
	w.succeeded(w.RemoveFriends(t.Context(), "carol", []string{"alice"}, true))
	w.friendsAre("alice")
}

func (w *world) friendsAre(user string, want ...string) {
	w.t.Helper()
	got, _, err := w.Friends(w.t.Context(), user, "", 10)
	w.must(err)
	wantList(w.t, got, want, "friends of "+user)
}
