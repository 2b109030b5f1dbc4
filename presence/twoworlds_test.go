package presence

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestInvisibleUserLeaksNothing plays the same script in two worlds. In the first, ivy
// becomes invisible and goes on as before. In the second, she logs out instead, does
// nothing, and logs in when she becomes visible in the first. All that others receive
// must be the same, up to a renumbering of versions that keeps their order.
func TestInvisibleUserLeaksNothing(t *testing.T) {
	seeds := []uint64{*seed}
	if *seed == 0 {
		seeds = nil
		for n := range uint64(100) {
			seeds = append(seeds, n+1)
		}
	}
	for _, n := range seeds {
		first := playScript(t, n, nil)
		second := playScript(t, n, first)
		compareTranscripts(t, n, first.transcript(), second.transcript())
		if t.Failed() {
			return
		}
	}
}

func compareTranscripts(t *testing.T, seed uint64, first, second []string) {
	for i, line := range first {
		if i >= len(second) || line != second[i] {
			t.Errorf("replay with -run TestInvisibleUserLeaksNothing -seed %d; others receive\n%s\nwant\n%s", seed,
				strings.Join(first[max(0, i-25):i+1], "\n"), strings.Join(second[min(i, len(second)):min(i+1, len(second))], "\n"))
			return
		}
	}
	if len(first) != len(second) {
		t.Errorf("seed %d: %d lines and %d lines", seed, len(first), len(second))
	}
}

const scriptSteps = 150

func playScript(t *testing.T, seed uint64, first *actor) (a *actor) {
	synctest.Test(t, func(t *testing.T) {
		a = newActor(t, first)
		for step := range scriptSteps {
			a.rand = rand.New(rand.NewPCG(seed, uint64(step))) // what one world draws moves nothing in the other
			a.step(step)
			synctest.Wait()
		}
		a.readAll()
	})
	return a
}

// actor plays the script in one world, and records what others receive.
type actor struct {
	*world
	first  *actor // nil in the first world
	rand   *rand.Rand
	ivy    string // her present ID
	hidden bool   // whether she is invisible, or logged out instead
	own    map[string]*Session
	others map[string]*spectator
	shows  [][]device // what was connected each time that she became visible
	shown  int        // how many of them this world has used
	begun  time.Time
	lines  []line
}

// spectator is a device of somebody else, and every cursor that it had.
type spectator struct {
	*Session
	device  Device
	cursors []int64
}

// line is one thing that others receive. The versions in it are renumbered at the end.
type line struct {
	what     string
	cursor   int64 // zero means none
	statuses []Status
}

func newActor(t *testing.T, first *actor) *actor {
	w := open(t, func(s *Settings) {
		s.Subscriptions, s.OfflineRetention, s.DevicesPerPlatform, s.LastSeen, s.Entries = 2, time.Hour, 2, true, 2
	})
	w.register("ivy", "bob", "carol", "dave")
	w.subscribe("bob", "ivy")
	w.befriend("carol", "ivy", "dave")
	return &actor{world: w, first: first, ivy: "ivy", own: make(map[string]*Session), others: make(map[string]*spectator), begun: time.Now()}
}

func (a *actor) record(cursor int64, statuses []Status, format string, args ...any) {
	what := fmt.Sprint(time.Since(a.begun), " ", fmt.Sprintf(format, args...))
	a.lines = append(a.lines, line{what, cursor, slices.Clone(statuses)})
}

// transcript returns the lines with each version replaced by its rank among those of all
// statuses that others received. A cursor has the rank of the last of them that it covers.
func (a *actor) transcript() (all []string) {
	var versions []int64
	for _, l := range a.lines {
		for _, s := range l.statuses {
			versions = append(versions, s.Version)
		}
	}
	slices.Sort(versions)
	versions = slices.Compact(versions)
	rank := func(version int64) int64 {
		n, found := slices.BinarySearch(versions, version)
		if found {
			n++
		}
		return int64(n)
	}
	for _, l := range a.lines {
		for i := range l.statuses {
			l.statuses[i].Version = rank(l.statuses[i].Version)
		}
		all = append(all, fmt.Sprintf("%s, id %d: %s", l.what, rank(l.cursor), AppendList(nil, l.statuses)))
	}
	return all
}

