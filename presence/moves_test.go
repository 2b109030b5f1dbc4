package presence

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// The moves of the walk. Each is made on the service and on the reference.

// connectFresh is a client that knows nothing and queries what it watches.
func (k *walk) connectFresh(user, _ string) {
	v := k.attach(k.anyDevice(user), make(map[string]Status))
	found, _, err := k.Query(user, k.ref.watchedBy(user))
	k.must(err)
	for _, s := range found {
		v.fold(s)
	}
}

// snapshot is a client that knows nothing and resumes from zero.
func (k *walk) snapshot(user, _ string) {
	d := k.anyDevice(user)
	d.Resume = true
	k.attach(d, make(map[string]Status))
}

func (k *walk) resumeOne(string, string) {
	if key, v := k.oneOf(k.left); v != nil {
		d := v.device
		d.Resume, d.Cursor = true, v.cursor
		k.steps = append(k.steps, "is "+key)
		k.attach(d, v.view)
	}
}

func (k *walk) drop(string, string) {
	if key, v := k.oneOf(k.streams); v != nil {
		v.Close()
		k.steps = append(k.steps, "is "+key)
		k.ref.drop(v.device.UserID, v.device.ID, k.now())
		delete(k.streams, key)
		k.left[key] = v
	}
}

// readOne is a slow reader, which may be cut before the next event.
func (k *walk) readOne(string, string) {
	key, v := k.oneOf(k.streams)
	if v == nil {
		return
	}
	k.steps = append(k.steps, "is "+key)
	ctx, cancel := context.WithCancel(k.t.Context())
	cancel() // Next returns what waits even so
	event, err := v.Next(ctx)
	if err == context.Canceled {
		return
	}
	k.must(err)
	v.hold(event)
	for _, s := range event.Statuses {
		v.fold(s)
	}
}

func (k *walk) oneOf(viewers map[string]*viewer) (string, *viewer) {
	if len(viewers) == 0 {
		return "", nil
	}
	keys := slices.Sorted(maps.Keys(viewers))
	key := keys[k.rand.IntN(len(keys))]
	return key, viewers[key]
}

func (k *walk) setSome(user, text string) { k.setFor(user, Entry{CustomStatus: k.long(text)}) }
func (k *walk) clear(user, _ string)      { k.setFor(user, Entry{}) }

// long lengthens a text, in every other walk, so that few fit into one event.
func (k *walk) long(text string) string {
	return text + strings.Repeat(".", k.rand.IntN(20_000)*int(k.seed%2))
}

func (k *walk) setExpiring(user, text string) {
	k.setFor(user, Entry{CustomStatus: k.long(text), ExpiresIn: k.upTo(20 * time.Minute)})
}

// upTo returns a random duration, which is not zero.
func (k *walk) upTo(most time.Duration) time.Duration {
	return 1 + time.Duration(k.rand.Int64N(int64(most)))
}

// setEntryOf sets an entry of any source with anything that it may have. Every third time
// it is one that exists, exactly as it is.
func (k *walk) setEntryOf(user, text string) {
	if u := k.ref.users[user]; u != nil && len(u.entries) > 0 && k.rand.IntN(3) == 0 {
		sources := slices.Sorted(maps.Keys(u.entries))
		source := sources[k.rand.IntN(len(sources))]
		e := u.entries[source]
		k.setFor(user, Entry{Source: source, CustomStatus: e.text, Availability: e.availability, Priority: &e.priority,
			StartsAt: e.startsAt, ExpiresAt: e.expireAt})
		return
	}
	e := Entry{Source: []string{"", "call", "calendar", "x"}[k.rand.IntN(4)], Availability: Availability(k.rand.IntN(4))}
	if e.Availability == Available || k.rand.IntN(3) > 0 {
		e.CustomStatus = k.long(text)
	}
	if k.rand.IntN(2) == 0 {
		e.Priority = new([]int{-1, 0, 10, 11}[k.rand.IntN(4)])
	}
	if k.rand.IntN(3) == 0 {
		e.StartsAt = k.now().Add(k.upTo(20 * time.Minute)).Truncate(time.Microsecond)
	}
	if e.Source != "" || k.rand.IntN(3) == 0 {
		e.ExpiresIn = k.upTo(20 * time.Minute)
	}
	k.setFor(user, e)
}

func (k *walk) withdraw(user, _ string) {
	k.setFor(user, Entry{Source: []string{"call", "calendar", "x"}[k.rand.IntN(3)]})
}

