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
	text          string
	expires       time.Time
	setAt, leftAt time.Time
	devices       map[string]*refDevice
	subscriptions []string // the earliest first
	friends       []string
}

type refDevice struct {
	native                  bool
	connected               bool
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

func (u *refUser) statusType(now time.Time) StatusType {
	best := Unlogined
	for _, d := range u.devices {
		switch {
		case d.connected || d.inGrace(now):
			return Online
		case d.retained(now):
			best = Offline
		}
	}
	return best
}

// advance sets the current time.
func (r *reference) advance(now time.Time) {
	for _, u := range r.users {
		for id, d := range u.devices {
			if !d.connected && !d.inGrace(now) && !d.retained(now) {
				u.leftAt = later(u.leftAt, d.end())
				delete(u.devices, id)
			}
		}
		end := u.expires // only the expiry counts, if there is one
		if end.IsZero() && u.statusType(now) == Unlogined {
			end = later(u.setAt, u.leftAt).Add(r.settings.CustomStatusTTL)
		}
		if !end.IsZero() && !now.Before(end) {
			u.text, u.expires = "", time.Time{}
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
		r.users[user] = &refUser{devices: make(map[string]*refDevice)}
	}
	return r.users[user]
}

func (r *reference) connect(user, device string, native bool) {
	delete(r.kicked, user+"/"+device)
	r.register(user).devices[device] = &refDevice{native: native, connected: true}
}

func (r *reference) drop(user, device string, now time.Time) {
	if u := r.users[user]; u != nil && u.devices[device] != nil {
		r.dropDevice(u.devices[device], now, r.settings.ReconnectGrace)
	}
}

func (r *reference) dropDevice(d *refDevice, now time.Time, grace time.Duration) {
	d.connected = false
	d.graceUntil, d.retainUntil = now.Add(grace), now.Add(r.settings.OfflineRetention)
}

// expel removes devices of a user: the named one, or all.
func (r *reference) expel(user, device string, now time.Time) {
	for id := range r.users[user].devices {
		if device == "" || device == id {
			delete(r.users[user].devices, id)
			r.users[user].leftAt = now
			r.kicked[user+"/"+id] = now.Add(time.Minute)
		}
	}
}

func (r *reference) refuses(user, device string, now time.Time) bool {
	return now.Before(r.kicked[user+"/"+device])
}

// restart models a process that ran until stopped and runs again from now.
func (r *reference) restart(stopped, now time.Time) {
	r.advance(stopped)
	for _, u := range r.users {
		for _, d := range u.devices {
			if d.connected {
				r.dropDevice(d, now, r.settings.RestartGrace)
			} else if d.inGrace(stopped) {
				d.graceUntil = later(d.graceUntil, now.Add(r.settings.RestartGrace))
			}
		}
	}
	r.advance(now)
}

func (r *reference) set(user, text string, expires, now time.Time) {
	u := r.users[user]
	u.text, u.expires, u.setAt = text, expires, now
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
