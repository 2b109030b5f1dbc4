package presence

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// measured is an operation, and how much of the database it uses.
type measured struct {
	operation
	queries, rows int
}

func (m *measured) apply(b *batch) error {
	queries, rows := b.queries, b.written
	err := m.operation.apply(b)
	m.queries, m.rows = b.queries-queries, b.written-rows
	return err
}

func (w *world) atMost(queries, rows int, op operation) *measured {
	w.t.Helper()
	m := &measured{operation: op}
	w.must(w.writer.do(w.t.Context(), m))
	if m.queries > queries || m.rows > rows {
		w.t.Errorf("%T runs %d statements and writes %d rows, want at most %d and %d", op, m.queries, m.rows, queries, rows)
	}
	return m
}

// crowd registers n users.
func (w *world) crowd(n int) []string {
	w.t.Helper()
	var users []string
	for i := range n {
		users = append(users, fmt.Sprintf("u%05d", i))
	}
	w.register(users...)
	return users
}

// TestOperationsAreBounded checks that an operation uses as much of the database as it
// names users, whatever is stored already, and at most a few rows for each of 1,000
// users.
func TestOperationsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const many = 2*sweep + 500
		w := open(t, func(s *Settings) { s.Subscriptions, s.Friends, s.DevicesPerPlatform = many, many, 1000 })
		w.register("alice", "bob", "carol", "star")
		users := w.crowd(many)
		w.succeeded(w.AddFriends(t.Context(), "alice", users[:many-200], true))
		w.atMost(3*100+2, 200, &befriend{UserID: "alice", Friends: users[many-200 : many-100], Mutual: true})
		w.atMost(2*100, 200, &unfriend{UserID: "alice", Friends: users[:100], Mutual: true})

		w.subscribe("alice", users...)
		w.atMost(3, sweep, &unsubscribeAll{UserID: "bob"})
		w.atMost(1+sweep, sweep, &unsubscribeAll{UserID: "alice"})
		w.subscribe("alice", users...)
		w.must(w.UnsubscribeAll(t.Context(), "alice"))
		w.subscribe("alice", users...)
		w.configure(func(s *Settings) { s.Subscriptions = 1 })
		w.atMost(2+sweep, sweep, &subscribe{UserID: "alice"})
		answer := w.subscribe("alice")
		if want := many - 1 - sweep; len(answer.Evicted) != want {
			t.Errorf("after the limit was lowered %d subscriptions are dropped, want all %d", len(answer.Evicted), want)
		}

		for i := range 300 {
			w.ios("bob", fmt.Sprint(i)).Close()
		}
		w.pass(time.Minute)
		w.atMost(300+2, 2*300+1, &logout{UserID: "bob"})

		for _, follower := range users {
			w.must(w.writer.do(t.Context(), &subscribe{UserID: follower, Targets: []string{"star"}}))
		}
		w.succeeded(w.AddFriends(t.Context(), "star", users, true))
		w.atMost(6, 6, &deleteUsers{UserIDs: []string{"star"}})
		w.atMost(5*len(users[:sweep]), 5*len(users[:sweep]), &deleteUsers{UserIDs: users[:sweep]})
		w.pass(0)
		if rows := w.dump()["leftovers"]; rows != "" {
			t.Errorf("after the janitor's work there are %s", rows)
		}
		w.must(checkConditions(t.Context(), w.store.Reader(), w.path, latest, false))
		w.must(w.Ready(t.Context()))
	})
}

// TestLeftoversAreRemovedInPieces checks this, and that leftovers have no effect until
// they are removed, after a kill -9 too.
func TestLeftoversAreRemovedInPieces(t *testing.T) {
	w := open(t, func(s *Settings) { s.Friends, s.Subscriptions = 1000, 2 })
	w.register("star", "alice", "bob", "carol")
	users := w.crowd(sweep)
	w.succeeded(w.AddFriends(t.Context(), "star", users[:900], true))
	w.succeeded(w.AddFriends(t.Context(), "star", []string{"alice"}, true))
	for _, follower := range append(users, "alice") {
		w.must(w.writer.do(t.Context(), &subscribe{UserID: follower, Targets: []string{"star"}}))
	}
	w.subscribe("alice", "bob")
	w.configure(func(s *Settings) { s.Friends = 1 })

	remove := &deleteUsers{UserIDs: []string{"star"}}
	w.must(w.writer.do(t.Context(), &callback{func(b *batch) {
		if err := remove.apply(b); err != nil {
			t.Error(err)
		}
		if failed := b.befriendedNow("alice", "bob"); len(failed) > 0 {
			t.Errorf("a deleted friend still counts: %v", failed)
		}
		op := &subscribe{UserID: "alice", Targets: []string{"carol"}}
		if err := op.apply(b); err != nil || len(op.result.Evicted) > 0 {
			t.Errorf("a deleted target still counts: %v %v", op.result.Evicted, err)
		}
		op = &subscribe{UserID: "alice", Targets: users[:1]}
		if err := op.apply(b); err != nil || fmt.Sprint(op.result.Evicted) != "[bob]" {
			t.Errorf("the evicted subscription is %v %v, want that of bob", op.result.Evicted, err)
		}
		before := b.written
		new(removeLeftovers).apply(b)
		if rows := b.written - before; rows != sweep {
			t.Errorf("%d rows are removed at once, want %d", rows, sweep)
		}
	}}))
	after := w.killed()
	after.settings = w.settings
	after.start()
	if _, err := Check(t.Context(), after.path); err != nil {
		t.Errorf("while something is left of a deleted user: %v", err)
	}
	for after.proposeRemoval() != nil {
		after.must(after.writer.do(t.Context(), &removeLeftovers{})) // what the janitor does
	}
	after.friendsAre("alice", "bob")
	e, err := after.Explain(t.Context(), users[1])
	after.must(err)
	stats, err := after.Stats(t.Context())
	after.must(err)
	if rows := after.dump()["leftovers"]; rows != "" || e.Friends != 0 || e.Followers != 0 || stats.Subscriptions != 2 {
		t.Errorf("left are %q, %d friends, %d followers, %d subscriptions", rows, e.Friends, e.Followers, stats.Subscriptions)
	}
	after.countsNoLeftovers("alice", "carol")
}

// countsNoLeftovers checks that the only subscriber of a user counts as deleted.
func (w *world) countsNoLeftovers(subscriber, target string) {
	w.t.Helper()
	id, err := w.number(subscriber)
	w.must(err)
	w.execute("INSERT INTO leftovers VALUES (?)", id)
	e, err := w.Explain(w.t.Context(), target)
	w.must(err)
	stats, err := w.Stats(w.t.Context())
	w.must(err)
	if e.Followers != 0 || stats.Subscriptions != 0 {
		w.t.Errorf("of a deleted follower there are still %d, and %d subscriptions", e.Followers, stats.Subscriptions)
	}
}

// callback is an operation in which a test inspects the batch.
type callback struct{ f func(*batch) }

func (c *callback) apply(b *batch) error { c.f(b); return nil }

func (b *batch) befriendedNow(user, friend string) []Failure {
	op := &befriend{UserID: user, Friends: []string{friend}}
	op.apply(b)
	return op.failed
}
