package presence

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestPromise5AnsweredWriteSurvivesKill9(t *testing.T) {
	w := open(t)
	w.register("bob", "carol")
	w.web("alice", "tab")
	w.set("alice", "Hi", time.Hour)
	status, _ := w.Get("alice")
	w.subscribe("alice", "bob")
	w.befriend("alice", "carol")
	after := w.killed()

	after.start()
	if got, _ := after.Get("alice"); got[0] != status[0] {
		t.Errorf("got %v after kill -9, want %v: an answered write survives", got, status)
	}
	subscriptions, err := after.Service.Subscriptions(t.Context(), "alice")
	after.must(err)
	wantList(t, describe(subscriptions), []string{"bob UNLOGINED"}, "an answered subscription survives")
	after.friendsAre("alice", "carol")
}

// Each answer is followed by its own kill.
func TestPromise5HoldsForEachAnswer(t *testing.T) {
	w := open(t)
	w.register("alice")
	for _, text := range []string{"1", "2", "3", "4", "5"} {
		w.set("alice", text, 0)
		after := w.killed()
		after.start()
		after.is("alice UNLOGINED "+text, "an answered write survives")
	}
}

func TestDeletedUserIsUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		tab := w.web("alice", "tab")
		watcher := w.web("watcher", "tab")
		w.subscribe("watcher", "alice")
		w.befriend("watcher", "alice")
		w.set("alice", "private", 0)
		w.remove("alice")
		tab.isKicked(KickedByAdmin)
		watcher.wants("alice UNKNOWN")
		_, failed := w.Get("alice")
		if len(failed) != 1 || failed[0].Code != CodeUnknownUser {
			t.Errorf("failed: %v, want alice as unknown", failed)
		}
		w.friendsAre("watcher")

		w.register("alice")
		w.is("alice UNLOGINED", "a user who returns has nothing of the deleted user")
		watcher.quiet("a user who watched the deleted user doesn't watch the new one")
		w.subscribe("watcher", "alice")
		w.set("alice", "new", 0)
		watcher.wants("alice UNLOGINED new")
	})
}

func TestDeletedAndReturnedIsSentOnce(t *testing.T) {
	w := open(t)
	w.register("alice")
	watcher := w.web("watcher", "tab")
	w.subscribe("watcher", "alice")
	w.remove("alice")
	w.register("alice")
	w.subscribe("watcher", "alice")
	w.set("alice", "new", 0)
	watcher.wants("alice UNLOGINED new") // one status, that of the new user, is sent for both
}

// A switch that another rule doesn't need must not suppress the change.
func TestDeletionIsSentWithTheSwitchOff(t *testing.T) {
	w := open(t)
	w.register("friend", "target")
	watcher := w.web("watcher", "tab")
	w.subscribe("watcher", "target")
	w.befriend("watcher", "friend")
	w.remove("friend", "target")
	w.configure(func(s *Settings) { s.FriendNotifications = false })
	watcher.wants("target UNKNOWN")
}

func TestDrainEndsStreamsAndKeepsDevices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		alice := w.web("alice", "tab")
		w.set("alice", "Hi", 0)
		w.Drain()
		alice.ends(ErrClosed)
		_, err := w.Connect(t.Context(), Device{UserID: "bob"})
		if err != ErrClosed || w.Ready(t.Context()) != ErrClosed {
			t.Errorf("Connect gives %v, Ready %v: want ErrClosed while draining", err, w.Ready(t.Context()))
		}
		alice.Close()
		w.pass(time.Hour)
		w.is("alice ONLINE Hi", "the next run decides about drained devices")
		w.set("alice", "Still there", 0)
	})
}

func TestCallsAfterCloseAreRefused(t *testing.T) {
	w := open(t)
	alice := w.web("alice", "tab")
	w.must(w.Close())
	w.must(w.Close()) // a second Close does nothing
	alice.ends(ErrClosed)
	alice.Close()
	ctx := t.Context()
	calls := map[string]func() error{
		"Connect":     func() error { _, err := w.Connect(ctx, Device{UserID: "alice"}); return err },
		"Set":         func() error { _, err := w.Set(ctx, "alice", "", 0); return err },
		"Import":      func() error { _, err := w.Import(ctx, nil); return err },
		"Delete":      func() error { _, err := w.Delete(ctx, nil); return err },
		"Subscribe":   func() error { _, err := w.Subscribe(ctx, "alice", nil); return err },
		"Unsubscribe": func() error { _, err := w.Unsubscribe(ctx, "alice", nil); return err },
		"AddFriends":  func() error { _, err := w.AddFriends(ctx, "alice", nil, true); return err },
		"pairs":       func() error { _, err := w.AddFriendPairs(ctx, nil); return err },
		"SetFriends":  func() error { _, err := w.SetFriends(ctx, "alice", nil, true); return err },
		"Logout":      func() error { return w.Logout(ctx, "alice", "") },
		"Kick":        func() error { return w.Kick(ctx, "alice") },
		"Configure":   func() error { return w.Configure(ctx, w.settings) },
		"Ready":       func() error { return w.Ready(ctx) },
	}
	for name, call := range calls {
		if err := call(); err != ErrClosed {
			t.Errorf("%s after Close gives %v, want ErrClosed", name, err)
		}
	}
	_, err := w.Service.Subscriptions(ctx, "alice")
	wantCode(t, err, CodeUnavailable, "a read of the database after Close")
}

func TestConfigureRefusesInvalidSettings(t *testing.T) {
	w := open(t)
	if err := w.Configure(t.Context(), Settings{}); err == nil {
		t.Error("zero settings are accepted")
	}
	if got := w.Service.Settings(); got != w.settings {
		t.Errorf("settings are %v after a refused change, want %v", got, w.settings)
	}
	w.configure(func(s *Settings) { s.CustomStatusBytes = 3 })
	_, err := w.Set(t.Context(), "alice", "four", 0)
	wantCode(t, err, CodeMalformed, "the new limit is in force")
}

