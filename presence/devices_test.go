package presence

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestLogoutForgetsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		tab, phone := w.web("alice", "tab"), w.ios("alice", "phone")
		w.must(w.Logout(t.Context(), "alice", "tab"))
		tab.isKicked(KickedLogout)
		w.is("alice ONLINE", "the phone is connected")
		w.must(w.Logout(t.Context(), "alice", ""))
		phone.isKicked(KickedLogout)
		w.is("alice UNLOGINED", "a logout leaves no grace")
	})
}

func TestLogoutIsFailSafe(t *testing.T) {
	w := open(t)
	w.register("alice")
	w.must(w.Logout(t.Context(), "alice", "never seen"))
	wantCode(t, w.Logout(t.Context(), "nobody", ""), CodeUnknownUser, "nobody is registered under that name")
	wantCode(t, w.Logout(t.Context(), "alice", "a\nb"), CodeMalformed, "a device ID has no control characters")
}

func TestKickedDeviceIsRefusedForAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		tab := w.web("alice", "tab")
		w.must(w.Kick(t.Context(), "alice"))
		tab.isKicked(KickedByAdmin)
		w.is("alice UNLOGINED", "a kick forgets the devices")
		reconnect := Device{UserID: "alice", ID: "tab", Resume: true}
		w.refused(reconnect, "a kicked device that only reconnects")

		w.restart(30 * time.Second)
		w.refused(reconnect, "a kick is remembered across a restart")
		w.web("alice", "other") // this is another device
		w.pass(31 * time.Second)
		w.connect(reconnect)
	})
}

func (w *world) refused(d Device, promise string) {
	w.t.Helper()
	if s, err := w.Connect(w.t.Context(), d); !errors.Is(err, ErrKicked) {
		w.t.Errorf("got session %v and error %v, want ErrKicked: %s", s, err, promise)
	}
}

func TestKickedDeviceMayLogInAgain(t *testing.T) {
	w := open(t)
	tab := w.web("alice", "tab")
	w.must(w.Logout(t.Context(), "alice", "tab"))
	tab.isKicked(KickedLogout)
	tab = w.web("alice", "tab") // without Resume
	tab.resume()                // and is no longer kicked
}

func TestKickRefusesOldCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.register("alice")
		issued := time.Now()
		w.pass(time.Second)
		w.must(w.Kick(t.Context(), "alice"))
		w.pass(time.Second)
		for range 2 {
			_, err := w.Connect(t.Context(), Device{UserID: "alice", IssuedAt: issued})
			wantCode(t, err, CodeRevoked, "a stream with credentials from before the kick")
			wantCode(t, w.Admit(t.Context(), "alice", issued), CodeRevoked, "a call with credentials from before the kick")
			w.must(w.Admit(t.Context(), "alice", issued.Add(2*time.Second)))
			w.must(w.Admit(t.Context(), "alice", time.Time{})) // never refused
			w.restart(0)
		}
	})
}

func TestConnectRefusesWhatIsMalformed(t *testing.T) {
	w := open(t)
	for _, d := range []Device{{}, {UserID: "a "}, {UserID: "a", ID: "\n"}, {UserID: "a", Platform: "toaster"}} {
		_, err := w.Connect(t.Context(), d)
		wantCode(t, err, CodeMalformed, fmt.Sprintf("%+v", d))
	}
	one, other := w.connect(Device{UserID: "a"}), w.connect(Device{UserID: "a"})
	if one.DeviceID() == other.DeviceID() {
		t.Error("devices without an ID must not supersede each other")
	}
}

func TestAdmitRegisters(t *testing.T) {
	w := open(t)
	w.must(w.Admit(t.Context(), "alice", time.Now()))
	w.is("alice UNLOGINED", "the first valid credentials register a user")
	wantCode(t, w.Admit(t.Context(), " ", time.Now()), CodeMalformed, "a space is not a user ID")
}

func TestTooManyDevicesOfAPlatform(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, func(s *Settings) { s.DevicesPerPlatform = 2 })
		first := w.web("alice", "1")
		w.pass(time.Second)
		second := w.web("alice", "2")
		w.ios("alice", "phone") // this is of another platform
		w.pass(time.Second)
		first = first.resume() // a reconnect is not a login: first remains the earliest
		w.pass(time.Second)
		w.web("alice", "3")
		first.isKicked(KickedMultipleDevice)
		w.refused(Device{UserID: "alice", ID: "1", Resume: true}, "otherwise the devices would kick each other without end")

		w.configure(func(s *Settings) { s.DevicesPerPlatform = 1 })
		second.resume() // the limit applies to logins, and then to all devices
		w.devicesAre("alice", "2", "phone")
	})
}

func (w *world) devicesAre(user string, want ...string) {
	w.t.Helper()
	e, err := w.Explain(w.t.Context(), user)
	w.must(err)
	var got []string
	for _, d := range e.Devices {
		got = append(got, d.DeviceID)
	}
	wantList(w.t, got, want, "devices of "+user)
}

func TestDroppedDeviceIsEvictedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, func(s *Settings) { s.DevicesPerPlatform = 2 })
		w.ios("alice", "old")
		gone := w.ios("alice", "gone")
		gone.Close()
		w.pass(time.Hour)
		w.ios("alice", "new").Close()
		w.devicesAre("alice", "old", "new")
		w.pass(time.Second)
		gone.resume() // it was not kicked, only forgotten
		w.devicesAre("alice", "old", "gone")
	})
}

func TestExplainReturnsWhyAndWhatIsNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.ios("alice", "phone").Close()
		w.set("alice", "Lunch", time.Hour)
		w.register("fan")
		w.subscribe("fan", "alice")
		w.befriend("fan", "alice")
		w.befriend("alice", "fan")
		e, err := w.Explain(t.Context(), "alice")
		w.must(err)
		if e.Friends != 1 || e.Followers != 1 || e.Streams != 0 || e.Devices[0].State != "grace" {
			t.Errorf("got %+v, want one friend, one follower, no stream and a device in its grace", e)
		}
		now := time.Now()
		want := []time.Time{now.Add(w.settings.ReconnectGrace), now.Add(time.Hour), now.Add(w.settings.OfflineRetention)}
		for i, d := range e.Deadlines {
			if off := d.At.Sub(want[i]); off < 0 || off > time.Millisecond {
				t.Errorf("deadline %d (%s) is at %v, want %v", i, d.What, d.At, want[i])
			}
		}
		_, err = w.Explain(t.Context(), "nobody")
		wantCode(t, err, CodeUnknownUser, "nobody is registered under that name")
	})
}
