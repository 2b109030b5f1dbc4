package presence

import "slices"

// model is what is known of all users, in memory. It is guarded by
// Service.mu; see the package comment.
type model struct {
	version   int64
	settings  Settings
	switches  switches
	jumps     []jump  // ascending
	users     []*user // by account.id; nil: never used, or deleted
	byName    map[string]*user
	kicked    kicks
	deadlines deadlines
	census    [Unlogined + 1]int // users by status
	streams   int                // sessions of all users
	draining  bool               // no session may be open any more
	woken     []*Session         // to be woken once the lock is released
	meter     modelMeter
}

// switches are the two switches as they are stored, with the version at which
// each last went on: what happened before that counts as new to watchers.
type switches struct {
	userStatus               bool
	userStatusSince          int64
	friendNotifications      bool
	friendNotificationsSince int64
}

// user is one registered user: the durable account, and who is connected.
type user struct {
	account
	due      micros // the next deadline, and
	dueIndex int    // its place among all; see deadlines

	sessions []*Session
	watching *watching // while there are sessions, else nil

	// The connected users who are told about this one, by account.id.
	subscribers map[uint32]struct{}
	befrienders map[uint32]struct{}
}

// watching is the set of users that a connected user is told about, as
// stored in the database. It is loaded with the first session, and dropped
// with the last.
type watching struct {
	loaded        bool
	changes       int // of the stored set since the first session
	subscriptions []uint32
	friends       []uint32
}

// rule is one of the two reasons to be told about somebody else.
type rule int8

const (
	bySubscription rule = iota
	byFriendship
)

func (m *model) user(id uint32) *user {
	if int(id) >= len(m.users) {
		return nil
	}
	return m.users[id]
}

// audience returns the set of watchers of u by the rule, to read or change.
func (u *user) audience(r rule) *map[uint32]struct{} {
	if r == bySubscription {
		return &u.subscribers
	}
	return &u.befrienders
}

// watched returns the list of the watched by the rule, to read or change.
func (w *watching) watched(r rule) *[]uint32 {
	if r == bySubscription {
		return &w.subscriptions
	}
	return &w.friends
}

// watch enters that w is told about t. It does nothing while w has no
// session, or one that is just loading the whole set.
func (m *model) watch(w, t *user, r rule) {
	if w.watching == nil {
		return
	}
	w.watching.changes++
	if !w.watching.loaded {
		return
	}
	told := m.tells(w, t)
	m.link(w, t, r)
	// A subscription is answered with the status; of a friendship made by
	// others the watcher learns in no other way.
	if r == byFriendship && !told && m.tells(w, t) {
		m.notify(w, t)
	}
}

func (m *model) link(w, t *user, r rule) {
	audience := t.audience(r)
	if _, ok := (*audience)[w.id]; ok {
		return
	}
	if *audience == nil {
		*audience = make(map[uint32]struct{})
	}
	(*audience)[w.id] = struct{}{}
	list := w.watching.watched(r)
	*list = append(*list, t.id)
}

// unwatch undoes watch, and withdraws what was waiting to be sent about t
// unless another rule still applies.
func (m *model) unwatch(w, t *user, r rule) {
	if w.watching == nil {
		return
	}
	w.watching.changes++
	audience := t.audience(r)
	if _, ok := (*audience)[w.id]; !ok {
		return
	}
	leave(audience, w.id)
	list := w.watching.watched(r)
	if i := slices.Index(*list, t.id); i >= 0 {
		*list = slices.Delete(*list, i, i+1)
	}
	m.withdraw(w, t)
}

func leave(audience *map[uint32]struct{}, id uint32) {
	delete(*audience, id)
	if len(*audience) == 0 {
		*audience = nil
	}
}

// unwatchAll forgets whom w watches, when the last session has gone.
func (m *model) unwatchAll(w *user) {
	for _, r := range []rule{bySubscription, byFriendship} {
		for _, id := range *w.watching.watched(r) {
			if t := m.user(id); t != nil {
				leave(t.audience(r), w.id)
			}
		}
	}
	w.watching = nil
}

