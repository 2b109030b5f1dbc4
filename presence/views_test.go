package presence

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Promise 2 is also true of the public view, unless the user is invisible.
func TestPromise2ToOthersUnlessInvisible(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		tab, bob := w.web("alice", "tab"), w.web("bob", "tab")
		w.subscribe("bob", "alice")
		w.hide(true)
		bob.wants("alice UNLOGINED")
		tab.wants("alice ONLINE")
		w.pass(time.Second)
		w.idle("tab", true)
		w.web("alice", "tab2")
		bob.quiet("an invisible user does nothing for others")
		w.is("alice ONLINE", "the server side sees an invisible user as she is")
		w.hide(false)
		bob.wants("alice ONLINE")
	})
}

// Promise 7 is also true of a user who becomes invisible while the news waits.
func TestPromise7NothingAfterUnsubscribingFromTheInvisible(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.web("alice", "tab")
		bob := w.web("bob", "tab")
		w.subscribe("bob", "alice")
		w.hide(true)
		w.unsubscribe("bob", "alice")
		w.hide(false)
		bob.quiet("bob has unsubscribed")
	})
}

// Promise 8 is also true of the beginning and the end of an entry, and after the server
// was down meanwhile. An entry that was set in the meantime stays.
func TestPromise8EntriesBeginAndEndOnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, func(s *Settings) { s.Keepalive = 24 * time.Hour })
		alice := w.web("alice", "tab")
		at := w.Now().Add(time.Hour).Truncate(time.Second)
		w.say(Entry{Source: "call", CustomStatus: "call", StartsAt: at, ExpiresAt: at.Add(time.Hour)})
		for _, want := range []string{"alice ONLINE call", "alice ONLINE"} {
			w.pass(time.Hour - time.Second)
			alice.quiet("nothing happens early")
			w.pass(time.Second)
			alice.wants(want)
		}
		at = w.Now().Add(time.Minute).Truncate(time.Second)
		w.say(Entry{Source: "call", CustomStatus: "old", ExpiresAt: at})
		w.say(Entry{Source: "later", CustomStatus: "later", StartsAt: at.Add(time.Hour), ExpiresAt: at.Add(2 * time.Hour)})
		w.say(Entry{Source: "call", CustomStatus: "new", ExpiresAt: at.Add(time.Hour)})
		w.pass(2 * time.Minute)
		w.is("alice ONLINE new", "a timer never ends an entry that is newer")
		w.restart(time.Hour)
		w.is("alice ONLINE later", "what became due while the server was down is applied before the first request")
	})
}

// TestOrderIsThatOfThePublicView: an event is in order of the versions that its reader
// sees. The user's own view has other versions.
func TestOrderIsThatOfThePublicView(t *testing.T) {
	for name, act := range map[string]func(w *world){
		"the own version is higher": func(w *world) {
			w.hide(true)
			w.configure(func(s *Settings) { s.FriendNotifications = false })
			w.say(Entry{CustomStatus: "said"})
			w.set("carol", "later", 0)
			w.idle("tab", true)
			w.configure(func(s *Settings) { s.FriendNotifications = true })
			w.is("alice ONLINE said", "she acts on")
		},
		"the own version is lower": func(w *world) {
			w.hide(true)
			w.must(w.writer.do(w.t.Context(), &setEntry{UserID: "alice", Entry: entry{Text: "said"}}))
			w.model.byName["alice"].sessions()[0].Close()
			synctest.Wait()
			w.hide(false)
			w.set("carol", "earlier", 0)
			w.web("alice", "tab")
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := open(t)
				w.register("carol")
				w.web("alice", "tab")
				bob := w.web("bob", "tab")
				w.subscribe("bob", "alice", "carol")
				w.befriend("bob", "alice")
				w.pass(time.Second)
				act(w)
				var last int64
				for _, s := range bob.next().Statuses {
					if s.Version < last {
						t.Errorf("version %d of %s comes after %d", s.Version, s.UserID, last)
					}
					last = s.Version
				}
			})
		})
	}
}

// TestEntriesAndInvisibilityStay with their user across a rename, a kill -9 and a
// restored backup, and are gone after a deletion.
func TestEntriesAndInvisibilityStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.ios("alice", "phone")
		w.idle("phone", true)
		w.say(Entry{CustomStatus: "own"})
		w.say(hour("call", "call", Busy, 5))
		w.say(Entry{Source: "later", CustomStatus: "later", StartsAt: w.Now().Add(30 * time.Minute), ExpiresIn: time.Hour})
		w.hide(true)
		before, err := w.Self("alice")
		w.must(err)

		killed := w.killed()
		killed.start()
		killed.isSelf("alice", before, "connected")
		w.must(killed.Close())
		backup := &world{t: t, path: t.TempDir() + "/backup.db", settings: w.settings}
		w.must(Backup(t.Context(), w.path, backup.path))
		backup.start()
		backup.isSelf("alice", before, "connected")
		w.must(backup.Close())

		w.rename("alice", "alicia")
		w.isSelf("alicia", before, "devices")
		w.restart(time.Second)
		w.isSelf("alicia", before, "devices")
		w.remove("alicia")
		w.register("alicia")
		after, err := w.Self("alicia")
		w.must(err)
		if len(after.Entries) != 0 || after.Invisible || w.count("SELECT count(*) FROM entries") != 0 {
			t.Errorf("a new life begins with %+v", after)
		}
	})
}

