package presence

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// feedReader reads a feed, and checks the rules for versions and cursors.
type feedReader struct {
	*Feed
	w      *world
	cursor int64
	last   int64             // the highest version that was received
	parts  int               // the events with Event.More
	seen   map[string]Status // the last status of each user
}

func (w *world) follow(cursor int64) *feedReader {
	w.t.Helper()
	f, err := w.Service.Follow(cursor)
	return w.reading(f, err)
}

func (w *world) followAs(name string) *feedReader {
	w.t.Helper()
	f, err := w.FollowAs(w.t.Context(), name)
	return w.reading(f, err)
}

func (w *world) reading(f *Feed, err error) *feedReader {
	w.t.Helper()
	w.must(err)
	r := &feedReader{Feed: f, w: w, seen: make(map[string]Status)}
	w.t.Cleanup(f.Close)
	ready, err := f.Next(w.t.Context())
	w.must(err)
	if ready.Type != EventReady || ready.DeviceID != "" || ready.Version != w.stats().Version {
		w.t.Fatalf("the first event is %+v", ready)
	}
	r.cursor = ready.Cursor
	return r
}

// poll returns the next statuses, as describe does, or nil if there are none now.
func (r *feedReader) poll() []string {
	r.w.t.Helper()
	event, _, err := r.Poll()
	r.w.must(err)
	if event.Cursor < r.cursor && event.Type != "" {
		r.w.t.Errorf("the cursor goes back from %d to %d", r.cursor, event.Cursor)
	}
	for _, s := range event.Statuses {
		if s.Version <= r.last || s.Version > event.Cursor {
			r.w.t.Errorf("%v comes after version %d, with the cursor %d", s, r.last, event.Cursor)
		}
		r.last, r.seen[s.UserID] = s.Version, s
	}
	if event.Type != "" {
		r.cursor = event.Cursor
	}
	if event.More {
		r.parts++
	}
	if event.Type != EventUpdated {
		return nil
	}
	return describe(event.Statuses)
}

func (r *feedReader) wants(want ...string) {
	r.w.t.Helper()
	r.w.pass(r.w.settings.BatchWindow)
	if got := r.poll(); !slices.Equal(got, want) {
		r.w.t.Errorf("the feed sends %q, want %q", got, want)
	}
}

// readAll reads until nothing is left.
func (r *feedReader) readAll() {
	r.w.t.Helper()
	for r.poll() != nil {
	}
	r.w.pass(r.w.settings.BatchWindow)
	for r.poll() != nil {
	}
}

// TestFeedFollowsEverybody checks that a feed sends the changes of all users, whatever
// the switches are set to, and makes nobody ONLINE.
func TestFeedFollowsEverybody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, func(s *Settings) { s.UserStatus, s.FriendNotifications = false, false })
		w.register("alice", "bob")
		f := w.follow(FromNow)
		if got := f.poll(); got != nil {
			t.Errorf("a feed from now on begins with %q", got)
		}
		w.set("bob", "lunch", 0)
		f.wants("bob UNLOGINED lunch")
		s := w.web("alice", "tab")
		w.register("carol")
		f.wants("alice ONLINE", "carol UNLOGINED")
		s.Close()
		w.pass(w.settings.ReconnectGrace)
		f.wants("alice UNLOGINED")
		w.remove("bob")
		f.wants("bob UNKNOWN")
		if online := w.stats().Users.Online; online != 0 {
			t.Errorf("%d users are online", online)
		}
	})
}

// TestFeedConflates checks that a user who changes twice before the feed is read is
// sent once, and that users are sent in order of version.
func TestFeedConflates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.register("alice", "bob", "carol")
		f := w.follow(FromNow)
		w.set("alice", "1", 0)
		w.set("bob", "1", 0)
		w.set("carol", "1", 0)
		w.set("alice", "2", 0)
		f.wants("bob UNLOGINED 1", "carol UNLOGINED 1", "alice UNLOGINED 2")
	})
}

// TestFeedSendsAllOfOneBatch: alice, at whom the feed is, changes between two changes of
// bob, so that she gets a new place after him, and before him in order of version.
func TestFeedSendsAllOfOneBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.register("alice", "bob")
		f := w.follow(FromNow)
		w.set("alice", "1", 0)
		say := func(user, text string) operation { return &setEntry{UserID: user, Entry: entry{Text: text}} }
		w.together(say("bob", "1"), say("alice", "2"), say("bob", "2"))
		f.wants("alice UNLOGINED 2", "bob UNLOGINED 2")
	})
}