// tells reports whether w is to be told about t now.
func (m *model) tells(w, t *user) bool {
	if w == t {
		return true
	}
	if !m.switches.userStatus {
		return false
	}
	if _, ok := t.subscribers[w.id]; ok {
		return true
	}
	_, ok := t.befrienders[w.id]
	return ok && m.switches.friendNotifications
}

// withdraw takes back what waits for w's sessions about t, unless a rule still
// allows it.
func (m *model) withdraw(w, t *user) {
	if m.tells(w, t) {
		return
	}
	for _, s := range w.sessions {
		delete(s.waiting, t)
	}
}

// announce puts t on the waiting set of every session that is to be told.
func (m *model) announce(t *user) {
	m.meter.changes++
	m.notify(t, t)
	if !m.switches.userStatus {
		return
	}
	for id := range t.subscribers {
		m.notify(m.user(id), t)
	}
	if !m.switches.friendNotifications {
		return
	}
	for id := range t.befrienders {
		m.notify(m.user(id), t)
	}
}

func (m *model) notify(w, t *user) {
	for _, s := range w.sessions {
		before := len(s.waiting)
		if before == 0 {
			m.woken = append(m.woken, s)
		}
		s.waiting[t] = struct{}{}
		m.meter.waits(s, before)
	}
}

// attach gives u one more session. The set of whom u watches has then to be
// loaded, unless an earlier session did.
func (m *model) attach(u *user, s *Session) {
	u.sessions = append(u.sessions, s)
	m.streams++
	m.meter.opened++
	if u.watching == nil {
		u.watching = new(watching)
	}
}

// detach takes s from its user. It reports false if that was done before.
func (m *model) detach(s *Session) bool {
	u := s.user
	i := slices.Index(u.sessions, s)
	if i < 0 {
		return false
	}
	u.sessions = slices.Delete(u.sessions, i, i+1)
	m.streams--
	if len(u.sessions) == 0 {
		u.sessions = nil
		m.unwatchAll(u)
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

func (m *model) takeWoken() []*Session {
	woken := m.woken
	m.woken = nil
	return woken
}

// put replaces or adds an account.
func (m *model) put(a *account, now micros) *user {
	u := m.byName[a.userID]
	if u == nil {
		u = &user{dueIndex: -1}
		m.byName[a.userID] = u
		for len(m.users) <= int(a.id) {
			m.users = append(m.users, nil)
		}
		m.users[a.id] = u
	} else {
		m.census[u.statusType]--
	}
	u.account = *a
	m.census[u.statusType]++
	m.deadlines.set(u, a.dueAt(now))
	return u
}

// remove deletes a user: tells the watchers, ends the sessions, and leaves no
// trace. Sessions that have not been asked since keep the last status, UNKNOWN.
func (m *model) remove(u *user, version int64) {
	m.census[u.statusType]--
	u.account = account{id: u.id, userID: u.userID, statusType: Unknown, version: version}
	m.deadlines.set(u, 0)
	m.announce(u)
	for _, s := range slices.Clone(u.sessions) {
		m.end(s, ending{kind: endKicked, kick: KickedByAdmin})
	}
	for _, r := range []rule{bySubscription, byFriendship} {
		for id := range *u.audience(r) {
			list := m.user(id).watching.watched(r)
			*list = slices.DeleteFunc(*list, func(t uint32) bool { return t == u.id })
		}
		// The audience stays: it decides whether UNKNOWN, while it waits, may
		// still be told. It goes with the last session that holds it.
	}
	delete(m.byName, u.userID)
	m.users[u.id] = nil
}

// switched withdraws what the switches no longer allow, and has all wait that
// they newly do: what changed before they went on has not been told.
func (m *model) switched(from switches) {
	for _, w := range m.byName {
		for _, s := range w.sessions {
			for t := range s.waiting {
				m.withdraw(w, t)
			}
		}
		for _, r := range []rule{bySubscription, byFriendship} {
			if w.watching != nil && m.switches.since(r) > from.since(r) {
				m.tellAll(w, r)
			}
		}
	}
}

// tellAll has all that w watches by the rule wait for w's sessions.
func (m *model) tellAll(w *user, r rule) {
	for _, id := range *w.watching.watched(r) {
		if t := m.user(id); m.tells(w, t) {
			m.notify(w, t)
		}
	}
}
