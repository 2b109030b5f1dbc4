package presence

import (
	"cmp"
	"slices"
)

// rule is one of the two reasons why a user watches another.
type rule int8

const (
	bySubscription rule = iota
	byFriendship
	rules // the number of rules
)

// A pair of watcher and watched is stored twice: in the watcher's list, which is sorted,
// and in the audience of the watched, which is not, so that removing one of a million
// watchers is cheap. Both entries together take 12 bytes.

// live is the part of a user that exists only while the user has a session.
type live struct {
	sessions []*Session
	watching watching
}

// audience holds the connected watchers of a user, by account.id, for each rule.
type audience [rules][]uint32

// watching holds the users that a connected user watches, as stored in the database. It
// is loaded with the first session and dropped with the last.
type watching struct {
	loaded  bool
	changes int // how often the stored set has changed since the first session
	lists   [rules][]watched
}

// watched is one user in a watcher's list, which is in ascending order of target.
type watched struct {
	target uint32 // account.id
	place  uint32 // the index of the watcher in the target's audience
}

// makeRoom allocates exactly the memory that the watches need.
func (w *watching) makeRoom(watches []watch) {
	var n [rules]int
	for _, one := range watches {
		n[one.rule]++
	}
	for r, n := range n {
		w.lists[r] = slices.Grow(w.lists[r], n)
	}
}

func (u *user) sessions() []*Session {
	if u == nil || u.live == nil {
		return nil
	}
	return u.live.sessions
}

// find returns the index of target in u's list, or the index at which to insert it.
func (u *user) find(target uint32, r rule) (at int, found bool) {
	if u.live == nil {
		return 0, false
	}
	return slices.BinarySearchFunc(u.live.watching.lists[r], target, func(w watched, target uint32) int {
		return cmp.Compare(w.target, target)
	})
}

// watch makes w a watcher of t by a rule that was stored with the version since. It does
// nothing if w has no session, or if the first one is still loading the whole set. t is
// nil if no such user exists, which happens only if the database is damaged.
func (m *model) watch(w, t *user, r rule, since int64) {
	if len(w.sessions()) == 0 {
		return
	}
	w.live.watching.changes++
	if !w.live.watching.loaded || t == nil {
		return
	}
	before := m.watches(w, t)
	m.link(w, t, r)
	// Subscribe returns the status to its caller. A friendship may be created
	// by others, so the watcher receives the status as an event.
	if r == byFriendship && !before && m.watches(w, t) {
		m.notify(w, t, since)
	}
}

// link enters the pair in w's list and in t's audience.
func (m *model) link(w, t *user, r rule) {
	at, found := w.find(t.id, r)
	if found {
		return
	}
	if t.audience == nil {
		t.audience = new(audience)
	}
	watchers := &t.audience[r]
	list := &w.live.watching.lists[r]
	*list = slices.Insert(*list, at, watched{target: t.id, place: uint32(len(*watchers))})
	*watchers = append(*watchers, w.id)
}

// unwatch undoes watch. It withdraws what was waiting to be sent about t, unless another
// rule still applies.
func (m *model) unwatch(w, t *user, r rule) {
	if len(w.sessions()) == 0 {
		return
	}
	w.live.watching.changes++
	if t == nil {
		return
	}
	at, found := w.find(t.id, r)
	if !found {
		return
	}
	list := &w.live.watching.lists[r]
	place := (*list)[at].place
	*list = slices.Delete(*list, at, at+1)
	m.removeFromAudience(t, place, r)
	m.withdraw(w, t)
}

// removeFromAudience removes the watcher at place from the audience of t. The last one
// moves to its place.
func (m *model) removeFromAudience(t *user, place uint32, r rule) {
	watchers := &t.audience[r]
	last := len(*watchers) - 1
	if int(place) != last {
		moved := m.user((*watchers)[last])
		(*watchers)[place] = moved.id
		at, _ := moved.find(t.id, r)
		moved.live.watching.lists[r][at].place = place
	}
	if *watchers = (*watchers)[:last]; last < cap(*watchers)/4 {
		*watchers = slices.Clip(slices.Clone(*watchers))
	}
	if len(t.audience[bySubscription]) == 0 && len(t.audience[byFriendship]) == 0 {
		t.audience = nil
	}
}

