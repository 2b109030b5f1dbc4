package presence

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// say sets an entry of alice.
func (w *world) say(e Entry) {
	w.t.Helper()
	_, err := w.SetEntry(w.t.Context(), "alice", e)
	w.must(err)
}

// hour returns an entry of a named source that lasts an hour.
func hour(source, text string, a Availability, priority int) Entry {
	return Entry{Source: source, CustomStatus: text, Availability: a, Priority: &priority, ExpiresIn: time.Hour}
}

func (w *world) idle(device string, idle bool) {
	w.t.Helper()
	w.must(w.SetIdle(w.t.Context(), "alice", device, idle))
}

func (w *world) hide(invisible bool) {
	w.t.Helper()
	w.must(w.SetVisibility(w.t.Context(), "alice", invisible))
}

func (w *world) logout(user, device string) {
	w.t.Helper()
	w.must(w.Logout(w.t.Context(), user, device))
}

// looks puts a status into words, such as "OFFLINE lunch away, last seen 00:01".
func looks(s Status) string {
	text := strings.Join(strings.Fields(s.StatusType.String()+" "+s.CustomStatus+" "+s.Availability.String()), " ")
	if !s.LastSeenAt.IsZero() {
		text += ", last seen " + s.LastSeenAt.Format("15:04")
	}
	return text
}

// TestWhatIsShown is the function from entries, devices and time to the status, as a
// table. A case begins at 00:00:00, when alice is registered. own is what she sees at its
// end, and public what others see, if that differs.
func TestWhatIsShown(t *testing.T) {
	for _, c := range shownCases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := open(t, func(s *Settings) { s.LastSeen = true })
				w.register("alice")
				c.act(w)
				for range 2 { // the second time after a restart, within which nothing falls due
					own, _ := w.Get("alice")
					public := w.seenByOthers("alice")
					if got := looks(own[0]); got != c.own {
						t.Errorf("she sees %q, want %q", got, c.own)
					}
					want := c.public
					if want == "" {
						want = c.own
					}
					if got := looks(public[0]); got != want {
						t.Errorf("others see %q, want %q", got, want)
					}
					w.restart(0)
				}
			})
		})
	}
}

const ttl = 5 * time.Minute // Settings.CustomStatusTTL

