package presence

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// explained returns an explanation as lines. A test starts at 00:00:00.
func (w *world) explained(userID string) string {
	w.t.Helper()
	e, err := w.Explain(w.t.Context(), userID)
	w.must(err)
	lines := []string{"why: " + e.Why, "next: " + e.Next, "audience: " + e.Audience}
	for _, d := range e.Devices {
		lines = append(lines, fmt.Sprintf("device: %s %s %s since %s, logged in %s", d.DeviceID, d.Platform, d.State,
			d.Since.Format(time.TimeOnly), d.LoginAt.Format(time.TimeOnly)))
	}
	for _, d := range e.Deadlines {
		lines = append(lines, fmt.Sprintf("deadline: %s %s", d.At.Format(time.RFC3339), d.What))
	}
	for _, r := range e.Refused {
		lines = append(lines, fmt.Sprintf("refused: %q (%s) until %s", r.DeviceID, r.Type, r.Until.Format(time.TimeOnly)))
	}
	if !e.KickedAt.IsZero() {
		lines = append(lines, "kicked: "+e.KickedAt.Format(time.TimeOnly))
	}
	return strings.ReplaceAll(strings.Join(lines, "\n"), "2000-01-01T", "")
}

// TestExplain puts alice into each situation that an admin may ask about.
func TestExplain(t *testing.T) {
	for _, c := range situations {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := open(t)
				w.register("alice")
				w.pass(time.Second)
				c.act(w)
				if got := w.explained("alice"); got != strings.TrimSpace(c.want) {
					t.Errorf("got\n%s\nwant\n%s", got, strings.TrimSpace(c.want))
				}
			})
		})
	}
}

