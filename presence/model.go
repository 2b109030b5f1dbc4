package presence

import "slices"

// model is the state of all users in memory. It is guarded by Service.mu; see the
// package comment.
type model struct {
	lastRun   int64 // the number of the last run that began
	runs      map[int64]run
	ends      runEnds
	devices   map[int64]int // how many devices each run has
	sweeper   sweeper
	nextUser  uint32 // the account.id of the next user
	version   int64
	applied   mark        // how far the log is applied; zero without a log
	minute    placeDigest // at the first entry of the last minute of the log; zero until one has begun
	settings  Settings
	switches  switches
	jumps     jumps
	deletions deletions
	users     []*user // by account.id; nil means that the number was never used or its user was deleted
	byName    map[string]*user
	kicked    kicks
	deadlines deadlines
	census    census
	streams   int  // sessions of all users, and feeds
	draining  bool // no session or feed may be opened any more
	order     order
	feeds     []*Feed
	cursors   feedCursors
	woken     []*waker      // to call after the lock is released
	ended     []endedStream // to store then, besides those that their sessions report
	meter     modelMeter
}

// switches are the two switches as they are stored, with the version at which each was
// last turned on. Changes before that version are new to watchers.
type switches struct {
	userStatus               bool
	userStatusSince          int64
	friendNotifications      bool
	friendNotificationsSince int64
}

// user is one registered user: the stored account, and what depends on connections.
type user struct {
	account
	due      micros    // the next deadline; zero means that there is none
	dueIndex int       // the user's place in model.deadlines
	live     *live     // nil means that the user has no session
	audience *audience // nil means that no watcher has a session
	placed   placed
}

// census counts users as the server side sees them.
type census struct {
	byStatus       [Unlogined + 1]int
	byAvailability [DND + 1]int
}

// count adds n users like a.
func (c *census) count(a *account, n int) {
	c.byStatus[a.own.statusType] += n
	c.byAvailability[a.availability(&a.own)] += n
}

// viewFor returns the view of u that the user to sees; nil means the server side.
func (u *user) viewFor(to *user) *view {
	if to == nil || to == u {
		return &u.own
	}
	return &u.public
}

// status returns the status of u as the user to sees it; nil means the server side.
func (m *model) status(u, to *user) Status {
	if to == nil || to == u {
		return u.ownStatus(m.settings.LastSeen)
	}
	return u.publicStatus(m.settings.LastSeen)
}

// sessions iterates over the open sessions of all users, in order of the users' numbers.
func (m *model) sessions(yield func(*Session) bool) {
	for _, u := range m.users {
		for _, s := range u.sessions() {
			if !yield(s) {
				return
			}
		}
	}
}

func (m *model) user(id uint32) *user {
	if int(id) >= len(m.users) {
		return nil
	}
	return m.users[id]
}

// update changes the model in memory, and then does what has to wait until the lock is
// released: it wakes the sessions, and has the ends of streams stored.
func (s *Service) update(change func(*model)) {
	s.mu.Lock()
	change(&s.model)
	woken, ended := s.model.woken, s.model.ended
	s.model.woken, s.model.ended = nil, nil
	s.mu.Unlock()
	rouse(woken)
	if len(ended) > 0 {
		s.janitor.streamsEnded(ended...)
	}
}

// put adds an account, or replaces the one with the same user ID.
func (m *model) put(a *account, now micros) {
	u := m.byName[a.userID]
	if u == nil {
		u = m.enter(a)
		m.forgetGone(a.userID)
		m.place(u)
	} else {
		changed := u.own.version != a.own.version
		m.census.count(&u.account, -1)
		m.countDevices(u.devices, -1)
		u.account = *a
		m.census.count(&u.account, +1)
		m.countDevices(u.devices, +1)
		if changed {
			m.place(u)
		}
	}
	m.deadlines.set(u, u.dueAt(now))
}

// enter adds a user who has neither a place in the order nor a deadline yet.
func (m *model) enter(a *account) *user {
	u := &user{account: *a, dueIndex: -1}
	m.byName[a.userID] = u
	for len(m.users) <= int(a.id) {
		m.users = append(m.users, nil)
	}
	m.users[a.id] = u
	m.census.count(a, +1)
	m.countDevices(a.devices, +1)
	return u
}

// remove deletes a user from the model. It announces the status UNKNOWN to the watchers
// and ends the user's sessions. A session that waits to send UNKNOWN keeps the user
// until then.
func (m *model) remove(u *user, version int64) {
	m.census.count(&u.account, -1)
	m.countDevices(u.devices, -1)
	u.account = account{id: u.id, userID: u.userID, own: view{version: version}, public: view{version: version}}
	m.deadlines.set(u, 0)
	m.announce(u, announcement{own: true, public: true})
	for _, s := range slices.Clone(u.sessions()) {
		m.end(s, ending{kind: endKicked, kick: KickedByAdmin})
	}
	// Watchers keep watching the number, which is never used again. It decides
	// whether a session may still send an UNKNOWN that waits.
	delete(m.byName, u.userID)
	m.users[u.id] = nil
	m.placeGone(u)
}