// TestFeedResumes: a feed sends every user whose version is above its cursor, and only
// those. A cursor that was never issued counts as zero.
func TestFeedResumes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.register("alice", "bob", "carol", "dave")
		w.set("carol", "c", 0)
		at := w.set("alice", "a", 0).Version
		w.set("bob", "b", 0)
		w.remove("dave")
		w.follow(at).wants("bob UNLOGINED b")
		everyone := []string{"carol UNLOGINED c", "alice UNLOGINED a", "bob UNLOGINED b"}
		w.follow(0).wants(everyone...)
		w.follow(1 << 60).wants(everyone...)
		w.follow(5).wants(everyone...) // inside the jump at the start
		w.restart(time.Second)
		w.follow(at).wants("bob UNLOGINED b")
		w.follow(w.stats().Version).wants()
	})
}

// TestFeedSplitsLists checks that a feed sends bounded parts, each with a cursor from
// which a feed continues without a gap, while users change and are deleted.
func TestFeedSplitsLists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		text := string(slices.Repeat([]byte("x"), 100))
		for i := range 1000 {
			user := fmt.Sprint("user-", i)
			w.register(user)
			w.set(user, text, 0)
		}
		f := w.follow(0)
		parts := 0
		for len(f.seen) < 999 {
			if f.poll() == nil {
				t.Fatalf("the feed stopped after %d users", len(f.seen))
			}
			if parts++; parts == 2 {
				w.set("user-0", "first again", 0)
				w.set("user-999", "last again", 0)
				w.remove("user-500")
				f = &feedReader{Feed: w.follow(f.cursor).Feed, w: w, cursor: f.cursor, last: f.last, seen: f.seen}
			}
		}
		f.readAll()
		if f.parts < 2 || f.parts > parts {
			t.Errorf("%d events announce more, of %d that follow one another", f.parts, parts)
		}
		if parts < 4 || f.seen["user-0"].CustomStatus != "first again" || f.seen["user-999"].CustomStatus != "last again" {
			t.Errorf("%d parts, %v, %v", parts, f.seen["user-0"], f.seen["user-999"])
		}
		if _, sent := f.seen["user-500"]; sent {
			t.Error("a user who was deleted before the feed resumed was sent")
		}
	})
}

// TestFeedAlwaysHasTheLastStatus checks that, after thousands of random changes, feeds
// that are read at any time, and that resume, end with the status of every user.
func TestFeedAlwaysHasTheLastStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, func(s *Settings) { s.CustomStatusBytes = 20_000 })
		random := rand.New(rand.NewPCG(1, 2))
		w.register("user-0")
		feeds := []*feedReader{w.follow(0), w.follow(FromNow), w.followAs("backend")}
		feeds[1].seen["user-0"], feeds[2].seen["user-0"] = w.status("user-0"), w.status("user-0")
		for range 3000 {
			user := fmt.Sprint("user-", random.IntN(30))
			switch f := feeds[random.IntN(len(feeds))]; random.IntN(10) {
			case 0:
				w.Delete(t.Context(), []string{user})
			case 1, 2, 3:
				f.poll()
			case 4:
				if f.isStored() {
					w.must(f.Store(t.Context(), f.cursor))
				}
			case 5:
				w.pass(w.settings.BatchWindow)
			default:
				w.register(user)
				w.set(user, string(slices.Repeat([]byte{'a' + byte(random.IntN(26))}, random.IntN(15_000))), 0)
			}
		}
		for i, f := range feeds {
			f.readAll()
			for n := range 30 {
				user := fmt.Sprint("user-", n)
				got, sent := f.seen[user]
				now, failed := w.Get(user)
				switch {
				case len(failed) == 0 && got != now[0]:
					t.Errorf("feed %d ends with %.60v, want %.60v", i, got, now[0])
				case len(failed) > 0 && sent && got.StatusType != Unknown:
					t.Errorf("feed %d ends with %.60v, who was deleted", i, got)
				}
			}
		}
		w.must(feeds[2].Store(t.Context(), feeds[2].cursor))
		if n := len(w.model.order.gone); n > 0 {
			t.Errorf("%d deleted users are remembered, although all feeds have sent them", n)
		}
	})
}

func (w *world) status(user string) Status {
	found, _ := w.Get(user)
	return found[0]
}