func (a *actor) step(n int) {
	moves := []struct {
		weight int
		move   func()
	}{
		{15, a.toggle}, {10, a.comeBack}, {60, a.ivyActs}, {15, a.ivySays}, {3, a.ivyIsRenamed}, {1, a.ivyIsDeleted},
		{15, a.connectOther}, {10, a.resumeOther}, {10, a.dropOther}, {20, a.readOther}, {15, a.otherActs},
		{20, a.query}, {10, a.subscribe}, {5, a.unsubscribe}, {10, a.befriend}, {3, a.toggleSwitch},
		{25, a.passSome}, {3, a.restartAll},
	}
	total := 0
	for _, m := range moves {
		total += m.weight
	}
	draw := a.rand.IntN(total)
	for _, m := range moves {
		if draw -= m.weight; draw < 0 {
			m.move()
			return
		}
	}
}

func (a *actor) pick(list ...string) string { return list[a.rand.IntN(len(list))] }

func (a *actor) do(op operation) error { return a.writer.do(a.t.Context(), op) }

// acts reports whether what ivy's devices do happens in this world.
func (a *actor) acts() bool { return !a.hidden || a.first == nil }

// toggle makes ivy invisible, or visible again.
func (a *actor) toggle() {
	a.hidden = !a.hidden
	switch {
	case a.first == nil && !a.hidden:
		a.shows = append(a.shows, a.connectedDevices())
		a.must(a.SetVisibility(a.t.Context(), a.ivy, false))
	case a.first == nil:
		a.must(a.SetVisibility(a.t.Context(), a.ivy, true))
	case a.hidden:
		a.must(a.Logout(a.t.Context(), a.ivy, ""))
	default:
		a.logIn(a.first.shows[a.shown])
		a.shown++
	}
}

func (a *actor) connectedDevices() (all []device) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	for _, d := range a.model.ends.of(a.model.byName[a.ivy]) {
		if d.isConnected() {
			all = append(all, d)
		}
	}
	return all
}

// logIn logs devices of ivy in at one moment, as they are.
func (a *actor) logIn(devices []device) {
	var ops []operation
	for _, d := range devices {
		op, s := a.login(Device{UserID: a.ivy, ID: d.id, Platform: d.platform})
		ops = append(ops, op, &setIdle{a.ivy, d.id, d.idle})
		a.own[d.id] = s.Session
	}
	for _, err := range a.together(ops...) {
		a.must(err)
	}
}

// ivyActs does something that others see only while ivy is visible.
func (a *actor) ivyActs() {
	platform, n := a.rand.IntN(2), a.rand.IntN(12)
	id := fmt.Sprint([]Platform{Web, IOS}[platform], a.rand.IntN(3))
	if !a.acts() {
		return
	}
	switch {
	case n < 4:
		a.connectOwn(id, []Platform{Web, IOS}[platform])
	case n < 6:
		if a.own[id] != nil {
			a.own[id].Close()
		}
	case n < 9:
		a.SetIdle(a.t.Context(), a.ivy, id, n < 8) // fails if the device isn't connected
	case n < 10:
		a.must(a.Logout(a.t.Context(), a.ivy, id))
	case n < 11 && a.hidden:
		a.ivyActsHidden()
	default:
		a.must(a.do([]operation{&logout{UserID: a.ivy}, &kick{UserID: a.ivy}}[a.rand.IntN(2)]))
	}
}