func (k *walk) setFor(user string, e Entry) {
	u, now := k.ref.users[user], k.now()
	status, err := k.SetEntry(k.t.Context(), user, e)
	withdraws := e.CustomStatus == "" && e.Availability == Available
	switch {
	case u == nil:
		wantCode(k.t, err, CodeUnknownUser, "setting for nobody")
		return
	case !withdraws && !k.ref.room(user, e.Source):
		wantCode(k.t, err, CodeLimit, "one more entry than a user may have")
		return
	}
	k.must(err)
	k.steps = append(k.steps, fmt.Sprintf("%q %d bytes %v %v %v %v", e.Source, len(e.CustomStatus), e.Availability, e.Priority, e.StartsAt, e.ExpiresIn))
	set := refEntry{text: e.CustomStatus, availability: e.Availability, setAt: now, startsAt: e.StartsAt, expireAt: e.ExpiresAt, place: len(k.steps)}
	if e.Source != "" {
		set.priority = 10
	}
	if e.Priority != nil {
		set.priority = *e.Priority
	}
	if e.ExpiresIn > 0 && !withdraws {
		set.expireAt = k.expires(user, e.Source)
		if late := set.expireAt.Sub(later(now, e.StartsAt).Add(e.ExpiresIn)); late < -time.Microsecond || late > 2*time.Millisecond {
			k.t.Errorf("expires %v after it should", late)
		}
	}
	k.ref.set(user, e.Source, set)
	k.ref.advance(now)
	want := k.ref.shown(user, u.own, now)
	if want.Version = status.Version; status != want {
		k.t.Errorf("SetEntry returns\n%+v, want\n%+v", brief(status), brief(want))
	}
}

// expires returns when the entry of a source expires.
func (k *walk) expires(user, source string) time.Time {
	self, err := k.Self(user)
	k.must(err)
	for _, e := range self.Entries {
		if e.Source == source {
			return e.ExpiresAt
		}
	}
	k.t.Errorf("there is no entry of %q", source)
	return time.Time{}
}

func (k *walk) setIdleOf(user, _ string) {
	device, idle := k.anyDevice(user).ID, k.rand.IntN(3) > 0
	err := k.SetIdle(k.t.Context(), user, device, idle)
	switch {
	case k.ref.users[user] == nil:
		wantCode(k.t, err, CodeUnknownUser, "nobody is idle")
	case !k.ref.setIdle(user, device, idle):
		wantCode(k.t, err, CodeMalformed, "only a connected device is idle")
	default:
		k.steps = append(k.steps, fmt.Sprint("is ", device, idle))
		k.must(err)
	}
}

func (k *walk) setVisibilityOf(user, _ string) {
	invisible := k.rand.IntN(2) == 0
	err := k.SetVisibility(k.t.Context(), user, invisible)
	if k.ref.users[user] == nil {
		wantCode(k.t, err, CodeUnknownUser, "nobody becomes invisible")
		return
	}
	k.must(err)
	k.steps = append(k.steps, fmt.Sprint("is ", invisible))
	k.ref.setVisibility(user, invisible, k.now())
}

func (k *walk) logout(user, _ string)    { k.logoutFrom(user, k.anyDevice(user).ID) }
func (k *walk) logoutAll(user, _ string) { k.logoutFrom(user, "") }

func (k *walk) logoutFrom(user, device string) {
	if k.ref.users[user] != nil {
		k.must(k.Logout(k.t.Context(), user, device))
		k.ref.expel(user, device, k.now())
		k.gone(user, device)
	}
}

func (k *walk) kick(user, _ string) {
	if k.ref.users[user] != nil {
		now := k.now()
		k.must(k.Kick(k.t.Context(), user)) // which waits for the end of the second
		k.ref.expel(user, "", now)
		k.gone(user, "")
	}
}

func (k *walk) subscribeSome(user, other string) {
	targets := []string{other, k.anyone()}
	answer, err := k.Subscribe(k.t.Context(), user, targets)
	switch {
	case !k.ref.settings.UserStatus:
		wantCode(k.t, err, CodeSwitchedOff, "subscribing needs the switch")
		return
	case k.ref.users[user] == nil:
		wantCode(k.t, err, CodeUnknownUser, "nobody subscribes")
		return
	}
	k.must(err)
	wantList(k.t, answer.Evicted, k.ref.subscribe(user, unique(targets)...), "the earliest are evicted")
	for _, v := range k.streams {
		for _, s := range answer.Statuses {
			if v.device.UserID == user { // the clients of a user share the result
				v.fold(s)
			}
		}
	}
}

func (k *walk) unsubscribeOne(user, target string) {
	if u := k.ref.users[user]; u != nil && k.ref.users[target] != nil && k.ref.settings.UserStatus {
		k.unsubscribe(user, target)
		u.subscriptions = without(u.subscriptions, target)
	}
}

func (k *walk) unsubscribeAll(user, _ string) {
	if u := k.ref.users[user]; u != nil && k.ref.settings.UserStatus {
		k.must(k.UnsubscribeAll(k.t.Context(), user))
		u.subscriptions = nil
	}
}

func (k *walk) befriendOne(user, friend string) {
	if u := k.ref.users[user]; u != nil && user != friend && k.ref.users[friend] != nil {
		k.befriend(user, friend)
		u.friends = append(without(u.friends, friend), friend)
	}
}

