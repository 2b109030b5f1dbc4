package presence

import (
	"cmp"
	"slices"
)

// order is the list of all users in ascending order of version, in the view of the
// server side. A feed is a place in
// it: what the feed still has to send is the rest of the list. So a feed needs no queue
// and no set of its own, however many users change while nobody reads it.
//
// A deleted user stays in the list, with the status UNKNOWN, until all feeds that have
// to send it have done so.
type order struct {
	oldest, newest *user
	gone           []*user          // deleted users in ascending order of version; some may no longer be in goneByID
	goneByID       map[string]*user // the deleted users in the list, by user ID
}

// placed is the place of a user in the list. Both are nil for a user who is alone in the
// list, or not in it.
type placed struct{ older, newer *user }

// fill puts all users into an empty list. gone are the deleted ones.
func (o *order) fill(users map[string]*user, gone []*user) {
	o.goneByID = make(map[string]*user)
	slices.SortFunc(gone, byVersion)
	o.gone = gone
	all := make([]*user, 0, len(users)+len(gone))
	for _, u := range users {
		all = append(all, u)
	}
	for _, u := range gone {
		o.goneByID[u.userID] = u
		all = append(all, u)
	}
	slices.SortFunc(all, byVersion)
	for _, u := range all {
		o.insert(u)
	}
}

func byVersion(a, b *user) int { return cmp.Compare(a.own.version, b.own.version) }

// insert puts a user into the list. It looks for the place from the newest end, where
// all changes of a batch belong.
func (o *order) insert(u *user) {
	older := o.newest
	for older != nil && older.own.version > u.own.version {
		older = older.placed.older
	}
	u.placed.older = older
	if older == nil {
		u.placed.newer, o.oldest = o.oldest, u
	} else {
		u.placed.newer, older.placed.newer = older.placed.newer, u
	}
	if u.placed.newer == nil {
		o.newest = u
	} else {
		u.placed.newer.placed.older = u
	}
}

// remove takes a user out of the list. It does nothing if the user is not in it.
func (o *order) remove(u *user) {
	older, newer := u.placed.older, u.placed.newer
	if older == nil && o.oldest != u {
		return
	}
	if older == nil {
		o.oldest = newer
	} else {
		older.placed.newer = newer
	}
	if newer == nil {
		o.newest = older
	} else {
		newer.placed.older = older
	}
	u.placed = placed{}
}

// place moves a user to the place of their version, or adds them to the list. In one
// batch users are placed in another order than that of their versions, so a feed may
// already be at the user who follows u.
func (m *model) place(u *user) {
	m.displace(u)
	m.order.insert(u)
	for _, f := range m.feeds {
		if f.next != nil && f.next == u.placed.newer && f.isOwed(u) {
			f.next = u
		}
	}
}

// displace takes a user out of the list. Feeds that would have sent this user next
// continue with the following one.
func (m *model) displace(u *user) {
	for _, f := range m.feeds {
		if f.next == u {
			f.next = u.placed.newer
		}
	}
	m.order.remove(u)
}

// placeGone moves a deleted user to the place of their deletion, if a feed has to send
// it; otherwise it takes the user out of the list.
func (m *model) placeGone(u *user) {
	if len(m.feeds) == 0 && len(m.cursors) == 0 {
		m.displace(u)
		return
	}
	m.place(u)
	m.order.gone = append(m.order.gone, u)
	m.order.goneByID[u.userID] = u
}

// forgetGone takes a deleted user out of the list, because a user with that ID was
// registered since.
func (m *model) forgetGone(userID string) {
	if u := m.order.goneByID[userID]; u != nil {
		delete(m.order.goneByID, userID)
		m.displace(u)
	}
}

// pruneGone takes those deleted users out of the list whom all feeds have sent.
func (m *model) pruneGone() {
	o := &m.order
	if len(o.gone) == 0 {
		return
	}
	sent := m.sentByAll()
	n := 0
	for ; n < len(o.gone) && o.gone[n].own.version <= sent; n++ {
		if u := o.gone[n]; o.goneByID[u.userID] == u {
			m.forgetGone(u.userID)
		}
	}
	o.gone = slices.Delete(o.gone, 0, n)
	if len(o.gone) == 0 {
		o.gone = nil
	}
}

// sentByAll returns the version up to which all feeds have sent everything.
func (m *model) sentByAll() int64 {
	sent := m.cursors.lowest(m.version)
	for _, f := range m.feeds {
		if !f.isStored() {
			sent = min(sent, f.cursor)
		}
	}
	return sent
}
