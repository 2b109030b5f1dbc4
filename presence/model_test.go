package presence

import (
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

var seed = flag.Uint64("seed", 0, "replay this walk of TestModel; zero means a few random ones")

const walkSteps = 400

// TestModel walks at random through everything that users, devices and time can do,
// and compares what every stream has sent with the reference.
func TestModel(t *testing.T) {
	seeds := []uint64{1, 2, 3, 4, 5, 6}
	if *seed != 0 {
		seeds = []uint64{*seed}
	}
	for _, n := range seeds {
		t.Run(fmt.Sprint("seed=", n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { newWalk(open(t, walkSettings), n).run() })
		})
	}
}

// walk is a service, the reference, and the clients with what they have received.
type walk struct {
	*world
	seed    uint64
	rand    *rand.Rand
	ref     *reference
	streams map[string]*viewer // open, by device
	left    map[string]*viewer // cut, and able to resume
	last    map[string]Status  // as of the step before
	public  map[string]Status  // the same as others see it
	feed    *feedReader
	steps   []string
}

// viewer is a client. It folds its stream into what it shows.
type viewer struct {
	*stream
	view map[string]Status
}

func walkSettings(s *Settings) {
	s.BatchWindow, s.Subscriptions, s.OfflineRetention, s.CustomStatusBytes = 0, 3, time.Hour, maxCustomStatusBytes
	s.Entries, s.LastSeen = 2, true
}

func newWalk(w *world, seed uint64) *walk {
	return &walk{
		world: w, seed: seed, rand: rand.New(rand.NewPCG(seed, 0)),
		ref:     &reference{settings: w.settings, users: make(map[string]*refUser), kicked: make(map[string]time.Time)},
		streams: make(map[string]*viewer), left: make(map[string]*viewer), last: make(map[string]Status), public: make(map[string]Status),
	}
}

func (k *walk) run() {
	k.followFrom(0, make(map[string]Status))
	for range walkSteps {
		k.step()
		synctest.Wait()
		k.ref.advance(k.now())
		k.checkStatuses()
		k.checkSelves()
		if k.rand.IntN(3) == 0 {
			k.checkFeed()
		}
		if len(k.steps)%16 == 0 {
			k.must(checkConditions(k.t.Context(), k.store.Reader(), k.path, latest, false))
		}
		for _, key := range slices.Sorted(maps.Keys(k.streams)) {
			if k.rand.IntN(3) > 0 { // the other clients are slow readers
				k.checkView(k.streams[key])
			}
		}
		if k.t.Failed() {
			k.t.Fatalf("replay with -run TestModel -seed %d; the last steps: %q", k.seed, k.steps[max(0, len(k.steps)-12):])
		}
	}
}

func (k *walk) step() {
	moves := []struct {
		weight int
		name   string
		move   func(user, other string)
	}{
		{20, "connect", k.connectFresh}, {10, "snapshot", k.snapshot}, {20, "resume", k.resumeOne}, {20, "drop", k.drop},
		{12, "set", k.setSome}, {8, "set with expiry", k.setExpiring}, {4, "clear", k.clear},
		{25, "entry", k.setEntryOf}, {5, "withdraw", k.withdraw}, {20, "idle", k.setIdleOf}, {12, "visibility", k.setVisibilityOf},
		{4, "logout", k.logout}, {2, "logout all", k.logoutAll}, {2, "kick", k.kick},
		{15, "subscribe", k.subscribeSome}, {5, "unsubscribe", k.unsubscribeOne}, {1, "unsubscribe all", k.unsubscribeAll},
		{10, "befriend", k.befriendOne}, {5, "unfriend", k.unfriendOne}, {4, "befriend each other", k.befriendEachOther}, {5, "set friends", k.setFriendsOf},
		{3, "user status", k.toggleUserStatus}, {3, "friends", k.toggleFriends},
		{3, "delete", k.deleteOne}, {6, "import", k.importOne}, {5, "rename", k.renameOne},
		{25, "time", k.passSome}, {4, "restart", k.restartAll}, {20, "read one", k.readOne}, {15, "burst", k.burst},
	}
	total := 0
	for _, m := range moves {
		total += m.weight
	}
	n := k.rand.IntN(total)
	user, other := k.anyone(), k.anyone()
	for _, m := range moves {
		if n -= m.weight; n < 0 {
			k.steps = append(k.steps, fmt.Sprintf("%s %s %s", m.name, user, other))
			m.move(user, other)
			return
		}
	}
}

// now is the time in the unit in which the service stores it.
func (k *walk) now() time.Time { return time.Now().Truncate(time.Microsecond) }

func (k *walk) anyone() string { return string("abcde"[k.rand.IntN(5)]) }

func (k *walk) anyDevice(user string) Device {
	d := []Device{{ID: "tab", Platform: Web}, {ID: "phone", Platform: IOS}, {ID: "pc", Platform: Linux}}[k.rand.IntN(3)]
	d.UserID = user
	return d
}

// checkStatuses compares what a query returns to the server side and to others with the
// reference.
func (k *walk) checkStatuses() {
	all := []string{"a", "b", "c", "d", "e"}
	found, _ := k.Get(all...)
	if len(found) != len(k.ref.users) {
		k.t.Errorf("%d users exist, want %d", len(found), len(k.ref.users))
		return
	}
	for _, s := range found {
		k.checkStatus(s, k.ref.users[s.UserID].own, k.last)
	}
	for _, s := range k.seenByOthers(all...) {
		k.checkStatus(s, k.ref.users[s.UserID].public, k.public)
	}
}

