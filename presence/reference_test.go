package presence

import (
	"maps"
	"slices"
	"time"
)

// reference is a naive implementation of what the design says about statuses and who
// receives them. It computes everything each time, and stores nothing that follows
// from something else. It calls nothing of the package.
type reference struct {
	settings Settings
	users    map[string]*refUser
	kicked   map[string]time.Time // device → time until which it is refused
}

type refUser struct {
	own, public   *refView // as the user and the server side see the devices, and as all others do
	invisible     bool
	entries       map[string]*refEntry
	subscriptions []string // the earliest first
	friends       []string
}

// refView is the devices of a user as somebody sees them. An invisible user has none in
// public: what happens to them meanwhile is done to the own view alone.
type refView struct {
	devices    map[string]*refDevice
	lastOnline time.Time
	leftAt     time.Time // when it became UNLOGINED
}

type refEntry struct {
	text               string
	availability       Availability
	priority, place    int // of equals, the highest place is shown
	setAt              time.Time
	startsAt, expireAt time.Time
}

type refDevice struct {
	native                  bool
	connected, idle         bool
	graceUntil, retainUntil time.Time
}

func (d *refDevice) inGrace(now time.Time) bool  { return !d.connected && now.Before(d.graceUntil) }
func (d *refDevice) retained(now time.Time) bool { return d.native && now.Before(d.retainUntil) }

func (d *refDevice) end() time.Time {
	if d.native && d.retainUntil.After(d.graceUntil) {
		return d.retainUntil
	}
	return d.graceUntil
}

func newRefView() *refView { return &refView{devices: make(map[string]*refDevice)} }

func (v *refView) statusType(now time.Time) StatusType {
	best := Unlogined
	for _, d := range v.devices {
		switch {
		case d.connected || d.inGrace(now):
			return Online
		case d.retained(now):
			best = Offline
		}
	}
	return best
}

func (v *refView) isAway(now time.Time) bool {
	for _, d := range v.devices {
		if !d.idle && (d.connected || d.inGrace(now)) {
			return false
		}
	}
	return v.statusType(now) == Online
}

// look notes that the time has come to be now, and forgets what is gone.
func (v *refView) look(now time.Time) {
	for id, d := range v.devices {
		until := now
		if !d.connected && d.graceUntil.Before(now) {
			until = d.graceUntil
		}
		v.lastOnline = later(v.lastOnline, until)
		if !d.connected && !d.inGrace(now) && !d.retained(now) {
			v.leftAt = later(v.leftAt, d.end())
			delete(v.devices, id)
		}
	}
}

// connect logs a device in. Others may have seen it logged out, so that it begins anew.
func (v *refView) connect(device string, native, keepsIdle bool, now time.Time) {
	before := v.devices[device]
	idle := keepsIdle && before != nil && before.idle && (before.connected || before.inGrace(now))
	v.devices[device] = &refDevice{native: native, connected: true, idle: idle}
}

// expel forgets devices: the one named, or all.
func (v *refView) expel(device string, now time.Time) (gone []string) {
	v.look(now)
	for id := range v.devices {
		if device == "" || device == id {
			delete(v.devices, id)
			v.leftAt = now
			gone = append(gone, id)
		}
	}
	return gone
}

// views returns those that what the user's devices do now is done to.
func (u *refUser) views() []*refView {
	if u.invisible {
		return []*refView{u.own}
	}
	return []*refView{u.own, u.public}
}

// shown returns what is shown of u to somebody who sees v, but for the version.
func (r *reference) shown(user string, v *refView, now time.Time) Status {
	u := r.users[user]
	s := Status{UserID: user, StatusType: v.statusType(now), Invisible: u.invisible && v == u.own}
	var best *refEntry
	for _, e := range u.entries {
		if now.Before(e.startsAt) {
			continue
		}
		s.Availability = max(s.Availability, e.availability)
		if e.text != "" && (best == nil || e.priority > best.priority || e.priority == best.priority && e.place > best.place) {
			best = e
		}
	}
	if best != nil {
		s.CustomStatus, s.ExpiresAt = best.text, best.expireAt
	}
	if s.Availability == Available && v.isAway(now) {
		s.Availability = Away
	}
	if s.StatusType != Online && !v.lastOnline.IsZero() {
		s.LastSeenAt = v.lastOnline.UTC().Truncate(time.Minute)
	}
	return s
}