var situations = []struct {
	name string
	act  func(w *world)
	want string
}{
	{"never logged in", func(w *world) {}, `
why: UNLOGINED because no device is logged in: there never was one, or each was logged out or kicked, or has been disconnected for too long
next: UNLOGINED until a device logs in
audience: only the user's own streams, because nobody subscribes to the user or has them in their friend list
`},
	{"online", func(w *world) {
		w.pass(time.Minute)
		w.ios("alice", "phone")
	}, `
why: ONLINE because 1 device is connected; the last connected at 00:01:01Z
next: ONLINE while a device is connected; after the last one disconnects, for 10s more (reconnect_grace), then OFFLINE for 168h (offline_retention), then UNLOGINED
audience: only the user's own streams, because nobody subscribes to the user or has them in their friend list
device: phone ios connected since 00:01:01, logged in 00:01:01
`},
	{"in grace", func(w *world) {
		w.web("alice", "tab").Close()
		w.pass(time.Second)
	}, `
why: ONLINE because 1 device disconnected a moment ago and may reconnect; the last disconnected at 00:00:01Z
next: UNLOGINED at 00:00:11Z, unless a device logs in before
audience: only the user's own streams, because nobody subscribes to the user or has them in their friend list
device: tab web grace since 00:00:01, logged in 00:00:01
deadline: 00:00:11Z device tab no longer counts as connected, unless it reconnects before: the user is then UNLOGINED
`},
	{"in grace, to be retained", func(w *world) {
		w.ios("alice", "phone").Close()
		w.pass(time.Second)
		w.set("alice", "x", 0)
	}, `
why: ONLINE because 1 device disconnected a moment ago and may reconnect; the last disconnected at 00:00:01Z
next: OFFLINE at 00:00:11Z, unless a device logs in before
audience: only the user's own streams, because nobody subscribes to the user or has them in their friend list
device: phone ios grace since 00:00:01, logged in 00:00:01
deadline: 00:00:11Z device phone no longer counts as connected, unless it reconnects before: the user is then OFFLINE
deadline: 2000-01-08T00:00:01Z device phone is forgotten, unless it reconnects before: the user is then UNLOGINED
deadline: 2000-01-08T00:05:01Z the user's own entry ends, unless a device logs in before: the user is then UNLOGINED for 5m (custom_status_ttl)
`},
	{"invisible", func(w *world) {
		w.web("alice", "tab")
		w.set("alice", "x", 0)
		w.hide(true)
	}, `
why: ONLINE because 1 device is connected; the last connected at 00:00:01Z
next: ONLINE while a device is connected; after the last one disconnects, for 10s more (reconnect_grace), then UNLOGINED
audience: only the user's own streams, because nobody subscribes to the user or has them in their friend list
device: tab web connected since 00:00:01, logged in 00:00:01
deadline: 00:05:01Z the user's own entry ends, unless the user becomes visible before, with a device that is connected: to others the user is then UNLOGINED for 5m (custom_status_ttl)
`},
	{"retained", func(w *world) {
		w.ios("alice", "phone").Close()
		w.set("alice", "x", 30*24*time.Hour)
		w.pass(time.Minute)
	}, `
why: OFFLINE because no device is connected, and 1 native device disconnected without logging out; the last disconnected at 00:00:01Z
next: UNLOGINED at 2000-01-08T00:00:01Z, unless a device logs in before
audience: only the user's own streams, because nobody subscribes to the user or has them in their friend list
device: phone ios retained since 00:00:01, logged in 00:00:01
deadline: 2000-01-08T00:00:01Z device phone is forgotten, unless it reconnects before: the user is then UNLOGINED
deadline: 2000-01-31T00:00:01Z the user's own entry expires
`},
	{"two retained", func(w *world) {
		w.ios("alice", "phone").Close()
		w.pass(time.Minute)
		w.connect(Device{UserID: "alice", ID: "desk", Platform: Linux}).Close()
		w.pass(time.Minute)
	}, `
why: OFFLINE because no device is connected, and 2 native devices disconnected without logging out; the last disconnected at 00:01:01Z
next: UNLOGINED at 2000-01-08T00:01:01Z, unless a device logs in before
audience: only the user's own streams, because nobody subscribes to the user or has them in their friend list
device: phone ios retained since 00:00:01, logged in 00:00:01
device: desk linux retained since 00:01:01, logged in 00:01:01
deadline: 2000-01-08T00:00:01Z device phone is forgotten, unless it reconnects before: the user is then OFFLINE
deadline: 2000-01-08T00:01:01Z device desk is forgotten, unless it reconnects before: the user is then UNLOGINED
`},
	{"online, one retained", func(w *world) {
		w.ios("alice", "phone").Close()
		w.pass(time.Minute)
		w.web("alice", "tab")
		w.web("alice", "tab2")
	}, `
why: ONLINE because 2 devices are connected; the last connected at 00:01:01Z
next: ONLINE while a device is connected; after the last one disconnects, for 10s more (reconnect_grace), then OFFLINE until 2000-01-08T00:00:01Z, then UNLOGINED
audience: only the user's own streams, because nobody subscribes to the user or has them in their friend list
device: phone ios retained since 00:00:01, logged in 00:00:01
device: tab web connected since 00:01:01, logged in 00:01:01
device: tab2 web connected since 00:01:01, logged in 00:01:01
deadline: 2000-01-08T00:00:01Z device phone is forgotten, unless it reconnects before: the user is then ONLINE
`},
	{"online on the web", func(w *world) {
		w.set("alice", "x", 0)
		w.web("alice", "tab")
	}, `
why: ONLINE because 1 device is connected; the last connected at 00:00:01Z
next: ONLINE while a device is connected; after the last one disconnects, for 10s more (reconnect_grace), then UNLOGINED
audience: only the user's own streams, because nobody subscribes to the user or has them in their friend list
device: tab web connected since 00:00:01, logged in 00:00:01
`},
	{"retained, and in grace", func(w *world) {
		w.ios("alice", "phone").Close()
		w.pass(time.Minute)
		w.web("alice", "tab").Close()
		w.pass(time.Second)
	}, `
why: ONLINE because 1 device disconnected a moment ago and may reconnect; the last disconnected at 00:01:01Z
next: OFFLINE at 00:01:11Z, unless a device logs in before
audience: only the user's own streams, because nobody subscribes to the user or has them in their friend list
device: phone ios retained since 00:00:01, logged in 00:00:01
device: tab web grace since 00:01:01, logged in 00:01:01
deadline: 00:01:11Z device tab no longer counts as connected, unless it reconnects before: the user is then OFFLINE
deadline: 2000-01-08T00:00:01Z device phone is forgotten, unless it reconnects before: the user is then UNLOGINED
`},
	{"logged out twice", func(w *world) {
		w.set("alice", "x", time.Hour)
		for range 2 {
			w.pass(time.Second)
			w.web("alice", "tab")
			w.web("bob", "tab")
			w.must(w.Logout(w.t.Context(), "alice", "tab"))
			w.must(w.Logout(w.t.Context(), "bob", "tab"))
		}
	}, `
why: UNLOGINED because no device is logged in: there never was one, or each was logged out or kicked, or has been disconnected for too long
next: UNLOGINED until a device logs in
audience: only the user's own streams, because nobody subscribes to the user or has them in their friend list
deadline: 01:00:01Z the user's own entry expires
refused: "tab" (logout) until 00:01:03
`},
	{"custom status that expires first", func(w *world) {
		w.set("alice", "x", time.Minute)
	}, `
why: UNLOGINED because no device is logged in: there never was one, or each was logged out or kicked, or has been disconnected for too long
next: UNLOGINED until a device logs in
audience: only the user's own streams, because nobody subscribes to the user or has them in their friend list
deadline: 00:01:01Z the user's own entry expires
`},
	{"restarted", func(w *world) {
		w.web("alice", "tab")
		w.ios("alice", "phone")
		w.restart(time.Minute)
		w.pass(time.Second)
	}, `
why: ONLINE because 2 devices were connected when the server stopped, and may reconnect; the server started again at 00:01:01Z
next: OFFLINE at 00:01:31Z, unless a device logs in before
audience: only the user's own streams, because nobody subscribes to the user or has them in their friend list
device: tab web grace since 00:01:01, logged in 00:00:01
device: phone ios grace since 00:01:01, logged in 00:00:01
deadline: 00:01:31Z device tab no longer counts as connected, unless it reconnects before: the user is then OFFLINE
deadline: 00:01:31Z device phone no longer counts as connected, unless it reconnects before: the user is then OFFLINE
deadline: 2000-01-08T00:01:01Z device phone is forgotten, unless it reconnects before: the user is then UNLOGINED
`},
	{"kicked", func(w *world) {
		w.web("alice", "tab")
		w.must(w.Kick(w.t.Context(), "alice"))
		w.pass(time.Second)
	}, `
why: UNLOGINED because no device is logged in: there never was one, or each was logged out or kicked, or has been disconnected for too long; the last kick, rename or deletion, at 00:00:01Z, also revoked all tokens issued before
next: UNLOGINED until a device logs in
audience: only the user's own streams, because nobody subscribes to the user or has them in their friend list
refused: "tab" (REST_API_Kick) until 00:01:01
refused: "" (REST_API_Kick) until 00:01:01
kicked: 00:00:01
`},
	{"kicked long ago", func(w *world) {
		w.web("alice", "tab")
		w.must(w.Kick(w.t.Context(), "alice"))
		w.pass(time.Hour)
	}, `
why: UNLOGINED because no device is logged in: there never was one, or each was logged out or kicked, or has been disconnected for too long; the last kick, rename or deletion, at 00:00:01Z, also revoked all tokens issued before
next: UNLOGINED until a device logs in
audience: only the user's own streams, because nobody subscribes to the user or has them in their friend list
kicked: 00:00:01
`},
	{"many devices", func(w *world) {
		w.web("alice", "tab")
		w.ios("alice", "phone").Close()
		w.pass(time.Minute)
		w.connect(Device{UserID: "alice", ID: "desk", Platform: Linux, ExpiresAt: w.Now().Add(time.Hour)})
		w.web("alice", "tab2").Close()
		w.pass(time.Second)
	}, `
why: ONLINE because 2 devices are connected; the last connected at 00:01:01Z
next: ONLINE while a device is connected; after the last one disconnects, for 10s more (reconnect_grace), then OFFLINE for 168h (offline_retention), then UNLOGINED
audience: only the user's own streams, because nobody subscribes to the user or has them in their friend list
device: tab web connected since 00:00:01, logged in 00:00:01
device: phone ios retained since 00:00:01, logged in 00:00:01
device: desk linux connected since 00:01:01, logged in 00:01:01
device: tab2 web grace since 00:01:01, logged in 00:01:01
deadline: 00:01:11Z device tab2 no longer counts as connected, unless it reconnects before: the user is then ONLINE
deadline: 01:01:01Z the token of device desk expires, which ends its stream
deadline: 2000-01-08T00:00:01Z device phone is forgotten, unless it reconnects before: the user is then ONLINE
`},
	{"friend notifications are off", func(w *world) {
		w.register("bob")
		w.befriend("bob", "alice")
		w.configure(func(s *Settings) { s.FriendNotifications = false })
	}, `
why: UNLOGINED because no device is logged in: there never was one, or each was logged out or kicked, or has been disconnected for too long
next: UNLOGINED until a device logs in
audience: the user's own streams, and those of the users who subscribe to the user; not those of friends, because the switch friend_notifications is off
`},
	{"user status is off", func(w *world) {
		w.register("bob")
		w.befriend("bob", "alice")
		w.configure(func(s *Settings) { s.UserStatus = false })
	}, `
why: UNLOGINED because no device is logged in: there never was one, or each was logged out or kicked, or has been disconnected for too long
next: UNLOGINED until a device logs in
audience: only the user's own streams, because the switch user_status is off
`},
	{"followed", func(w *world) {
		w.register("bob", "carol")
		w.befriend("bob", "alice")
		w.subscribe("carol", "alice")
	}, `
why: UNLOGINED because no device is logged in: there never was one, or each was logged out or kicked, or has been disconnected for too long
next: UNLOGINED until a device logs in
audience: the user's own streams, and those of the 2 followers, when connected
`},
	{"the database can't be written", func(w *world) {
		w.web("alice", "tab").Close()
		w.pass(time.Second)
		w.writable(false)
		w.pass(time.Minute)
	}, `
why: still ONLINE, although UNLOGINED is due: the change is being written, and if this persists, /readyz reports the reason
next: UNLOGINED, as soon as the change is written
audience: only the user's own streams, because nobody subscribes to the user or has them in their friend list
device: tab web gone since 00:00:01, logged in 00:00:01
`},
}

// TestExplainNamesFeeds checks that the audience names feeds, because they receive
// changes whatever the switches are set to.
func TestExplainNamesFeeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, func(s *Settings) { s.UserStatus = false })
		w.register("alice")
		w.follow(FromNow)
		e, err := w.Explain(t.Context(), "alice")
		w.must(err)
		if want := "is off; also 1 feed of the server side, whatever the switches are set to"; !strings.HasSuffix(e.Audience, want) {
			t.Errorf("%q, want it to end with %q", e.Audience, want)
		}
	})
}
