package presence

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Promise 3: on one stream the versions of a user only grow, and the last change
// always arrives.
func TestPromise3VersionsGrowAndTheLastChangeArrives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.register("alice")
		slow, cut := w.web("slow", "tab"), w.web("cut", "tab")
		w.subscribe("slow", "alice")
		w.subscribe("cut", "alice")
		for _, text := range []string{"1", "2", "3"} {
			w.set("alice", text, 0)
		}
		slow.wants("alice UNLOGINED 3")

		cut.Close()
		w.set("alice", "4", 0)
		cut = cut.resume()
		cut.wants("alice UNLOGINED 4")

		w.restart(time.Minute)
		slow.w = w
		slow = slow.resume()
		slow.wants("alice UNLOGINED 4")
		version := w.set("alice", "5", 0).Version
		slow.wants("alice UNLOGINED 5")
		if version <= slow.ready.Cursor {
			t.Errorf("version %d after a restart at %d: versions grow across restarts", version, slow.ready.Cursor)
		}
	})
}

// hold, a method of stream, compares the versions.
func TestPromise3HoldsWithManyWriters(t *testing.T) {
	w := open(t, func(s *Settings) { s.BatchWindow = 0 })
	users := []string{"a", "b", "c"}
	w.register(users...)
	watcher := w.web("watcher", "tab")
	w.subscribe("watcher", users...)
	var writers sync.WaitGroup
	for _, user := range users {
		writers.Go(func() {
			for i := range 50 {
				w.set(user, string(rune('0'+i)), 0)
			}
		})
	}
	last := string(rune('0' + 49))
	seen := make(map[string]string)
	for seen["a"] != last || seen["b"] != last || seen["c"] != last {
		for _, s := range watcher.next().Statuses {
			seen[s.UserID] = s.CustomStatus
		}
	}
	writers.Wait()
}

func TestPromise6QueryIsNeverOlderThanTheStream(t *testing.T) {
	w := open(t, func(s *Settings) { s.BatchWindow = 0 })
	w.register("alice")
	watcher := w.web("watcher", "tab")
	w.subscribe("watcher", "alice")
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := range 200 {
			w.set("alice", string(rune('0'+i)), 0)
		}
	})
	last := string(rune('0' + 199))
	for seen := ""; seen != last; {
		shown := watcher.next().Statuses[0]
		found, _ := w.Get("alice")
		if found[0].Version < shown.Version {
			t.Fatalf("a query answers version %d after the stream showed %d", found[0].Version, shown.Version)
		}
		seen = shown.CustomStatus
	}
	writer.Wait()
}

func TestPromise9StalledReaderDelaysNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.register("alice", "bob")
		stalled := w.connectUnread(Device{UserID: "carol", ID: "stalled"})
		reader := w.web("carol", "reader")
		w.subscribe("carol", "alice", "bob")
		begun := time.Now()
		for i := range 1000 {
			w.set("alice", string(rune('A'+i)), 0)
		}
		w.set("bob", "Hi", 0)
		w.set("alice", "last", 0)
		reader.wants("alice UNLOGINED last", "bob UNLOGINED Hi")
		if waited := time.Since(begun); waited > 0 {
			t.Errorf("the others receive the change after %v: one that stops reading delays no one else", waited)
		}
		wantList(t, stalled.waitingUsers(), []string{"alice", "bob", "carol"}, "memory is bounded by the users watched")
		stalled.next()
		stalled.wants("alice UNLOGINED last", "bob UNLOGINED Hi")
	})
}

func TestPromise10NothingIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.register("target", "a", "b", "c", "d")
		synctest.Wait()
		before := runtime.NumGoroutine()
		var clients sync.WaitGroup
		for _, user := range []string{"a", "b", "c", "d"} {
			clients.Go(func() {
				s := w.web(user, "tab")
				w.subscribe(user, "target", "a")
				w.befriend(user, "target")
				for range 10 {
					s = s.resume() // this replaces the earlier stream
				}
				s.Close()
			})
		}
		clients.Wait()
		w.must(w.Logout(t.Context(), "a", ""))
		w.pass(time.Hour)
		if after := runtime.NumGoroutine(); after > before {
			t.Errorf("%d goroutines before, %d after: none of a client may be left", before, after)
		}
		w.nothingIsLeft()
	})
}

