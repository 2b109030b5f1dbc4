package presence

import "slices"

// model is what is known of all users, in memory. It is guarded by
// Service.mu; see the package comment.
type model struct {
	version   int64
	settings  Settings
	switches  switches
	jumps     jumps
	deletions deletions
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
	due      micros    // the next deadline, and
	dueIndex int       // its place among all; see deadlines
	live     *live     // nil: has no session
	audience *audience // nil: has no watcher with a session
}

func (m *model) user(id uint32) *user {
	if int(id) >= len(m.users) {
		return nil
	}
	return m.users[id]
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
	for _, s := range slices.Clone(u.sessions()) {
		m.end(s, ending{kind: endKicked, kick: KickedByAdmin})
	}
	// Watchers go on watching the number, which is never used again: that
	// decides whether UNKNOWN, while it waits, may still be told.
	delete(m.byName, u.userID)
	m.users[u.id] = nil
}