func TestOverloadIsRefusedNotQueued(t *testing.T) {
	w := open(t)
	w.register("alice")
	w.mu.RLock() // the writer needs this lock
	var err error
	for err == nil {
		err = w.writer.enqueue(&request{op: probe{}, done: make(chan struct{}, 1)})
	}
	w.mu.RUnlock()
	if err != ErrOverloaded {
		t.Errorf("got %v when too many wait, want ErrOverloaded", err)
	}
	if err := w.Close(); err != nil {
		t.Errorf("Close completes the operations that wait: %v", err)
	}
}

func TestFailedWriteHasNoEffect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		alice := w.web("alice", "tab")
		w.writable(false)
		_, err := w.Set(t.Context(), "alice", "Hi", 0)
		wantCode(t, err, CodeUnavailable, "what isn't durable isn't acknowledged")
		wantCode(t, w.Ready(t.Context()), CodeUnavailable, "the service can't do all its work")
		alice.quiet("what isn't durable isn't announced")
		w.is("alice ONLINE", "a query doesn't return what isn't durable")
		alice.Close()
		w.pass(time.Hour)

		w.writable(true)
		w.pass(900 * time.Millisecond)
		w.is("alice UNLOGINED", "the janitor retries within a second")
		w.must(w.Ready(t.Context()))
	})
}

func (w *world) writable(yes bool) {
	w.t.Helper()
	pragma := "PRAGMA query_only = 1"
	if yes {
		pragma = "PRAGMA query_only = 0"
	}
	w.execute(pragma)
}

// statement is an operation that runs SQL as it is, outside of a transaction.
type statement struct {
	query string
	args  []any
}

func (op *statement) apply(b *batch) error {
	_, err := b.store.Exec(op.query, op.args...)
	return err
}

// execute makes the writer run SQL.
func (w *world) execute(query string, args ...any) {
	w.t.Helper()
	w.must(w.writer.do(w.t.Context(), &statement{query, args}))
}

func TestStatsCount(t *testing.T) {
	w := open(t)
	w.register("bob")
	w.web("alice", "1")
	w.ios("alice", "2")
	w.subscribe("alice", "bob")
	stats, err := w.Stats(t.Context())
	w.must(err)
	want := Stats{Users: UserCounts{Online: 1, Unlogined: 1}, Streams: 2, Subscriptions: 1, Version: stats.Version}
	if stats != want {
		t.Errorf("got %+v, want %+v", stats, want)
	}
}

// TestPagesWhileUsersAreDeleted checks pages when the database holds IDs that the
// model doesn't know, as it does between the reads of the two.
func TestPagesWhileUsersAreDeleted(t *testing.T) {
	w := open(t)
	w.register("a", "c", "g", "x")
	for i, ghost := range []string{"b", "d", "e", "f", "h", "y", "z"} {
		w.execute("INSERT INTO users VALUES (?, ?, 3, 0, 1, 0, 3, 0, 1, 0, 0, 0, '', 0, 0, 0, 0, 0, 0, 0)", 1000+i, ghost)
	}
	for limit := 1; limit < 13; limit++ {
		var got []string
		for after, more := "", true; more; more = after != "" {
			var page []Status
			var err error
			page, after, err = w.Users(t.Context(), "", after, limit)
			w.must(err)
			if len(page) == 0 && after != "" {
				t.Errorf("limit %d: a page is empty although more follow", limit)
			}
			got = append(got, describe(page)...)
		}
		wantList(t, got, []string{"a UNLOGINED", "c UNLOGINED", "g UNLOGINED", "x UNLOGINED"}, "a deletion must not hide other users from the pages")
	}
}

// TestReadsOfADeletedUser checks that what was read about a deleted user isn't
// returned for a new user with the same ID.
func TestReadsOfADeletedUser(t *testing.T) {
	w := open(t)
	w.register("alice")
	id, err := w.number("alice")
	w.must(err)
	w.must(w.stillThere("alice", id))
	w.remove("alice")
	wantCode(t, w.stillThere("alice", id), CodeUnknownUser, "she is deleted")
	w.register("alice")
	wantCode(t, w.stillThere("alice", id), CodeUnknownUser, "she is another user")
}

func TestUsersArePaged(t *testing.T) {
	w := open(t)
	w.register("c", "a", "b")
	var got []string
	for after, more := "", true; more; more = after != "" {
		var page []Status
		var err error
		page, after, err = w.Users(t.Context(), "", after, 2)
		w.must(err)
		got = append(got, describe(page)...)
	}
	wantList(t, got, []string{"a UNLOGINED", "b UNLOGINED", "c UNLOGINED"}, "all users are listed in order")
}

// TestOpenCancelled checks that Open returns the error of its context, at whatever
// step the context ends, and leaves a file that can be opened.
func TestOpenCancelled(t *testing.T) {
	w := open(t)
	w.register("alice")
	w.must(w.Close())
	for steps := range 40 {
		ctx := &countdown{Context: t.Context()}
		ctx.left.Store(int64(steps))
		svc, err := Open(ctx, Config{Path: w.path})
		if err == nil {
			w.must(svc.Close())
			if steps == 0 { // how often database/sql checks it, differs
				t.Error("Open doesn't check its context")
			}
			return
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("after %d checks of the context: %v", steps, err)
		}
	}
	t.Error("Open never succeeds")
}

// countdown is a context that is cancelled once Err was called a number of times.
type countdown struct {
	context.Context
	left atomic.Int64
}

func (c *countdown) Err() error {
	if c.left.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}