// comeBack makes ivy visible while a device of hers is idle and in its grace, and then
// connects it.
func (a *actor) comeBack() {
	id := fmt.Sprint(Web, a.rand.IntN(3))
	if !a.hidden {
		a.toggle()
	}
	if a.acts() && a.own[id] != nil {
		a.SetIdle(a.t.Context(), a.ivy, id, true)
		a.own[id].Close()
		synctest.Wait()
	}
	a.toggle()
	a.otherActs()
	a.connectOwn(id, Web)
}

func (a *actor) connectOwn(id string, p Platform) {
	session, err := a.Connect(a.t.Context(), Device{UserID: a.ivy, ID: id, Platform: p})
	a.must(err)
	a.own[id] = session
}

// ivyActsHidden does what is not a matter of devices.
func (a *actor) ivyActsHidden() {
	a.must(a.SetVisibility(a.t.Context(), a.ivy, true))
	a.Query(a.ivy, []string{"bob", a.ivy})
	a.Subscribe(a.t.Context(), a.ivy, []string{"bob", "carol", "dave"})
	a.Subscriptions(a.t.Context(), a.ivy)
	a.FriendStatuses(a.t.Context(), a.ivy)
}

// ivySays is seen by everyone.
func (a *actor) ivySays() {
	e := Entry{Source: a.pick("", "", "call", "x", "y"), CustomStatus: a.pick("", "a", "b"), Availability: Availability(a.rand.IntN(4))}
	if e.Source != "" || a.rand.IntN(3) == 0 {
		e.ExpiresAt = time.Now().Add(time.Duration(a.rand.Int64N(int64(20 * time.Minute)))).Truncate(time.Millisecond)
	}
	if a.rand.IntN(3) == 0 {
		e.StartsAt = time.Now().Add(time.Duration(a.rand.Int64N(int64(20 * time.Minute))))
	}
	_, err := a.SetEntry(a.t.Context(), a.ivy, e)
	a.record(0, nil, "ivy says %q %q: %v", e.Source, e.CustomStatus, err)
}

func (a *actor) ivyIsRenamed() {
	to := map[string]string{"ivy": "iris", "iris": "ivy"}[a.ivy]
	a.must(a.do(&renameUser{UserID: a.ivy, To: to}))
	a.ivy = to
}

// ivyIsDeleted begins a new life, in which she is visible.
func (a *actor) ivyIsDeleted() {
	a.must(a.do(&deleteUsers{UserIDs: []string{a.ivy}}))
	a.register(a.ivy)
	a.hidden = false
}

func (a *actor) connectOther() {
	user := a.pick("bob", "carol", "dave")
	a.attach(Device{UserID: user, ID: a.pick("1", "2"), Platform: []Platform{Web, IOS}[a.rand.IntN(2)], Resume: a.rand.IntN(2) == 0}, nil)
}

// resumeOther resumes from any cursor that the device ever had.
func (a *actor) resumeOther() {
	if s := a.others[a.pick("bob/1", "bob/2", "carol/1", "carol/2", "dave/1")]; s != nil {
		d := s.device
		d.Resume, d.Cursor = true, s.cursors[a.rand.IntN(len(s.cursors))]
		a.attach(d, s.cursors)
	}
}

func (a *actor) attach(d Device, cursors []int64) {
	session, err := a.Connect(a.t.Context(), d)
	a.record(0, nil, "%s/%s connects: %v", d.UserID, d.ID, err)
	if err != nil {
		return // it was kicked a moment ago
	}
	a.t.Cleanup(session.Close)
	a.others[d.UserID+"/"+d.ID] = &spectator{session, d, append(cursors, 0)}
}

func (a *actor) dropOther() {
	if s := a.others[a.pick("bob/1", "bob/2", "carol/1", "carol/2", "dave/1", "dave/2")]; s != nil {
		s.Close()
	}
}

// readOther reads one event.
func (a *actor) readOther() {
	a.read(a.pick("bob/1", "bob/2", "carol/1", "carol/2", "dave/1", "dave/2"))
}

