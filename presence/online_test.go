package presence

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestPromise1NobodyOnlineAfterTheGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.web("wendy", "tab").Close()
		w.ios("ian", "phone").Close()
		w.pass(w.settings.ReconnectGrace - time.Millisecond)
		w.is("wendy ONLINE", "the grace is not over")
		w.is("ian ONLINE", "the grace is not over")
		w.pass(time.Millisecond)
		w.is("wendy UNLOGINED", "a web device is gone when its grace is over")
		w.is("ian OFFLINE", "a native device is dropped when its grace is over")
		w.pass(w.settings.OfflineRetention)
		w.is("ian UNLOGINED", "a native device is forgotten after the retention")
	})
}

func TestPromise1HoldsForTheLastOfManyDevices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		tab, phone := w.web("alice", "tab"), w.ios("alice", "phone")
		phone.Close()
		w.pass(time.Hour)
		w.is("alice ONLINE", "the other device is connected")
		tab.Close()
		w.pass(w.settings.ReconnectGrace)
		w.is("alice OFFLINE", "the last device is gone, and a native one left before")
	})
}

func TestPromise1HoldsAfterKill9(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.web("wendy", "tab")
		w.ios("ian", "phone")
		w.web("gina", "tab").Close() // killed in the middle of the grace
		w.pass(time.Second)
		after := w.killed()
		w.pass(24 * time.Hour)

		after.start()
		after.is("wendy ONLINE", "the restart grace is not over")
		after.is("gina ONLINE", "a user who was ONLINE has the restart grace")
		after.pass(after.settings.RestartGrace)
		after.is("wendy UNLOGINED", "nobody is ONLINE longer than the restart grace")
		after.is("ian OFFLINE", "nobody is ONLINE longer than the restart grace")
		after.is("gina UNLOGINED", "nobody is ONLINE longer than the restart grace")
	})
}

// Several devices end at the same time at a start, and others are forgotten meanwhile.
func TestStartEndsAllDevicesOfAUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, func(s *Settings) { s.RestartGrace, s.OfflineRetention = 0, time.Hour })
		w.web("alice", "1")
		w.ios("alice", "2").Close()
		w.web("alice", "3")
		w.ios("bob", "1")
		w.ios("bob", "2")
		w.pass(time.Minute)
		w.restart(2 * time.Hour)
		w.is("alice UNLOGINED", "without a restart grace all web devices are gone at once")
		w.is("bob OFFLINE", "the retention counts from the end of the restart")
	})
}

// Promise 2: a user with a connected device is always shown as ONLINE.
func TestPromise2ConnectedIsOnline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		older := w.web("alice", "tab")
		newer := w.web("alice", "tab")
		older.Close() // the end of the older stream is not a disconnect
		w.pass(time.Hour)
		w.is("alice ONLINE", "the newer stream of the device is connected")

		newer.Close()
		w.pass(w.settings.ReconnectGrace - time.Millisecond)
		newer.resume()
		w.pass(time.Hour)
		w.is("alice ONLINE", "a device that came back is connected")
	})
}

// The end of a stream is recorded after its device already has another one.
func TestPromise2HoldsWhenTheDropComesLate(t *testing.T) {
	w := open(t)
	tab := w.web("alice", "tab")
	late := endedStream{User: tab.user.id, DeviceID: "tab", Stream: tab.stream, Age: 1}
	w.web("alice", "tab")
	w.must(w.writer.do(t.Context(), &drop{Ended: []endedStream{late}}))
	w.is("alice ONLINE", "a drop concerns only its own stream")
}

func TestPromise4RestartAnnouncesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		tab, phone := w.web("alice", "tab"), w.ios("bob", "phone")
		carol := w.web("carol", "tab")
		w.subscribe("carol", "alice")
		w.befriend("carol", "bob")
		carol.wants("bob ONLINE")
		phone.Close()
		w.pass(time.Second) // bob is within his grace

		w.restart(time.Hour)
		tab.w, phone.w, carol.w = w, w, w
		watching := carol.resume()
		w.pass(w.settings.RestartGrace - time.Millisecond)
		tab.resume()
		phone.resume()
		w.pass(time.Minute)
		for event := watching.next(); event.Type != EventKeepalive; event = watching.next() {
			t.Errorf("received %v: a restart after which all return in time announces nothing", event.Statuses)
		}
	})
}

// What became due while no service ran is applied before the first request.
func TestPromise8HoldsAcrossARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, func(s *Settings) { s.OfflineRetention = time.Hour })
		w.register("alice", "bob", "carol")
		w.set("alice", "Away", 0)
		tab := w.web("bob", "tab")
		w.set("bob", "Lunch", time.Hour)
		w.ios("carol", "phone").Close()
		w.pass(w.settings.ReconnectGrace)
		w.is("carol OFFLINE", "a native device has dropped")
		tab.Close()

		w.restart(2 * time.Hour)
		w.is("alice UNLOGINED", "custom_status_ttl ended while the service was down")
		w.is("bob ONLINE", "the expiry ended while the service was down, bob has the restart grace")
		w.is("carol UNLOGINED", "the retention ended while the service was down")
	})
}