// TestStoredFeedMissesNothing checks that a stored feed continues after its stored
// cursor when the process was killed, including users who were deleted meanwhile, and
// remembers these only until they are received.
func TestStoredFeedMissesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.register("alice", "bob", "carol", "dave")
		f := w.followAs("backend")
		w.set("alice", "a", 0)
		f.wants("alice UNLOGINED a")
		w.must(f.Store(t.Context(), f.cursor))
		w.set("bob", "b", 0)
		f.wants("bob UNLOGINED b") // the cursor is not stored
		w.remove("carol", "dave")
		w.register("dave")

		w = w.killed()
		w.start()
		f = w.followAs("backend")
		f.wants("bob UNLOGINED b", "carol UNKNOWN", "dave UNLOGINED")
		w.must(f.Store(t.Context(), f.cursor))
		w.must(f.Store(t.Context(), 1)) // has no effect
		w.restart(time.Second)
		w.followAs("backend").wants()
		if n := w.rows("gone"); n != 0 {
			t.Errorf("%d deleted users are still stored", n)
		}
	})
}

// rows returns the number of rows of a table.
func (w *world) rows(table string) (n int) {
	w.t.Helper()
	w.must(w.store.Reader().QueryRowContext(w.t.Context(), "SELECT count(*) FROM "+table).Scan(&n))
	return n
}

// TestForgetFeeds checks that a forgotten feed ends, no longer keeps deleted users,
// and starts again at the current version.
func TestForgetFeeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.register("alice", "bob")
		kept, forgotten := w.followAs("kept"), w.followAs("forgotten")
		w.must(kept.Store(t.Context(), kept.cursor))
		w.remove("alice")
		kept.wants("alice UNKNOWN")
		w.must(kept.Store(t.Context(), kept.cursor))
		if n := w.rows("gone"); n != 1 {
			t.Errorf("%d deleted users are stored, want the one that a feed has not received", n)
		}
		w.must(w.ForgetFeeds(t.Context(), "keep", nil)) // has no effect
		w.must(w.ForgetFeeds(t.Context(), "", []string{"kept"}))
		if _, _, err := forgotten.Poll(); err != io.EOF {
			t.Errorf("a forgotten feed continues: %v", err)
		}
		w.must(forgotten.Store(t.Context(), forgotten.cursor+1))
		if n := w.rows("gone"); n != 0 {
			t.Errorf("%d deleted users are stored for a forgotten feed", n)
		}
		w.followAs("forgotten").wants()
		newer := w.followAs("kept")
		if _, _, err := kept.Poll(); err != io.EOF {
			t.Errorf("two feeds of one name are open: %v", err)
		}
		w.set("bob", "b", 0)
		newer.wants("bob UNLOGINED b")
	})
}

// TestFeedEnds checks that a feed ends with the service and with Close, wakes a
// waiting reader, and leaves nothing behind.
func TestFeedEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.register("alice")
		closed, drained := w.follow(FromNow), w.follow(FromNow)
		if n := w.stats().Streams; n != 2 {
			t.Errorf("%d streams are counted, want 2", n)
		}
		wait := func(f *feedReader) chan error {
			done := make(chan error, 1)
			go func() {
				_, err := f.Next(context.Background())
				done <- err
			}()
			synctest.Wait()
			return done
		}
		waiting := wait(closed)
		closed.Close()
		closed.Close()
		if err := <-waiting; err != io.EOF {
			t.Errorf("after Close: %v", err)
		}
		waiting = wait(drained)
		w.must(w.Close())
		if err := <-waiting; !errors.Is(err, ErrClosed) {
			t.Errorf("after the service was closed: %v", err)
		}
		if _, err := w.Service.Follow(0); !errors.Is(err, ErrClosed) {
			t.Errorf("a closed service opens a feed: %v", err)
		}
		if n := len(w.model.feeds) + w.model.streams; n != 0 {
			t.Errorf("%d feeds are left", n)
		}
	})
}

// TestFeedKeepsAlive checks that after Settings.Keepalive of silence a feed sends a
// KEEPALIVE with the current version.
func TestFeedKeepsAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		f := w.follow(FromNow)
		began := time.Now()
		event, err := f.Next(t.Context())
		w.must(err)
		if took := time.Since(began); event.Type != EventKeepalive || took != w.settings.Keepalive {
			t.Errorf("%s after %v", event.Type, took)
		}
	})
}

// TestFeedStatuses checks that the iterator yields one status after the other, and
// then the error.
func TestFeedStatuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.register("alice", "bob")
		f, err := w.Service.Follow(0)
		w.must(err)
		defer f.Close()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var got []string
		for status, err := range f.Statuses(ctx) {
			if err != nil {
				got = append(got, err.Error())
				break
			}
			if got = append(got, status.UserID); len(got) == 2 {
				cancel()
			}
		}
		if want := []string{"alice", "bob", context.Canceled.Error()}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
