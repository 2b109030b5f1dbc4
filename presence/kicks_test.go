package presence

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestReconnectWithoutADeviceID checks that it is refused within a minute of a logout
// or kick of all devices, unless its cursor or its credentials are newer.
func TestReconnectWithoutADeviceID(t *testing.T) {
	ends := map[KickReason]func(*world) error{
		KickedLogout:  func(w *world) error { return w.Logout(w.t.Context(), "alice", "") },
		KickedByAdmin: func(w *world) error { return w.Kick(w.t.Context(), "alice") },
	}
	for why, end := range ends {
		synctest.Test(t, func(t *testing.T) {
			w := open(t)
			issued := time.Now()
			w.pass(300 * time.Millisecond)
			page := w.connect(Device{UserID: "alice", IssuedAt: issued})
			w.pass(time.Second)
			w.must(end(w))
			page.isKicked(why)
			old := Device{UserID: "alice", IssuedAt: issued, Resume: true, Cursor: page.cursor}
			for range 2 {
				_, err := w.Connect(t.Context(), old)
				if kicked, ok := errors.AsType[*KickedError](err); !ok || kicked.Kick != why || !errors.Is(err, ErrKicked) {
					t.Errorf("after %s a reconnect gets %v", why, err)
				}
				snapshot := old
				snapshot.Cursor = 0
				w.refused(snapshot, "the cursor 0 is not newer")
				snapshot.Cursor = 1 << 60
				w.refused(snapshot, "a cursor that was never issued counts as 0")
				snapshot.IssuedAt = time.Time{}
				w.refused(snapshot, "the time of issue of the credentials is unknown")
				w.restart(time.Second)
			}
			w.pass(time.Second)

			renewed := old
			renewed.IssuedAt = time.Now()
			newer := w.connect(renewed)
			cursor := newer.cursor
			newer.Close()
			w.pass(time.Minute)
			fresh := w.connect(renewed)
			w.must(end(w))
			fresh.isKicked(why)
			fresh = w.connect(Device{UserID: "alice", IssuedAt: time.Now()})
			late := Device{UserID: "alice", Resume: true, Cursor: fresh.cursor}
			w.connect(late)
			late.Cursor = cursor
			w.refused(late, "that cursor is from before")
			w.pass(time.Minute + time.Second)
			w.connect(late)
		})
	}
}

// TestLogoutOfOneDeviceRefusesNoOther checks that pages without an ID count as other
// devices.
func TestLogoutOfOneDeviceRefusesNoOther(t *testing.T) {
	w := open(t)
	page, tab := w.connect(Device{UserID: "alice"}), w.web("alice", "tab")
	w.must(w.Logout(t.Context(), "alice", "tab"))
	tab.isKicked(KickedLogout)
	w.connect(Device{UserID: "alice", Resume: true, Cursor: page.cursor})
}

// TestKickedErrorGivesTheReason checks that the reason is that of the KICKED_OUT
// event.
func TestKickedErrorGivesTheReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, func(s *Settings) { s.DevicesPerPlatform = 1 })
		ends := map[KickReason]func(){
			KickedMultipleDevice: func() { w.web("alice", "newer") },
			KickedLogout:         func() { w.must(w.Logout(t.Context(), "alice", "tab")) },
			KickedByAdmin:        func() { w.must(w.Kick(t.Context(), "alice")) },
		}
		for why, end := range ends {
			tab := w.web("alice", "tab")
			end()
			tab.isKicked(why)
			for range 2 {
				_, err := w.Connect(t.Context(), Device{UserID: "alice", ID: "tab", Resume: true, Cursor: tab.cursor})
				if kicked, ok := errors.AsType[*KickedError](err); !ok || kicked.Kick != why {
					t.Errorf("after %s a reconnect gets %v", why, err)
				}
				w.restart(0)
			}
		}
	})
}

// TestKickWaitsForTheEndOfItsSecond checks this so that a token issued after the kick
// works although its times are in whole seconds.
func TestKickWaitsForTheEndOfItsSecond(t *testing.T) {
	ends := map[string]func(*world) error{
		"kick":        func(w *world) error { return w.Kick(w.t.Context(), "alice") },
		"deleteUsers": func(w *world) error { _, err := w.Delete(w.t.Context(), []string{"alice"}); return err },
	}
	for name, end := range ends {
		for _, offset := range []time.Duration{0, time.Microsecond, 300 * time.Millisecond, 999_999 * time.Microsecond} {
			synctest.Test(t, func(t *testing.T) {
				w := open(t)
				w.register("alice")
				w.pass(offset)
				before := time.Now().Truncate(time.Second)
				w.must(end(w))
				wantCode(t, w.Admit(t.Context(), "alice", before), CodeRevoked, "a token of the same second")
				w.must(w.Admit(t.Context(), "alice", time.Now().Truncate(time.Second)))
				if waited := time.Since(before); waited > time.Second {
					t.Errorf("%s at %v after a second began returns %v later", name, offset, waited)
				}
			})
		}
	}
}

func TestTheWaitAfterAKickEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.register("alice")
		ctx, cancel := contextThatEndsIn(t, 10*time.Millisecond)
		defer cancel()
		before := time.Now()
		w.must(w.Kick(ctx, "alice"))
		if waited := time.Since(before); waited != 10*time.Millisecond {
			t.Errorf("the call returns after %v, want 10ms", waited)
		}
		wantCode(t, w.Admit(t.Context(), "alice", before), CodeRevoked, "the kick was applied")
		w.must(w.Close())
		if err := w.Kick(t.Context(), "alice"); err != ErrClosed {
			t.Errorf("after Close the call returns %v", err)
		}
	})
}

// TestTheWaitAfterAKickIsBounded covers a machine whose clock was set back, so that
// the service's clock is far ahead of it.
func TestTheWaitAfterAKickIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.register("alice")
		w.asleep.Store(int64(time.Hour))
		before := time.Now()
		w.must(w.Kick(t.Context(), "alice"))
		if waited := time.Since(before); waited > 2*time.Second {
			t.Errorf("the call returns after %v, want at most 2s", waited)
		}
	})
}
