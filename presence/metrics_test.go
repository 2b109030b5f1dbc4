package presence

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestMetricsOfDelivery checks that what a watcher receives is counted, and how late
// it is.
func TestMetricsOfDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.register("alice", "bob")
		watcher := w.web("watcher", "tab")
		w.subscribe("watcher", "alice", "bob")
		before := w.Metrics()

		w.set("alice", "1", 0)
		watcher.wants("alice UNLOGINED 1")
		w.pass(40 * time.Millisecond)
		w.set("alice", "2", 0)
		w.set("alice", "3", 0)
		w.set("bob", "4", 0)
		watcher.wants("alice UNLOGINED 3", "bob UNLOGINED 4") // one batch window after the first

		m := w.Metrics()
		is(t, "changes", m.Changes-before.Changes, 4)
		is(t, "changes that a newer one replaced while they waited", m.Conflated-before.Conflated, 1)
		is(t, "events", m.EventStatuses.Count(), 2)
		is(t, "statuses in them", uint64(m.EventStatuses.Sum), 3)
		stats, err := w.Stats(t.Context())
		w.must(err)
		is(t, "deliveries in the stats", uint64(stats.Deliveries), 3)
		is(t, "events of one status", m.EventStatuses.below(1), 1)
		is(t, "delays", m.DeliveryDelay.Count(), 2)
		is(t, "delays of a change after silence", m.DeliveryDelay.below(0.0001), 1)
		is(t, "delays of a change 10ms before the end of the batch window", m.DeliveryDelay.below(0.01)-m.DeliveryDelay.below(0.005), 1)
	})
}

// TestMetricsOfResume checks that the time a device was away doesn't count as a delay.
func TestMetricsOfResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.register("alice")
		tab := w.web("watcher", "tab")
		w.subscribe("watcher", "alice")
		tab.Close()
		w.set("alice", "meanwhile", 0)
		w.pass(time.Second)
		again := tab.resume()
		again.wants("alice UNLOGINED meanwhile")
		m := w.Metrics()
		is(t, "events", m.EventStatuses.Count(), 1)
		is(t, "delays", m.DeliveryDelay.Count(), 0)

		w.pass(time.Second)
		w.set("alice", "live", 0)
		again.wants("alice UNLOGINED live")
		is(t, "delays after the first live change", w.Metrics().DeliveryDelay.below(0.0001), 1)

		tab.device.Resume, tab.device.Cursor = true, tab.cursor
		third := w.connectUnread(tab.device)
		w.set("alice", "while it catches up", 0)
		w.pass(time.Second)
		is(t, "the first event", third.next().Type, EventReady)
		third.wants("alice UNLOGINED while it catches up")
		m = w.Metrics()
		is(t, "delays of a second, caused by the reader", m.DeliveryDelay.below(1)-m.DeliveryDelay.below(0.5), 1)
	})
}

// below returns how many values are not above a bound.
func (h Histogram) below(bound float64) (n uint64) {
	for i, b := range h.Bounds {
		if b <= bound {
			n += h.Counts[i]
		}
	}
	return n
}

func is[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// TestMetricsOfStreams ends a stream in each of the possible ways.
func TestMetricsOfStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, func(s *Settings) { s.DevicesPerPlatform = 1 })
		w.web("closes", "tab").Close()
		w.web("breaks", "tab")
		w.web("breaks", "tab")
		w.web("logs out", "tab")
		w.must(w.Logout(t.Context(), "logs out", "tab"))
		w.web("kicked", "tab")
		w.must(w.Kick(t.Context(), "kicked"))
		w.web("many", "1")
		w.web("many", "2")
		expiring := w.connect(Device{UserID: "expires", ID: "tab", ExpiresAt: w.Now().Add(time.Minute)})
		for expiring.next().Type != EventKickedOut { // a minute of KEEPALIVEs
		}
		expiring.Close()

		m := w.Metrics()
		is(t, "streams", m.Streams, 2)
		is(t, "streams opened", m.Opened, 8)
		is(t, "users online, one of them in the grace", m.Users.Online, 3)
		w.Drain()
		m = w.Metrics()
		for why, n := range map[Ending]uint64{
			EndedClosed: 1, EndedSuperseded: 1, EndedDrained: 2, Ending(KickedLogout): 1, Ending(KickedByAdmin): 1,
			Ending(KickedMultipleDevice): 1, Ending(KickedExpired): 1,
		} {
			is(t, "streams ended: "+string(why), m.Ended[why], n)
		}
		is(t, "ways to end", len(m.Ended), 7)
		is(t, "streams", m.Streams, 0)
	})
}

// TestMetricsOfJanitor covers a deadline that is met, and one that can't be met
// because the database can't be written for ten seconds.
func TestMetricsOfJanitor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.register("alice", "bob")
		w.set("alice", "x", time.Minute)
		w.pass(2 * time.Minute)
		m := w.Metrics()
		is(t, "deadlines met at once", m.Lateness.below(0.0001), 1)
		is(t, "work overdue", m.Overdue, 0)

		w.set("bob", "x", time.Minute)
		w.writable(false)
		w.pass(time.Minute + 10*time.Second)
		m = w.Metrics()
		if m.Overdue < 9*time.Second || m.Overdue > 11*time.Second {
			t.Errorf("the janitor is overdue by %s, want about 10s", m.Overdue)
		}
		if m.WriteError == nil || m.WriteErrors < 5 || time.Since(m.WriteErrorAt) > 2*time.Second {
			t.Errorf("error %v, %d errors, the last at %s: want one for each try, a second apart", m.WriteError, m.WriteErrors, m.WriteErrorAt)
		}
		w.writable(true)
		w.pass(10 * time.Second)
		m = w.Metrics()
		is(t, "deadlines met ten seconds late", m.Lateness.Count()-m.Lateness.below(5), 1)
		is(t, "work overdue", m.Overdue, 0)
		is(t, "error of the last write", m.WriteError, nil)
	})
}

// TestMetricsOfStart checks that what became due while no service ran doesn't count as
// lateness of the janitor.
func TestMetricsOfStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.register("alice")
		w.set("alice", "x", time.Minute)
		w.restart(time.Hour)
		w.is("alice UNLOGINED", "what is due is done before the first request")
		is(t, "deadlines", w.Metrics().Lateness.Count(), 0)
	})
}

// TestMetricsOfCommits checks the counts of operations that are committed together,
// and the sizes of the files.
func TestMetricsOfCommits(t *testing.T) {
	w := open(t)
	before := w.Metrics()
	w.register("alice", "bob") // a single operation
	w.set("alice", "x", 0)
	m := w.Metrics()
	is(t, "batches", m.BatchOperations.Count()-before.BatchOperations.Count(), 2)
	is(t, "operations", m.BatchOperations.Sum-before.BatchOperations.Sum, 2)
	is(t, "commits", m.Commit.Count(), m.BatchOperations.Count())
	if m.Commit.Sum <= before.Commit.Sum {
		t.Error("a commit takes time")
	}
	is(t, "the queue", m.Queue, 0)
	is(t, "its capacity", m.QueueCapacity, queueLength)
	if m.DatabaseBytes == 0 || m.WALBytes == 0 || m.DiskFreeBytes == 0 {
		t.Errorf("database %d bytes, log %d, free %d: all three are there", m.DatabaseBytes, m.WALBytes, m.DiskFreeBytes)
	}
}
