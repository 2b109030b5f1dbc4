package presence

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"
)

// The moves of the walk. Each is made on the service and on the reference.

// connectFresh is a client that knows nothing and queries what it watches.
func (k *walk) connectFresh(user, _ string) {
	v := k.attach(k.anyDevice(user), make(map[string]Status))
	found, _ := k.Get(k.ref.watchedBy(user)...)
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
		k.ref.drop(v.device.UserID, v.device.ID, time.Now())
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

func (k *walk) setSome(user, text string) { k.setFor(user, k.long(text), 0) }
func (k *walk) clear(user, _ string)      { k.setFor(user, "", 0) }

// long lengthens a text, in every other walk, so that few fit into one event.
func (k *walk) long(text string) string {
	return text + strings.Repeat(".", k.rand.IntN(20_000)*int(k.seed%2))
}

func (k *walk) setExpiring(user, text string) {
	k.setFor(user, k.long(text), time.Duration(1+k.rand.Int64N(int64(20*time.Minute))))
}

func (k *walk) setFor(user, text string, expiresIn time.Duration) {
	if k.ref.users[user] == nil {
		_, err := k.Set(k.t.Context(), user, text, expiresIn)
		wantCode(k.t, err, CodeUnknownUser, "setting a status without a user")
		return
	}
	now := time.Now()
	expires := k.set(user, text, expiresIn).ExpiresAt
	if late := expires.Sub(now.Add(expiresIn)); !expires.IsZero() && (late < -time.Microsecond || late > 2*time.Millisecond) {
		k.t.Errorf("expires %v after it should", late)
	}
	if expires.IsZero() == (expiresIn > 0 && text != "") {
		k.t.Errorf("expires at %v, set for %v", expires, expiresIn)
	}
	k.ref.set(user, text, expires, now)
}

func (k *walk) logout(user, _ string)    { k.logoutFrom(user, k.anyDevice(user).ID) }
func (k *walk) logoutAll(user, _ string) { k.logoutFrom(user, "") }

func (k *walk) logoutFrom(user, device string) {
	if k.ref.users[user] != nil {
		k.must(k.Logout(k.t.Context(), user, device))
		k.ref.expel(user, device, time.Now())
		k.gone(user, device)
	}
}

func (k *walk) kick(user, _ string) {
	if k.ref.users[user] != nil {
		now := time.Now()
		k.must(k.Kick(k.t.Context(), user)) // the kick waits for the end of the second
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
	watchers, now := k.watchersOf(user), time.Now()
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
	watchers, now := k.watchersOf(user), time.Now()
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
	maps.DeleteFunc(k.left, func(_ string, v *viewer) bool { return v.device.UserID == user })
}

func (k *walk) importOne(user, _ string) {
	k.register(user)
	k.ref.register(user)
}

func (k *walk) passSome(string, string) {
	most := []time.Duration{time.Second, 15 * time.Second, time.Minute, 10 * time.Minute, 3 * time.Hour}
	d := time.Duration(k.rand.Int64N(int64(most[k.rand.IntN(len(most))])))
	k.steps = append(k.steps, d.String())
	k.pass(d)
}

func (k *walk) restartAll(string, string) {
	stopped := time.Now()
	k.restart(time.Duration(k.rand.Int64N(int64(30 * time.Minute))))
	k.ref.restart(stopped, time.Now())
	maps.Copy(k.left, k.streams)
	clear(k.streams)
}