func (k *walk) checkStatus(got Status, v *refView, last map[string]Status) {
	want := k.ref.shown(got.UserID, v, k.now())
	want.Version = got.Version
	if got != want {
		k.t.Errorf("a query returns\n%+v, want\n%+v", brief(got), brief(want))
	}
	before := last[got.UserID]
	if got.Version < before.Version || got.Version == before.Version && got != before {
		k.t.Errorf("%+v after %+v: a visible change takes the next version", brief(got), brief(before))
	}
	last[got.UserID] = got
}

// brief is a status whose text is short enough to be read.
func brief(s Status) Status {
	s.CustomStatus = s.CustomStatus[:min(len(s.CustomStatus), 12)]
	return s
}

// seenByOthers returns what Query returns to somebody else, whatever the switches are.
func (w *world) seenByOthers(users ...string) []Status {
	w.mu.RLock()
	defer w.mu.RUnlock()
	found, _ := w.model.statuses(users, w.model.asker(""))
	return found
}

// checkSelves compares the entries and devices of all users with the reference.
func (k *walk) checkSelves() {
	for user, u := range k.ref.users {
		self, err := k.Self(user)
		k.must(err)
		if len(self.Entries) != len(u.entries) || len(self.Devices) != len(u.own.devices) || self.Invisible != u.invisible {
			k.t.Errorf("Self of %s: %+v, want %d entries and %d devices", user, self, len(u.entries), len(u.own.devices))
			continue
		}
		for _, got := range self.Entries {
			e := u.entries[got.Source]
			if e == nil || got.CustomStatus != e.text || got.Availability != e.availability || got.Priority != e.priority ||
				!got.StartsAt.Equal(e.startsAt) || !got.ExpiresAt.Equal(e.expireAt) {
				k.t.Errorf("the entry %q of %s is %+v, want %+v", got.Source, user, got, e)
			}
		}
		for _, got := range self.Devices {
			if d := u.own.devices[got.DeviceID]; d == nil || got.Connected != d.connected || got.Idle != d.idle {
				k.t.Errorf("the device %s of %s is %+v, want %+v", got.DeviceID, user, got, d)
			}
		}
	}
}

// followFrom opens the feed, from a cursor. A feed doesn't resume with deleted users.
func (k *walk) followFrom(cursor int64, seen map[string]Status) {
	k.feed = k.follow(cursor)
	k.feed.seen = seen
	maps.DeleteFunc(seen, func(user string, _ Status) bool { return k.ref.users[user] == nil })
}

// checkFeed reads the feed until it is silent. It must then show what the server side
// sees.
func (k *walk) checkFeed() {
	k.feed.readAll()
	maps.DeleteFunc(k.feed.seen, func(_ string, s Status) bool { return s.StatusType == Unknown })
	found, _ := k.Get("a", "b", "c", "d", "e")
	for _, s := range found {
		if got := k.feed.seen[s.UserID]; got != s {
			k.t.Errorf("the feed shows\n%+v, want\n%+v", brief(got), brief(s))
		}
	}
	if len(k.feed.seen) != len(found) {
		k.t.Errorf("the feed shows %d users, want %d", len(k.feed.seen), len(found))
	}
}

// checkView reads the stream until it is silent, and compares what the client then
// shows with the reference.
func (k *walk) checkView(v *viewer) {
	me := v.device.UserID
	for _, event := range v.drain() {
		for _, s := range event.Statuses {
			if s.StatusType != Unknown && !k.ref.mayWatch(me, s.UserID) {
				k.t.Errorf("%s receives %v, whom no rule allows it to watch", me, s)
			}
			v.fold(s)
		}
	}
	for _, target := range k.ref.watchedBy(me) {
		now, _, err := k.Query(me, []string{target})
		k.must(err)
		if got := v.view[target]; got != now[0] {
			k.t.Errorf("%s/%s shows %v, want %v: the last change always arrives", me, v.device.ID, got, now[0])
		}
	}
}

func (v *viewer) fold(s Status) {
	if s.Version >= v.view[s.UserID].Version {
		v.view[s.UserID] = s
	}
}

// drain returns all events that wait.
func (v *viewer) drain() []Event {
	ctx, cancel := context.WithCancel(v.w.t.Context())
	cancel() // Next returns what waits even so
	var events []Event
	for {
		event, err := v.Next(ctx)
		if err == context.Canceled {
			return events
		}
		v.w.must(err)
		v.hold(event)
		event.Statuses = slices.Clone(event.Statuses)
		events = append(events, event)
	}
}

// attach connects a device, and continues with what the client has shown so far.
func (k *walk) attach(d Device, view map[string]Status) *viewer {
	key := d.UserID + "/" + d.ID
	if d.Resume && k.ref.refuses(d.UserID, d.ID, k.now()) {
		k.refused(d, "it was kicked within the last minute")
		return nil
	}
	v := &viewer{k.connect(d), view}
	k.ref.connect(d.UserID, d.ID, d.Platform.Native(), k.now())
	if older := k.streams[key]; older != nil {
		older.ends(io.EOF)
	}
	delete(k.left, key)
	k.streams[key] = v
	v.fold(v.ready.Self)
	return v
}

// gone ends the streams of a user, or of one device, as KICKED_OUT does.
func (k *walk) gone(user, device string) {
	for _, key := range slices.Sorted(maps.Keys(k.streams)) {
		if v := k.streams[key]; v.device.UserID == user && (device == "" || v.device.ID == device) {
			if event := v.next(); event.Type != EventKickedOut {
				k.t.Errorf("%s gets %s, want KICKED_OUT", key, event.Type)
			}
			v.ends(io.EOF)
			delete(k.streams, key)
		}
	}
}
