package presence

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
)

func describePairs(failed []PairFailure) (all []string) {
	for _, f := range failed {
		all = append(all, fmt.Sprintf("%s+%s %d", f.UserID, f.FriendID, f.Code))
	}
	return all
}

func TestFriendPairsAreAddedAndEachFailsAlone(t *testing.T) {
	w := open(t, func(s *Settings) { s.Friends = 2 })
	w.register("alice", "bob", "carol", "dave")
	pairs := []FriendPair{
		{"alice", "bob", true}, {"alice", "bob", true}, {"alice", "carol", false}, {"bob", "dave", true},
		{"bob", "alice", true}, {"alice", "dave", true}, {"dave", "alice", true}, {"carol", "carol", true},
		{"nobody", "alice", true}, {"nobody", "alice", true}, {" bad", "alice", true}, {"carol", "nobody", true}, {"carol", "", true},
	}
	failures := []string{
		"alice+dave 70398", "dave+alice 70398", "carol+carol 70402",
		"nobody+alice 70107", " bad+alice 70402", "carol+nobody 70107", "carol+ 70402",
	}
	var version int64
	for round := range 2 {
		failed, err := w.AddFriendPairs(t.Context(), pairs)
		w.must(err)
		wantList(t, describePairs(failed), failures, "the pairs that can't be added, in the order of the call")
		w.friendsAre("alice", "bob", "carol")
		w.friendsAre("bob", "alice", "dave")
		w.friendsAre("carol")
		w.friendsAre("dave", "bob")
		stats, err := w.Stats(t.Context())
		w.must(err)
		if round > 0 && stats.Version != version {
			t.Error("adding the same pairs again changes nothing, but the version grew")
		}
		version = stats.Version
	}
}

func TestFriendPairsAreSentLikeFriends(t *testing.T) {
	w := open(t)
	w.register("bob", "carol")
	w.set("bob", "Hi", 0)
	alice := w.web("alice", "tab")
	failed, err := w.AddFriendPairs(t.Context(), []FriendPair{{"bob", "carol", true}, {"bob", "alice", true}})
	w.must(err)
	wantList(t, describePairs(failed), nil, "all users are registered")
	alice.wants("bob UNLOGINED Hi")
	w.set("bob", "Later", 0)
	alice.wants("bob UNLOGINED Later")
	w.set("carol", "x", 0)
	alice.quiet("carol is a friend of bob only")
}

func (w *world) setFriends(mutual bool, user string, friends ...string) {
	w.t.Helper()
	w.succeeded(w.SetFriends(w.t.Context(), user, friends, mutual))
}

func TestSetFriendsReplacesTheList(t *testing.T) {
	w := open(t)
	w.register("alice", "bob", "carol", "dave", "fan")
	w.befriend("fan", "alice")

	w.setFriends(true, "alice", "bob", "carol", "bob")
	w.friendsAre("alice", "bob", "carol")
	w.friendsAre("bob", "alice")
	w.setFriends(true, "alice", "carol", "dave")
	w.friendsAre("alice", "carol", "dave")
	w.friendsAre("bob") // removed from the list, and so no longer watches alice
	w.friendsAre("dave", "alice")
	w.friendsAre("fan", "alice")

	w.setFriends(false, "alice", "bob")
	w.friendsAre("alice", "bob")
	w.friendsAre("bob")
	w.friendsAre("dave", "alice") // one-sided: only the list itself changes
	w.setFriends(true, "alice", "bob")
	w.friendsAre("bob", "alice")

	w.setFriends(true, "alice")
	w.friendsAre("alice")
	w.friendsAre("bob")
	w.friendsAre("carol", "alice")
	w.friendsAre("fan", "alice")
	_, err := w.SetFriends(t.Context(), "nobody", []string{"alice"}, true)
	wantCode(t, err, CodeUnknownUser, "nobody has a friend list")
}

func TestSetFriendsFailsForEachIDAlone(t *testing.T) {
	w := open(t, func(s *Settings) { s.Friends = 2 })
	w.register("alice", "bob", "carol", "dave", "erin", "full")
	w.setFriends(true, "alice", "bob", "carol")
	w.setFriends(true, "alice", "dave", "erin") // removing the old friends makes room
	w.friendsAre("alice", "dave", "erin")
	w.befriend("full", "bob", "carol")
	failed, err := w.SetFriends(t.Context(), "alice", []string{"full", "nobody", "alice", " bad", "erin", "bob", "carol"}, true)
	w.must(err)
	var got []string
	for _, f := range failed {
		got = append(got, fmt.Sprintf("%s %d", f.UserID, f.Code))
	}
	wantList(t, got, []string{"full 70398", "nobody 70107", "alice 70402", " bad 70402", "carol 70398"}, "the other friends are set")
	w.friendsAre("alice", "bob", "erin")
	w.friendsAre("dave")
}

