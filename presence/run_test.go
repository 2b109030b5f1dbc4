package presence

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// TestTheEndOfARunIsOneRow checks that a restart changes no row of a device, however
// many there are, and that what follows from the end of several runs is the same after
// each further restart, and after a kill -9.
func TestTheEndOfARunIsOneRow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, func(s *Settings) {
			s.ReconnectGrace, s.RestartGrace, s.OfflineRetention = 10*time.Second, 30*time.Second, time.Hour
		})
		for i := range 50 {
			w.web(fmt.Sprint("web-", i), "tab")
			w.ios(fmt.Sprint("ios-", i), "phone")
		}
		left := w.web("left", "tab")
		left.Close() // in its grace of 10 s
		w.pass(0)
		before := w.deviceRows()
		w = w.killed()
		w.start()
		if after := w.deviceRows(); after != before {
			t.Error("the end of a run changed rows of devices")
		}
		w.pass(20 * time.Second)
		w.wantCounts(101, 0) // the grace of 10 s was extended
		w.restart(0)         // a second end: all devices have 30 s from now on
		w.pass(29 * time.Second)
		w.wantCounts(101, 0)
		w.web("web-0", "tab")
		w.pass(2 * time.Second)
		w.wantCounts(1, 50)
		w = w.killed()
		w.start()
		w.wantCounts(1, 50)
		w.pass(31 * time.Second)
		w.wantCounts(0, 50)
		w.pass(time.Hour - 85*time.Second)
		w.wantCounts(0, 50)
		w.restart(0)
		w.pass(10 * time.Second)
		w.wantCounts(0, 0) // an hour after the first end
		if n := w.rows("devices"); n != 0 {
			t.Errorf("there are still %d devices", n)
		}
		w.restart(0)
		w.pass(31 * time.Second)
		if n := w.rows("run_ends"); n != 0 {
			t.Errorf("%d ends of runs are stored, although none has a device", n)
		}
	})
}

// deviceRows returns all rows of devices as one text.
func (w *world) deviceRows() (all string) {
	w.t.Helper()
	w.must(w.store.Reader().QueryRowContext(w.t.Context(), `SELECT group_concat(concat_ws(' ', user, device_id, run, stream, since,
		grace_until, retain_until), char(10)) FROM (SELECT * FROM devices ORDER BY user, device_id)`).Scan(&all))
	return all
}

func (w *world) wantCounts(online, offline int) {
	w.t.Helper()
	if users := w.stats().Users; users.Online != online || users.Offline != offline {
		w.t.Errorf("%d users are ONLINE and %d OFFLINE, want %d and %d", users.Online, users.Offline, online, offline)
	}
}