// isSelf compares what Self returns with want, except for what changes: whether the
// devices are "connected", or the "devices" at all.
func (w *world) isSelf(user string, want Self, changes string) {
	w.t.Helper()
	got, err := w.Self(user)
	w.must(err)
	if fmt.Sprint(got.Entries) != fmt.Sprint(want.Entries) || got.Invisible != want.Invisible {
		w.t.Errorf("Self returns %+v, want %+v", got, want)
	}
	for i, d := range want.Devices {
		if changes == "connected" && (i >= len(got.Devices) || got.Devices[i].DeviceID != d.DeviceID || got.Devices[i].Idle != d.Idle) {
			w.t.Errorf("the devices are %+v, want %+v", got.Devices, want.Devices)
		}
	}
}

// TestIdleStormConflates: when 1,000 users come back from lunch and leave again, a slow
// reader gets each of them once, in one round.
func TestIdleStormConflates(t *testing.T) {
	const users = 1000
	w := open(t, func(s *Settings) { s.Subscriptions = users })
	targets := make([]string, users)
	var logins []operation
	for i := range targets {
		targets[i] = fmt.Sprint("user", i)
		op, _ := w.login(Device{UserID: targets[i], ID: "tab"})
		logins = append(logins, op)
	}
	for _, err := range w.together(logins...) {
		w.must(err)
	}
	reader := w.web("reader", "tab")
	w.subscribe("reader", targets...)
	for range 5 {
		for _, idle := range []bool{true, false} {
			var ops []operation
			for _, user := range targets {
				ops = append(ops, &setIdle{user, "tab", idle})
			}
			for _, err := range w.together(ops...) {
				w.must(err)
			}
		}
	}
	seen, events := 0, 0
	for ; seen < users; events++ {
		for _, s := range reader.next().Statuses {
			seen++
			if s.Availability != Available {
				t.Errorf("%s is %s, want the last status", s.UserID, s.Availability)
			}
		}
	}
	if seen != users || events > 5 {
		t.Errorf("10,000 changes of %d users are %d statuses in %d events, want one of each user, in rounds of at most 32 KiB", users, seen, events)
	}
	reader.quiet("all has been sent")
}

// TestExplainWhatIsSaid: explain says which entry won and why, what each entry and device
// adds, and what others see instead.
func TestExplainWhatIsSaid(t *testing.T) {
	for _, c := range []struct {
		name string
		act  func(w *world)
		want string
	}{
		{"nothing", func(w *world) {}, `
said: no custom status, because no entry has a text; no availability, because no entry states one, and the user isn't idle
`},
		{"the own entry", func(w *world) { w.say(Entry{CustomStatus: "own"}) }, `
said: the custom status is that of the user's own entry; no availability, because no entry states one, and the user isn't idle
entry "": the custom status, and no availability
`},
		{"several", func(w *world) {
			w.say(Entry{CustomStatus: "own", Availability: Away})
			w.say(hour("call", "call", DND, 10))
			w.say(hour("calendar", "", Busy, 5))
			w.say(hour("b", "b", Available, 10))
			w.say(Entry{Source: "later", CustomStatus: "later", StartsAt: w.Now().Add(time.Hour), ExpiresIn: time.Hour})
		}, `
said: the custom status is that of the entry b, which was set last of the 2 entries with the highest priority (10); dnd, because the entry call says so
entry "": a text that is not shown, because the entry b has a higher priority, and the availability away, which is weaker than dnd
entry "b": the custom status, and no availability
entry "calendar": no text, and the availability busy, which is weaker than dnd
entry "call": a text that is not shown, because the entry b has the same priority and was set later, and the availability dnd
entry "later": nothing until it begins
`},
		{"idle and invisible", func(w *world) {
			w.web("alice", "tab")
			w.idle("tab", true)
			w.hide(true)
		}, `
said: no custom status, because no entry has a text; away, because nobody is using any of the devices that count as connected
device tab: ONLINE, and away unless another device is in use; nothing for others, because the user is invisible
public: UNLOGINED, last seen 00:00
others: others see UNLOGINED, because the user is invisible: to others, no device of the user exists
`},
		{"hidden", func(w *world) {
			s := w.ios("alice", "phone")
			w.hide(true)
			s.Close()
			w.pass(time.Minute)
			w.hide(false)
		}, `
said: no custom status, because no entry has a text; no availability, because no entry states one, and the user isn't idle
device phone: OFFLINE, unless another device is connected; nothing for others until it connects again, because it was not connected when the user stopped being invisible
public: UNLOGINED, last seen 00:00
others: others see UNLOGINED, because devices that were not connected when the user stopped being invisible don't exist for others until they connect again
`},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := open(t, func(s *Settings) { s.LastSeen = true })
				w.register("alice")
				c.act(w)
				if got := w.explainedSaid(); got != strings.TrimSpace(c.want) {
					t.Errorf("got\n%s\nwant\n%s", got, strings.TrimSpace(c.want))
				}
			})
		})
	}
}

func (w *world) explainedSaid() string {
	w.t.Helper()
	e, err := w.Explain(w.t.Context(), "alice")
	w.must(err)
	lines := []string{"said: " + e.Said}
	for _, entry := range e.Entries {
		lines = append(lines, fmt.Sprintf("entry %q: %s", entry.Source, entry.Adds))
	}
	for _, d := range e.Devices {
		lines = append(lines, "device "+d.DeviceID+": "+d.Adds)
	}
	if e.Public != nil {
		lines = append(lines, "public: "+looks(*e.Public), "others: "+e.Others)
	}
	return strings.Join(lines, "\n")
}
