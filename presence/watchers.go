package presence

import (
	"cmp"
	"slices"
)

// rule is one of the two reasons to be told about somebody else.
type rule int8

const (
	bySubscription rule = iota
	byFriendship
	rules // how many there are
)

// A pair of watcher and watched stands twice: in the watcher's list, which is
// sorted, and in the audience of the watched, which is in no order, so that
// taking one out of a million is cheap. Both together are 12 bytes.

// live is what a user has only while connected.
type live struct {
	sessions []*Session
	watching watching
}

// audience is who is connected and told about a user, by account.id.
type audience [rules][]uint32

// watching is whom a connected user is told about, as stored in the database.
// It is loaded with the first session, and dropped with the last.
type watching struct {
	loaded  bool
	changes int // of the stored set since the first session
	lists   [rules][]watched
}

// watched is one of whom a user is told about: by account.id, ascending.
type watched struct {
	target uint32
	place  uint32 // of the watcher in the target's audience
}

// makeRoom has the lists hold the watches, and no more than that.
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

// find returns where u's list has the target, or would have it.
func (u *user) find(target uint32, r rule) (at int, found bool) {
	if u.live == nil {
		return 0, false
	}
	return slices.BinarySearchFunc(u.live.watching.lists[r], target, func(w watched, target uint32) int {
		return cmp.Compare(w.target, target)
	})
}

// watch makes w a watcher of t, by a rule that was stored with the version since.
// It does nothing while w has no session, or one that is still loading the whole
// set. A t that is nil is a user who doesn't exist, which only a damaged database
// can name.
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
	// A subscription is answered with the status; of a friendship made by
	// others the watcher learns in no other way.
	if r == byFriendship && !before && m.watches(w, t) {
		m.notify(w, t, since)
	}
}

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

// unwatch undoes watch, and withdraws what was waiting to be sent about t
// unless another rule still applies.
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

// leave takes a place out of the audience of t. The last one moves there.
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

// unwatchAll takes w out of all audiences, when the last session has gone.
func (m *model) unwatchAll(w *user) {
	for r, list := range w.live.watching.lists {
		for _, one := range list {
			if t := m.user(one.target); t != nil {
				m.removeFromAudience(t, one.place, rule(r))
			}
		}
	}
}

// tells reports whether w is to be told about t now.
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

// withdraw takes back what waits for w's sessions about t, unless a rule still
// allows it.
func (m *model) withdraw(w, t *user) {
	if m.watches(w, t) {
		return
	}
	for _, s := range w.sessions() {
		delete(s.waiting, t)
	}
}

// announce puts t on the waiting set of every session that is to be told.
func (m *model) announce(t *user) {
	m.meter.changes++
	m.notify(t, t, t.version)
	if !m.switches.userStatus || t.audience == nil {
		return
	}
	for _, id := range t.audience[bySubscription] {
		m.notify(m.user(id), t, t.version)
	}
	if !m.switches.friendNotifications {
		return
	}
	for _, id := range t.audience[byFriendship] {
		m.notify(m.user(id), t, t.version)
	}
}

// notify makes t wait for every session of w. version is that of the change, or
// of what made t visible to w.
func (m *model) notify(w, t *user, version int64) {
	for _, s := range w.sessions() {
		before := len(s.waiting)
		if before == 0 {
			m.woken = append(m.woken, s)
		}
		s.wait(t, version)
		m.meter.waits(s, before)
	}
}

// attach gives u one more session. The set of whom u watches has then to be
// loaded, unless an earlier session did.
func (m *model) attach(u *user, s *Session) {
	if u.live == nil {
		u.live = new(live)
	}
	u.live.sessions = append(u.live.sessions, s)
	m.streams++
	m.meter.opened++
}

// detach takes s from its user. It reports false if that was done before.
func (m *model) detach(s *Session) bool {
	u := s.user
	i := slices.Index(u.sessions(), s)
	if i < 0 {
		return false
	}
	u.live.sessions = slices.Delete(u.live.sessions, i, i+1)
	m.streams--
	if len(u.live.sessions) == 0 {
		m.unwatchAll(u)
		u.live = nil
	}
	return true
}

// end ends the session: its Next reports why instead of anything that waits.
func (m *model) end(s *Session, why ending) {
	if !m.detach(s) {
		return
	}
	s.ending = why
	m.meter.ended[why.name()]++
	clear(s.waiting)
	m.woken = append(m.woken, s)
}

// allSessions returns the sessions that are open.
func (s *Service) allSessions() []*Session {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := make([]*Session, 0, s.model.streams)
	for _, u := range s.model.byName {
		all = append(all, u.sessions()...)
	}
	return all
}

// switched withdraws what the switches no longer allow, and has all wait that
// they newly do: what changed before they went on has not been told.
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

// notifyAll makes everyone that w watches by the rule wait for w's sessions,
// because of the switches.
func (m *model) notifyAll(w *user, r rule) {
	for _, one := range w.live.watching.lists[r] {
		if t := m.user(one.target); t != nil && m.watches(w, t) {
			m.notify(w, t, m.switches.since(r))
		}
	}
}