// unwatchAll removes w from all audiences, after its last session has ended.
func (m *model) unwatchAll(w *user) {
	for r, list := range w.live.watching.lists {
		for _, one := range list {
			if t := m.user(one.target); t != nil {
				m.removeFromAudience(t, one.place, rule(r))
			}
		}
	}
}

// watches reports whether w is to be notified of t now, by any rule and both switches.
func (m *model) watches(w, t *user) bool {
	if w == t {
		return true
	}
	if !m.switches.userStatus {
		return false
	}
	if _, ok := w.find(t.id, bySubscription); ok {
		return true
	}
	_, ok := w.find(t.id, byFriendship)
	return ok && m.switches.friendNotifications
}

// withdraw removes t from the waiting sets of w's sessions, unless a rule still
// applies.
func (m *model) withdraw(w, t *user) {
	if m.watches(w, t) {
		return
	}
	for _, s := range w.sessions() {
		delete(s.waiting, t)
	}
}

// announce puts t on the waiting sets of its own sessions, if its own view shows the
// change, and of its watchers, if the public view does.
func (m *model) announce(t *user, change announcement) {
	m.meter.changes++
	if change.own {
		m.notify(t, t, t.own.version)
	}
	if !change.public || !m.switches.userStatus || t.audience == nil {
		return
	}
	for _, id := range t.audience[bySubscription] {
		m.notify(m.user(id), t, t.public.version)
	}
	if !m.switches.friendNotifications {
		return
	}
	for _, id := range t.audience[byFriendship] {
		m.notify(m.user(id), t, t.public.version)
	}
}

// notify puts t on the waiting set of every session of w. version is that of the change
// of t, or of the change that made t visible to w.
func (m *model) notify(w, t *user, version int64) {
	for _, s := range w.sessions() {
		before := len(s.waiting)
		if before == 0 {
			m.woken = append(m.woken, &s.waker)
		}
		s.wait(t, version)
		m.meter.waits(s, before)
	}
}

// attach adds a session to u. The users that u watches must then be loaded, unless
// another session has loaded them already.
func (m *model) attach(u *user, s *Session) {
	if u.live == nil {
		u.live = new(live)
	}
	u.live.sessions = append(u.live.sessions, s)
	m.streams++
	m.meter.opened++
}

// detach removes s from its user, and withdraws a login that was not proposed yet. It
// reports false if s was removed before.
func (m *model) detach(s *Session) bool {
	u := s.user
	i := slices.Index(u.sessions(), s)
	if i < 0 {
		return false
	}
	if s.login != nil {
		s.login.take()
	}
	u.live.sessions = slices.Delete(u.live.sessions, i, i+1)
	m.streams--
	if len(u.live.sessions) == 0 {
		m.unwatchAll(u)
		u.live = nil
	}
	return true
}

// end ends the session. Its Next reports why, and nothing that was waiting.
func (m *model) end(s *Session, why ending) {
	if !m.detach(s) {
		return
	}
	s.ending = why
	m.meter.ended[why.name()]++
	clear(s.waiting)
	m.woken = append(m.woken, &s.waker)
}

// allWakers returns the wakers of all open sessions and feeds.
func (s *Service) allWakers() []*waker {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := make([]*waker, 0, s.model.streams)
	for session := range s.model.sessions {
		all = append(all, &session.waker)
	}
	for _, f := range s.model.feeds {
		all = append(all, &f.waker)
	}
	return all
}

// switched applies a change of the switches. It withdraws what they no longer allow, and
// puts on the waiting sets what they newly allow, because changes made while a switch
// was off have not been sent.
func (m *model) switched(from switches) {
	for _, w := range m.byName {
		for _, s := range w.sessions() {
			for t := range s.waiting {
				m.withdraw(w, t)
			}
		}
		for r := range rules {
			if w.live != nil && m.switches.since(r) > from.since(r) {
				m.notifyAll(w, r)
			}
		}
	}
}

// notifyAll puts all users that w watches by a rule on the waiting sets of w's sessions,
// because a switch was turned on.
func (m *model) notifyAll(w *user, r rule) {
	for _, one := range w.live.watching.lists[r] {
		if t := m.user(one.target); t != nil && m.watches(w, t) {
			m.notify(w, t, m.switches.since(r))
		}
	}
}