func (w *world) nothingIsLeft() {
	w.t.Helper()
	w.mu.RLock()
	defer w.mu.RUnlock()
	m := &w.model
	if m.streams != 0 || len(m.kicked.last) != 0 || len(m.kicked.order) != 0 || len(m.deadlines) != 0 {
		w.t.Errorf("left are %d streams, %d kicks, %d deadlines", m.streams, len(m.kicked.order), len(m.deadlines))
	}
	for id, u := range m.byName {
		if u.live != nil || u.audience != nil {
			w.t.Errorf("%s is still stored: %+v %+v", id, u.live, u.audience)
		}
	}
}

// The bubble fails if any goroutine outlives it.
func TestPromise10CloseLeavesNoGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		s := w.web("alice", "tab")
		go func() {
			for {
				if _, err := s.Next(context.Background()); err != nil {
					return
				}
			}
		}()
		w.must(w.Close())
	})
}

func TestFirstChangeAtOnceMoreTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.register("alice", "bob")
		watcher := w.web("watcher", "tab")
		w.subscribe("watcher", "alice", "bob")
		w.pass(time.Second)
		begun := time.Now()
		w.set("alice", "1", 0)
		watcher.wants("alice UNLOGINED 1")
		if waited := time.Since(begun); waited != 0 {
			t.Errorf("the first change after silence is sent after %v, want immediately", waited)
		}
		w.set("alice", "2", 0)
		w.set("bob", "1", 0)
		w.set("alice", "3", 0)
		watcher.wants("alice UNLOGINED 3", "bob UNLOGINED 1")
		if waited := time.Since(begun); waited != w.settings.BatchWindow {
			t.Errorf("further changes are sent after %v, want the batch window %v", waited, w.settings.BatchWindow)
		}
	})
}

func TestKeepaliveAfterSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.register("bob")
		alice := w.web("alice", "tab")
		w.pass(10 * time.Second)
		w.set("alice", "Hi", 0)
		alice.wants("alice ONLINE Hi")
		spoke := time.Now()
		version := w.set("bob", "unwatched", 0).Version
		keepalive := w.settings.Keepalive // READY contains it, and the client relies on it
		w.configure(func(s *Settings) { s.Keepalive = time.Hour })
		event := alice.next()
		if silence := time.Since(spoke); event.Type != EventKeepalive || silence != keepalive {
			t.Errorf("%s after %v, want KEEPALIVE after %v", event.Type, silence, keepalive)
		}
		if event.Cursor != version {
			t.Errorf("the cursor is %d, want %d: everything up to it that concerns the device is sent", event.Cursor, version)
		}
	})
}

func TestStreamEndsWithItsCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		alice := w.connect(Device{UserID: "alice", ExpiresAt: time.Now().Add(20 * time.Second)})
		if event := alice.next(); event.Type != EventKeepalive {
			t.Fatalf("got %s, want KEEPALIVE", event.Type)
		}
		alice.isKicked(KickedExpired)
		alice.Close()
		w.pass(w.settings.ReconnectGrace - time.Millisecond)
		w.is("alice ONLINE", "a device whose credentials expired has the grace to come back")
		alice.device.ExpiresAt = time.Time{}
		alice.resume()
		w.pass(time.Minute)
		w.is("alice ONLINE", "with new credentials it is not refused")
	})
}

func TestNextReturnsWithItsContext(t *testing.T) {
	w := open(t)
	alice := w.web("alice", "tab")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := alice.Next(ctx); err != context.Canceled {
		t.Errorf("got error %v, want the context's", err)
	}
	w.set("alice", "Hi", 0)
	alice.wants("alice ONLINE Hi") // the session continues
}

// TestConnectDuringChanges opens a stream while its own user changes; it is meant for
// the race detector.
func TestConnectDuringChanges(t *testing.T) {
	w := open(t)
	w.register("alice")
	var setting sync.WaitGroup
	setting.Go(func() {
		for i := range 100 {
			if _, err := w.Set(t.Context(), "alice", string(rune('a'+i%26)), 0); err != nil {
				t.Error(err)
			}
		}
	})
	for range 100 {
		s, err := w.Connect(t.Context(), Device{UserID: "alice", ID: "tab"})
		if err != nil {
			t.Error(err)
			continue
		}
		if event, err := s.Next(t.Context()); err != nil || event.Type != EventReady {
			t.Errorf("the first event is %v, %v", event, err)
		}
		s.Close()
	}
	setting.Wait()
}