func (a *actor) read(key string) (more bool) {
	s := a.others[key]
	if s == nil {
		return false
	}
	ctx, cancel := context.WithCancel(a.t.Context())
	cancel() // Next returns what waits even so
	event, err := s.Next(ctx)
	if err == nil {
		s.cursors = append(s.cursors, event.Cursor)
	}
	statuses := event.Statuses
	if event.Type == EventReady {
		statuses = append(statuses, event.Self)
	}
	a.record(event.Cursor, statuses, "%s reads %s %s %v", key, event.Type, event.Kick, err)
	return err == nil
}

func (a *actor) readAll() {
	for _, key := range []string{"bob/1", "bob/2", "carol/1", "carol/2", "dave/1", "dave/2"} {
		for a.read(key) {
		}
	}
}

func (a *actor) otherActs() {
	user := a.pick("bob", "carol", "dave")
	switch a.rand.IntN(3) {
	case 0:
		status, err := a.Set(a.t.Context(), user, a.pick("", "hi", "ho"), 0)
		a.record(0, []Status{status}, "%s sets: %v", user, err)
	case 1:
		a.record(0, nil, "%s: %v", user, a.SetIdle(a.t.Context(), user, "1", a.rand.IntN(2) == 0))
	case 2:
		a.record(0, nil, "%s: %v", user, a.Logout(a.t.Context(), user, a.pick("", "1", "2")))
	}
}

func (a *actor) query() {
	user := a.pick("bob", "carol", "dave", "nobody")
	found, failed, err := a.Query(user, []string{a.ivy, "bob", a.ivy, "dave", "nobody"})
	a.record(0, found, "%s queries: %v %v", user, failed, err)
	found, err = a.Subscriptions(a.t.Context(), user)
	a.record(0, found, "%s has subscriptions: %v", user, err)
	found, err = a.FriendStatuses(a.t.Context(), user)
	a.record(0, found, "%s has friends: %v", user, err)
}

func (a *actor) subscribe() {
	user := a.pick("bob", "carol", "dave")
	answer, err := a.Subscribe(a.t.Context(), user, []string{a.pick(a.ivy, a.ivy, "bob", "carol", "dave"), a.ivy})
	a.record(0, answer.Statuses, "%s subscribes, evicts %v: %v %v", user, answer.Evicted, answer.Failed, err)
}

func (a *actor) unsubscribe() {
	user := a.pick("bob", "carol", "dave")
	failed, err := a.Unsubscribe(a.t.Context(), user, []string{a.ivy})
	a.record(0, nil, "%s unsubscribes: %v %v", user, failed, err)
}

func (a *actor) befriend() {
	user, change := a.pick("bob", "carol", "dave"), a.AddFriends
	if a.rand.IntN(3) == 0 {
		change = a.RemoveFriends
	}
	failed, err := change(a.t.Context(), user, []string{a.ivy, "nobody"}, a.rand.IntN(2) == 0)
	a.record(0, nil, "%s changes friends: %v %v", user, failed, err)
}

func (a *actor) toggleSwitch() {
	a.configure(func(s *Settings) {
		on := []*bool{&s.UserStatus, &s.FriendNotifications, &s.LastSeen}[a.rand.IntN(3)]
		*on = !*on
	})
}

func (a *actor) passSome() {
	most := []time.Duration{100 * time.Millisecond, time.Second, 15 * time.Second, time.Minute, 10 * time.Minute, 3 * time.Hour}
	a.pass(time.Duration(a.rand.Int64N(int64(most[a.rand.IntN(len(most))]))))
}

// restartAll stores the time first, because the start goes on from that of the last
// write: a grace of somebody that ended since, and changed nothing, begins again.
func (a *actor) restartAll() {
	a.must(a.do(probe{}))
	a.restart(time.Duration(a.rand.Int64N(int64(time.Minute))))
}