var shownCases = []struct {
	name        string
	act         func(w *world)
	own, public string
}{
	{"nothing", func(w *world) {}, "UNLOGINED", ""},
	{"the higher priority wins, set first", func(w *world) {
		w.say(hour("call", "call", Available, 11))
		w.say(hour("calendar", "calendar", Available, 10))
	}, "UNLOGINED call", ""},
	{"the higher priority wins, set last", func(w *world) {
		w.say(hour("call", "call", Available, 9))
		w.say(hour("calendar", "calendar", Available, 10))
	}, "UNLOGINED calendar", ""},
	{"a named entry is above the own one", func(w *world) {
		w.say(Entry{Source: "call", CustomStatus: "call", ExpiresIn: time.Hour})
		w.say(Entry{CustomStatus: "own"})
	}, "UNLOGINED call", ""},
	{"unless the own one has a higher priority", func(w *world) {
		w.say(Entry{CustomStatus: "own", Priority: new(11)})
		w.say(Entry{Source: "call", CustomStatus: "call", ExpiresIn: time.Hour})
	}, "UNLOGINED own", ""},
	{"of equals, the one set last", func(w *world) {
		w.say(hour("b", "b", Available, 0))
		w.say(hour("a", "a", Available, 0))
		w.say(Entry{CustomStatus: "own"})
	}, "UNLOGINED own", ""},
	{"of equals in one batch, the one set last", func(w *world) {
		e := func(source, text string) operation {
			return &setEntry{UserID: "alice", Entry: entry{Source: source, Text: text}, ExpiresIn: time.Hour}
		}
		w.together(e("c", "c"), e("b", "b"), e("d", "d"), e("a", "a"))
	}, "UNLOGINED a", ""},
	{"exactly as it is, it keeps its place", func(w *world) {
		at := w.Now().Add(time.Hour).Truncate(time.Second)
		w.say(Entry{Source: "a", CustomStatus: "a", ExpiresAt: at})
		w.say(Entry{Source: "b", CustomStatus: "b", ExpiresAt: at})
		w.pass(time.Minute)
		w.say(Entry{Source: "a", CustomStatus: "a", ExpiresAt: at})
	}, "UNLOGINED b", ""},
	{"with another expiry, it takes the last place", func(w *world) {
		at := w.Now().Add(time.Hour).Truncate(time.Second)
		w.say(Entry{Source: "a", CustomStatus: "a", ExpiresAt: at})
		w.say(Entry{Source: "b", CustomStatus: "b", ExpiresAt: at})
		w.say(Entry{Source: "a", CustomStatus: "a", ExpiresAt: at.Add(time.Second)})
	}, "UNLOGINED a", ""},
	{"an entry without a text leaves the text to others", func(w *world) {
		w.say(Entry{CustomStatus: "own"})
		w.say(hour("call", "", Busy, 100))
	}, "UNLOGINED own busy", ""},
	{"the strongest availability, whatever the priorities are", func(w *world) {
		w.say(hour("a", "a", DND, -100))
		w.say(hour("b", "b", Busy, 100))
		w.say(Entry{CustomStatus: "own", Availability: Away})
	}, "UNLOGINED b dnd", ""},
	{"what was below is shown again", func(w *world) {
		w.web("alice", "tab")
		w.say(Entry{CustomStatus: "own"})
		w.say(hour("calendar", "calendar", Busy, 5))
		w.say(hour("call", "call", DND, 10))
		w.say(Entry{Source: "calendar"})
		w.say(Entry{Source: "call"})
	}, "ONLINE own", ""},
	{"a waiting entry counts for nothing", func(w *world) {
		w.say(Entry{CustomStatus: "own"})
		w.say(Entry{Source: "call", CustomStatus: "call", Availability: DND, StartsAt: w.Now().Add(time.Minute), ExpiresIn: time.Hour})
		w.pass(time.Minute - time.Millisecond)
	}, "UNLOGINED own", ""},
	{"it begins", func(w *world) {
		w.say(Entry{CustomStatus: "own"})
		w.say(Entry{Source: "call", CustomStatus: "call", Availability: DND, StartsAt: w.Now().Add(time.Minute), ExpiresIn: time.Hour})
		w.pass(time.Minute)
	}, "UNLOGINED call dnd", ""},
	{"its span counts from its beginning", func(w *world) {
		w.say(Entry{Source: "call", CustomStatus: "call", StartsAt: w.Now().Add(time.Minute), ExpiresIn: time.Hour})
		w.pass(time.Hour + time.Minute - time.Millisecond)
	}, "UNLOGINED call", ""},
	{"and it ends", func(w *world) {
		w.say(Entry{Source: "call", CustomStatus: "call", StartsAt: w.Now().Add(time.Minute), ExpiresIn: time.Hour})
		w.pass(time.Hour + time.Minute)
	}, "UNLOGINED", ""},
	{"a waiting entry replaces the one of its source", func(w *world) {
		w.say(hour("call", "now", Available, 10))
		w.say(Entry{Source: "call", CustomStatus: "later", StartsAt: w.Now().Add(time.Minute), ExpiresIn: time.Hour})
	}, "UNLOGINED", ""},

	{"the own entry ends a time after it was set", func(w *world) {
		w.say(Entry{CustomStatus: "own"})
		w.pass(ttl + time.Millisecond)
	}, "UNLOGINED", ""},
	{"not before", func(w *world) {
		w.say(Entry{CustomStatus: "own"})
		w.pass(ttl - time.Millisecond)
	}, "UNLOGINED own", ""},
	{"an expiry of its own counts alone", func(w *world) {
		w.say(Entry{CustomStatus: "own", ExpiresIn: time.Hour})
		w.pass(ttl + time.Millisecond)
	}, "UNLOGINED own", ""},
	{"it counts from the logout", func(w *world) {
		w.web("alice", "tab")
		w.say(Entry{CustomStatus: "own"})
		w.pass(time.Hour)
		w.logout("alice", "")
		w.pass(ttl - time.Millisecond)
	}, "UNLOGINED own, last seen 01:00", ""},
	{"and ends", func(w *world) {
		w.web("alice", "tab")
		w.say(Entry{CustomStatus: "own"})
		w.pass(time.Hour)
		w.logout("alice", "")
		w.pass(ttl + time.Millisecond)
	}, "UNLOGINED, last seen 01:00", ""},
	{"it counts from its beginning", func(w *world) {
		w.say(Entry{CustomStatus: "own", StartsAt: w.Now().Add(time.Hour)})
		w.pass(time.Hour + ttl - time.Millisecond)
	}, "UNLOGINED own", ""},
	{"and ends after its beginning", func(w *world) {
		w.say(Entry{CustomStatus: "own", StartsAt: w.Now().Add(time.Hour)})
		w.pass(time.Hour + ttl + time.Millisecond)
	}, "UNLOGINED", ""},
	{"coming back cancels it", func(w *world) {
		w.say(Entry{CustomStatus: "own"})
		w.pass(ttl - time.Second)
		w.web("alice", "tab")
		w.pass(time.Hour)
	}, "ONLINE own", ""},
	{"it counts from becoming invisible", func(w *world) {
		w.web("alice", "tab")
		w.say(Entry{CustomStatus: "own"})
		w.pass(time.Hour)
		w.hide(true)
		w.pass(ttl - time.Millisecond)
	}, "ONLINE own", "UNLOGINED own, last seen 01:00"},
	{"and ends for the user too", func(w *world) {
		w.web("alice", "tab")
		w.say(Entry{CustomStatus: "own"})
		w.pass(time.Hour)
		w.hide(true)
		w.pass(ttl + time.Millisecond)
	}, "ONLINE", "UNLOGINED, last seen 01:00"},
	{"coming back while invisible doesn't cancel it", func(w *world) {
		w.hide(true)
		w.say(Entry{CustomStatus: "own"})
		w.web("alice", "tab")
		w.pass(ttl + time.Millisecond)
	}, "ONLINE", "UNLOGINED"},
	{"a named entry outlasts the logout", func(w *world) {
		w.web("alice", "tab")
		w.say(hour("call", "call", Busy, 0))
		w.logout("alice", "")
		w.pass(ttl + time.Millisecond)
	}, "UNLOGINED call busy, last seen 00:00", ""},

	{"away with the only device", func(w *world) {
		w.web("alice", "tab")
		w.idle("tab", true)
	}, "ONLINE away", ""},
	{"back", func(w *world) {
		w.web("alice", "tab")
		w.idle("tab", true)
		w.idle("tab", false)
	}, "ONLINE", ""},
	{"not while one of the devices is used", func(w *world) {
		w.web("alice", "tab")
		w.ios("alice", "phone")
		w.idle("tab", true)
	}, "ONLINE", ""},
	{"away once all are idle", func(w *world) {
		w.web("alice", "tab")
		w.ios("alice", "phone")
		w.idle("tab", true)
		w.idle("phone", true)
	}, "ONLINE away", ""},
	{"a device in its grace counts as connected", func(w *world) {
		w.web("alice", "tab")
		w.idle("tab", true)
		w.ios("alice", "phone").Close()
		w.pass(w.settings.ReconnectGrace - time.Millisecond)
	}, "ONLINE", ""},
	{"until it is over, even if it is retained", func(w *world) {
		w.web("alice", "tab")
		w.idle("tab", true)
		w.ios("alice", "phone").Close()
		w.pass(w.settings.ReconnectGrace)
	}, "ONLINE away", ""},
	{"away within the grace of an idle device", func(w *world) {
		s := w.web("alice", "tab")
		w.idle("tab", true)
		s.Close()
		w.pass(time.Second)
	}, "ONLINE away", ""},
	{"it comes back idle within its grace", func(w *world) {
		s := w.web("alice", "tab")
		w.idle("tab", true)
		s.Close()
		w.pass(time.Second)
		s.resume()
	}, "ONLINE away", ""},
	{"and not idle after it", func(w *world) {
		s := w.ios("alice", "phone")
		w.idle("phone", true)
		s.Close()
		w.pass(time.Minute)
		s.resume()
	}, "ONLINE", ""},
	{"retained is not away", func(w *world) {
		s := w.ios("alice", "phone")
		w.idle("phone", true)
		s.Close()
		w.pass(time.Minute)
	}, "OFFLINE, last seen 00:00", ""},
	{"what is said is stronger than away", func(w *world) {
		w.web("alice", "tab")
		w.idle("tab", true)
		w.say(hour("call", "", Busy, 0))
	}, "ONLINE busy", ""},

	{"others don't see the devices of an invisible user", func(w *world) {
		w.web("alice", "tab")
		w.idle("tab", true)
		w.hide(true)
	}, "ONLINE away", "UNLOGINED, last seen 00:00"},
	{"retained devices neither", func(w *world) {
		w.ios("alice", "phone").Close()
		w.pass(time.Minute)
		w.hide(true)
	}, "OFFLINE, last seen 00:00", "UNLOGINED, last seen 00:00"},
	{"what is said, they see", func(w *world) {
		w.web("alice", "tab")
		w.hide(true)
		w.say(hour("call", "call", DND, 0))
	}, "ONLINE call dnd", "UNLOGINED call dnd, last seen 00:00"},
	{"visible again, as the devices are", func(w *world) {
		w.web("alice", "tab")
		w.hide(true)
		w.idle("tab", true)
		w.hide(false)
	}, "ONLINE away", ""},
	{"visible again in grace, which others don't see", func(w *world) {
		s := w.web("alice", "tab")
		w.hide(true)
		s.Close()
		w.pass(time.Second)
		w.hide(false)
	}, "ONLINE", "UNLOGINED, last seen 00:00"},
	{"until the device connects, not idle", func(w *world) {
		s := w.web("alice", "tab")
		w.hide(true)
		w.idle("tab", true)
		s.Close()
		w.pass(time.Second)
		w.hide(false)
		s.resume()
	}, "ONLINE", ""},
	{"a hidden device takes no room", func(w *world) {
		w.configure(func(s *Settings) { s.DevicesPerPlatform = 2 })
		w.hide(true)
		first := w.ios("alice", "1")
		w.ios("alice", "2").Close()
		w.pass(time.Second)
		w.hide(false)
		first.Close()
		w.pass(time.Minute)
		w.ios("alice", "3")
		w.logout("alice", "3")
	}, "OFFLINE, last seen 00:01", ""},

	{"last seen is the end of the grace", func(w *world) {
		w.pass(50 * time.Second)
		w.web("alice", "tab").Close()
		w.pass(time.Hour)
	}, "UNLOGINED, last seen 00:01", ""},
	{"rounded down", func(w *world) {
		w.pass(50*time.Second - time.Millisecond)
		w.web("alice", "tab").Close()
		w.pass(time.Hour)
	}, "UNLOGINED, last seen 00:00", ""},
	{"at once with the logout", func(w *world) {
		s := w.web("alice", "tab")
		w.pass(59 * time.Second)
		s.Close()
		w.pass(time.Second)
		w.logout("alice", "tab")
	}, "UNLOGINED, last seen 00:01", ""},
	{"not before the last device is gone", func(w *world) {
		w.web("alice", "tab")
		w.ios("alice", "phone")
		w.pass(time.Minute)
		w.logout("alice", "tab")
		w.pass(time.Minute)
		w.logout("alice", "phone")
	}, "UNLOGINED, last seen 00:02", ""},
	{"the kick", func(w *world) {
		w.web("alice", "tab")
		w.pass(time.Minute)
		w.must(w.Kick(w.t.Context(), "alice"))
	}, "UNLOGINED, last seen 00:01", ""},
	{"a drop that is stored late", func(w *world) {
		s := w.web("alice", "tab")
		at := w.Now()
		w.pass(10 * time.Minute)
		ended := endedStream{User: s.user.id, DeviceID: "tab", Stream: s.stream, Age: s.svc.clock.now() - fromTime(at)}
		w.must(w.writer.do(w.t.Context(), &drop{Ended: []endedStream{ended}}))
	}, "UNLOGINED, last seen 00:00", ""},
	{"a restart that nobody comes back after", func(w *world) {
		w.web("alice", "tab")
		w.pass(time.Minute)
		w.restart(time.Minute)
		w.pass(time.Hour)
	}, "UNLOGINED, last seen 00:02", ""},
	{"never, if never online in public", func(w *world) {
		w.hide(true)
		w.web("alice", "tab")
		w.pass(time.Minute)
		w.logout("alice", "")
	}, "UNLOGINED, last seen 00:01", "UNLOGINED"},
	{"time spent invisible never counts, afterwards either", func(w *world) {
		s := w.web("alice", "tab")
		w.pass(time.Minute)
		w.hide(true)
		w.pass(time.Hour)
		s.Close()
		w.pass(time.Hour)
		w.hide(false)
	}, "UNLOGINED, last seen 01:01", "UNLOGINED, last seen 00:01"},
}