func (k *walk) unfriendOne(user, friend string) {
	if u := k.ref.users[user]; u != nil && user != friend && k.ref.users[friend] != nil {
		k.unfriend(user, friend)
		u.friends = without(u.friends, friend)
	}
}

func (k *walk) befriendEachOther(user, friend string) {
	u, f := k.ref.users[user], k.ref.users[friend]
	if u != nil && f != nil && user != friend {
		failed, err := k.AddFriendPairs(k.t.Context(), []FriendPair{{user, friend, true}, {friend, user, false}})
		k.must(err)
		wantList(k.t, failed, nil, "both are registered")
		u.friends = append(without(u.friends, friend), friend)
		f.friends = append(without(f.friends, user), user)
	}
}

func (k *walk) setFriendsOf(user, friend string) {
	u := k.ref.users[user]
	if u == nil {
		return
	}
	was, mutual := u.friends, k.rand.IntN(2) == 0
	u.friends = slices.DeleteFunc(unique([]string{friend, k.anyone()}), func(id string) bool { return id == user || k.ref.users[id] == nil })
	k.setFriends(mutual, user, u.friends...)
	for _, id := range was {
		if mutual && !slices.Contains(u.friends, id) && k.ref.users[id] != nil {
			k.ref.users[id].friends = without(k.ref.users[id].friends, user)
		}
	}
	for _, id := range u.friends {
		if mutual {
			k.ref.users[id].friends = append(without(k.ref.users[id].friends, user), user)
		}
	}
}

func (k *walk) toggleUserStatus(string, string) {
	k.configure(func(s *Settings) { s.UserStatus = !s.UserStatus })
	k.ref.settings = k.settings
}

func (k *walk) toggleFriends(string, string) {
	k.configure(func(s *Settings) { s.FriendNotifications = !s.FriendNotifications })
	k.ref.settings = k.settings
}

// deleteOne also reads the streams of all watchers, who receive UNKNOWN.
func (k *walk) deleteOne(user, _ string) {
	if k.ref.users[user] == nil {
		return
	}
	watchers, now := k.watchersOf(user), k.now()
	k.remove(user) // the deletion waits for the end of the second
	k.ref.delete(user, now)
	k.lose(user, watchers)
}

// renameOne reads the streams of the watchers in every other case.
func (k *walk) renameOne(user, to string) {
	switch {
	case k.ref.users[user] == nil:
		_, err := k.Rename(k.t.Context(), user, to)
		wantCode(k.t, err, CodeUnknownUser, "renaming nobody")
		return
	case k.ref.users[to] != nil:
		_, err := k.Rename(k.t.Context(), user, to)
		wantCode(k.t, err, CodeMalformed, "the new ID is taken")
		return
	}
	watchers, now := k.watchersOf(user), k.now()
	k.rename(user, to) // the rename waits for the end of the second
	k.ref.rename(user, to, now)
	if k.rand.IntN(2) == 0 {
		watchers = nil
	}
	k.lose(user, watchers)
}

// watchersOf returns the streams that must receive UNKNOWN when the user is gone.
func (k *walk) watchersOf(user string) (watchers []*viewer) {
	for _, v := range k.streams {
		if v.device.UserID != user && k.ref.mayWatch(v.device.UserID, user) {
			watchers = append(watchers, v)
		}
	}
	return watchers
}

// lose ends the clients of an ID that no longer belongs to a user, and checks what the
// watchers received.
func (k *walk) lose(user string, watchers []*viewer) {
	k.gone(user, "")
	for _, v := range watchers {
		k.checkView(v)
		if got := v.view[user].StatusType; got != Unknown {
			k.t.Errorf("%s shows %s, who is gone, as %s, want UNKNOWN", v.device.UserID, user, got)
		}
	}
	delete(k.last, user)
	delete(k.public, user)
	maps.DeleteFunc(k.left, func(_ string, v *viewer) bool { return v.device.UserID == user })
}

func (k *walk) importOne(user, _ string) {
	k.register(user)
	k.ref.register(user)
}

func (k *walk) passSome(string, string) {
	most := []time.Duration{time.Second, 15 * time.Second, time.Minute, 10 * time.Minute, 3 * time.Hour}
	d := time.Duration(k.rand.Int64N(int64(most[k.rand.IntN(len(most))])))
	if k.log != nil {
		d /= 20 // beats take real time
	}
	k.steps = append(k.steps, d.String())
	k.pass(d)
}

// restartAll first stores the time: a grace that ended since the last write, and changed
// nothing, would otherwise begin again.
func (k *walk) restartAll(string, string) {
	if k.log != nil {
		return // the end of a node is another thing
	}
	k.must(k.writer.do(k.t.Context(), probe{}))
	stopped := k.now()
	k.restart(time.Duration(k.rand.Int64N(int64(30 * time.Minute))))
	k.ref.restart(stopped, k.now())
	k.followFrom(k.feed.cursor, k.feed.seen)
	maps.Copy(k.left, k.streams)
	clear(k.streams)
}