func TestSetFriendsSendsWatchersWhatChanges(t *testing.T) {
	w := open(t)
	w.register("old", "kept", "new")
	w.set("new", "Hi", 0)
	alice, kept := w.web("alice", "tab"), w.web("kept", "tab")
	w.setFriends(true, "alice", "old", "kept")
	alice.wants("kept ONLINE", "old UNLOGINED")
	kept.wants("alice ONLINE")
	w.set("old", "waits", 0)
	w.setFriends(true, "alice", "kept", "new")
	alice.wants("new UNLOGINED Hi")
	kept.quiet("a friend who stays is not sent again")
	w.set("old", "later", 0)
	alice.quiet("a removed friend is no longer sent, not even a change that was waiting")
}

// TestListsSetAtOnceAreNotMixed checks that the list of a call that takes one
// operation is set as a whole.
func TestListsSetAtOnceAreNotMixed(t *testing.T) {
	w := open(t)
	w.register("alice")
	users := w.crowd(200)
	lists := [][]string{users[:100], users[100:]}
	var calls sync.WaitGroup
	for i := range 40 {
		calls.Go(func() {
			if failed, err := w.SetFriends(t.Context(), "alice", lists[i%2], true); err != nil || len(failed) > 0 {
				t.Errorf("setting gives %v %v", failed, err)
			}
		})
	}
	calls.Wait()
	friends, _, err := w.Friends(t.Context(), "alice", "", 200)
	w.must(err)
	if !slices.Equal(friends, lists[0]) && !slices.Equal(friends, lists[1]) {
		t.Errorf("alice has %d friends, from %s to %s: want one of the lists", len(friends), friends[0], friends[len(friends)-1])
	}
}

// TestLongFriendListsAreSetInPieces checks that each piece is bounded, whatever is
// stored already.
func TestLongFriendListsAreSetInPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const many = 2*sweep + 500
		w := open(t, func(s *Settings) { s.Friends = many + 5 })
		w.register("alice")
		users := w.crowd(2 * many)
		old, other := users[:many], users[many:]
		w.setFriends(true, "alice", old...)
		if friends, _, err := w.Friends(t.Context(), "alice", "", 2*many); len(friends) != many || err != nil {
			t.Errorf("alice has %d friends, want %d: %v", len(friends), many, err)
		}
		w.atMost(2*sweep+1, 2*sweep, &setFriends{UserID: "alice", Friends: other, Mutual: true})
		w.atMost(2*sweep, sweep+2, &setFriends{UserID: "alice", Friends: other, Mutual: true, Done: friendsDone{Removed: true}})
		w.setFriends(true, "alice", other...)
		friends, _, err := w.Friends(t.Context(), "alice", "", 2*many)
		w.must(err)
		wantList(t, friends, other, "the list is exactly the one given")
		w.friendsAre(users[0])
		w.friendsAre(users[many-1])
		w.friendsAre(other[0], "alice")

		w.atMost(1+many/sweep+1, 0, &setFriends{UserID: "alice", Friends: other, Done: friendsDone{Added: many}})
		var pairs []FriendPair
		for i := range many - 1 {
			pairs = append(pairs, FriendPair{old[i], old[i+1], true})
		}
		m := w.atMost(3*sweep, sweep+2, &befriendPairs{Pairs: pairs})
		if done := m.operation.(*befriendPairs).done; done < sweep/4 {
			t.Errorf("one operation adds %d pairs of short lists, want hundreds", done)
		}
		failed, err := w.AddFriendPairs(t.Context(), pairs)
		w.must(err)
		wantList(t, describePairs(failed), nil, "in several operations")
		w.friendsAre(old[1], old[0], old[2])
		w.friendsAre(old[many-1], old[many-2])
	})
}

// TestLongFriendListsAreCountedInPieces checks that an operation changes fewer lists
// if they take long to count.
func TestLongFriendListsAreCountedInPieces(t *testing.T) {
	w := open(t)
	w.register("alice")
	users := w.crowd(2000)
	w.execute("INSERT INTO friends SELECT a.id, b.id, 1 FROM users a, users b WHERE a.user_id < 'u00100' AND a.user_id >= 'u' AND b.user_id >= 'u'")
	var pairs []FriendPair
	for _, id := range users[:100] {
		pairs = append(pairs, FriendPair{id, "alice", true})
	}
	op := &befriendPairs{Pairs: pairs}
	w.must(w.writer.do(t.Context(), op))
	if op.done < 40 || op.done > 50 {
		t.Errorf("one operation adds to %d lists of 2,000 friends, want about 1,000 / (2,000 / 100 + 2)", op.done)
	}
	failed, err := w.AddFriendPairs(t.Context(), pairs)
	w.must(err)
	wantList(t, describePairs(failed), nil, "in several operations")
	friends, _, err := w.Friends(t.Context(), "alice", "", 1000)
	w.must(err)
	wantList(t, friends, users[:100], "all of them")
}