// advance lets the time be now.
func (r *reference) advance(now time.Time) {
	for _, u := range r.users {
		u.own.look(now)
		u.public.look(now)
		for source, e := range u.entries {
			end := e.expireAt // by that alone, if there is one
			if end.IsZero() && u.public.statusType(now) == Unlogined && !now.Before(e.startsAt) {
				end = later(later(e.setAt, e.startsAt), u.public.leftAt).Add(r.settings.CustomStatusTTL)
			}
			if !end.IsZero() && !now.Before(end) {
				delete(u.entries, source)
			}
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (r *reference) register(user string) *refUser {
	if r.users[user] == nil {
		r.users[user] = &refUser{own: newRefView(), public: newRefView(), entries: make(map[string]*refEntry)}
	}
	return r.users[user]
}

func (r *reference) connect(user, device string, native bool, now time.Time) {
	delete(r.kicked, user+"/"+device)
	u := r.register(user)
	keepsIdle := u.invisible || u.public.devices[device] != nil
	for _, v := range u.views() {
		v.connect(device, native, keepsIdle, now)
	}
}

func (r *reference) drop(user, device string, now time.Time) {
	if u := r.users[user]; u != nil {
		for _, v := range u.views() {
			if v.devices[device] != nil {
				r.dropDevice(v.devices[device], now, r.settings.ReconnectGrace)
			}
		}
	}
}

func (r *reference) dropDevice(d *refDevice, now time.Time, grace time.Duration) {
	d.connected = false
	d.graceUntil, d.retainUntil = now.Add(grace), now.Add(r.settings.OfflineRetention)
}

// expel removes devices of a user: the named one, or all.
func (r *reference) expel(user, device string, now time.Time) {
	for _, v := range r.users[user].views() {
		for _, id := range v.expel(device, now) {
			r.kicked[user+"/"+id] = now.Add(time.Minute)
		}
	}
}

func (r *reference) refuses(user, device string, now time.Time) bool {
	return now.Before(r.kicked[user+"/"+device])
}

// setIdle reports whether the device is connected.
func (r *reference) setIdle(user, device string, idle bool) bool {
	u := r.users[user]
	if d := u.own.devices[device]; d == nil || !d.connected {
		return false
	}
	for _, v := range u.views() {
		v.devices[device].idle = idle
	}
	return true
}

// setVisibility is a logout for all others, and then a login of what is connected.
func (r *reference) setVisibility(user string, invisible bool, now time.Time) {
	u := r.users[user]
	if u.invisible == invisible {
		return
	}
	u.invisible = invisible
	if invisible {
		u.public.expel("", now)
		return
	}
	for id, d := range u.own.devices {
		if d.connected {
			u.public.devices[id] = new(*d)
		}
	}
}

// restart is of a process that ran until stopped and runs again from now.
func (r *reference) restart(stopped, now time.Time) {
	r.advance(stopped)
	for _, u := range r.users {
		for _, v := range []*refView{u.own, u.public} {
			for _, d := range v.devices {
				if d.connected {
					r.dropDevice(d, now, r.settings.RestartGrace)
				} else if d.inGrace(stopped) {
					d.graceUntil = later(d.graceUntil, now.Add(r.settings.RestartGrace))
				}
			}
		}
	}
	r.advance(now)
}

// room reports whether there is room for an entry of a source.
func (r *reference) room(user, source string) bool {
	named := 0
	for other := range r.users[user].entries {
		if other != "" && other != source {
			named++
		}
	}
	return source == "" || r.users[user].entries[source] != nil || named < r.settings.Entries
}

// set replaces the entry of a source. place is higher than any before.
func (r *reference) set(user, source string, e refEntry) {
	entries := r.users[user].entries
	if e.text == "" && e.availability == Available {
		delete(entries, source)
		return
	}
	if before := entries[source]; before != nil {
		same := e
		same.place, same.setAt = before.place, before.setAt
		if same == *before {
			e.place = before.place
		}
	}
	entries[source] = &e
}

// subscribe returns the users whose subscriptions it evicts.
func (r *reference) subscribe(user string, targets ...string) []string {
	u := r.users[user]
	for _, target := range targets {
		if target != user && r.users[target] != nil {
			u.subscriptions = append(without(u.subscriptions, target), target)
		}
	}
	over := max(0, len(u.subscriptions)-r.settings.Subscriptions)
	evicted := u.subscriptions[:over]
	u.subscriptions = slices.Clone(u.subscriptions[over:])
	return evicted
}

func without(list []string, one string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == one })
}

func (r *reference) delete(user string, now time.Time) {
	r.expel(user, "", now)
	delete(r.users, user)
	for _, u := range r.users {
		u.subscriptions, u.friends = without(u.subscriptions, user), without(u.friends, user)
	}
}

// rename moves a user to another ID, without devices.
func (r *reference) rename(user, to string, now time.Time) {
	r.expel(user, "", now)
	r.users[to] = r.users[user]
	delete(r.users, user)
	for _, u := range r.users {
		for _, list := range [][]string{u.subscriptions, u.friends} {
			if i := slices.Index(list, user); i >= 0 {
				list[i] = to
			}
		}
	}
}

// mayWatch reports whether watcher must receive target's changes now.
func (r *reference) mayWatch(watcher, target string) bool {
	u := r.users[watcher]
	if u == nil || r.users[target] == nil {
		return false
	}
	if watcher == target {
		return true
	}
	friends := r.settings.FriendNotifications && slices.Contains(u.friends, target)
	return r.settings.UserStatus && (friends || slices.Contains(u.subscriptions, target))
}

func (r *reference) watchedBy(watcher string) []string {
	var all []string
	for _, target := range slices.Sorted(maps.Keys(r.users)) {
		if r.mayWatch(watcher, target) {
			all = append(all, target)
		}
	}
	return all
}
