package presence

import "slices"

// view is what an operation reads: the committed state, with what the batch has
// changed so far in front of it. Only the methods in this file read the
// committed state, so no operation can miss a change made earlier in its batch.
type view struct {
	version   int64
	settings  Settings
	switches  switches
	nextUser  uint32
	jumps     jumps
	deletions deletions

	published *model              // the committed state
	accounts  map[uint32]*account // copies to change, by number; nil means deleted in this batch
	names     map[string]*account // the same by name
	kicks     map[deviceKey]kicked
	forgotten int // how many of the oldest kicks
}

// reset begins a view of the committed state. It reuses the memory of v.
func (v *view) reset(m *model, nextUser uint32) {
	if v.accounts == nil || len(v.accounts) > manyChanged {
		v.accounts = make(map[uint32]*account)
		v.names = make(map[string]*account)
		v.kicks = make(map[deviceKey]kicked)
	}
	clear(v.accounts)
	clear(v.names)
	clear(v.kicks)
	v.published, v.nextUser, v.forgotten = m, nextUser, 0
	v.version, v.settings, v.switches = m.version, m.settings, m.switches
	v.jumps, v.deletions = m.jumps, m.deletions
}

// peek returns the account as it is now, to read, or nil.
func (v *view) peek(userID string) *account {
	if a, changed := v.names[userID]; changed {
		return a
	}
	if u := v.published.byName[userID]; u != nil {
		return &u.account
	}
	return nil
}

// peekByID is peek for a user known by number.
func (v *view) peekByID(id uint32) *account {
	if a, changed := v.accounts[id]; changed {
		return a
	}
	if u := v.published.user(id); u != nil {
		return &u.account
	}
	return nil
}

// copyOf returns an account to change: the copy that the batch has already, or
// a new one.
func (v *view) copyOf(a *account) (copied *account, isNew bool) {
	if mine := v.accounts[a.id]; mine != nil {
		return mine, false
	}
	copied = new(*a)
	copied.devices = slices.Clone(a.devices)
	return copied, true
}

func (v *view) put(a *account) { v.accounts[a.id], v.names[a.userID] = a, a }

func (v *view) remove(a *account) { v.accounts[a.id], v.names[a.userID] = nil, nil }

// dueSince returns the deadline of a user that the batch has not changed yet,
// or 0 for none.
func (v *view) dueSince(id uint32) micros {
	if _, changed := v.accounts[id]; changed {
		return 0
	}
	if u := v.published.user(id); u != nil {
		return u.due
	}
	return 0
}

// kick returns the last kick of a device; the zero value means none.
func (v *view) kick(key deviceKey) kicked {
	if k, changed := v.kicks[key]; changed {
		return k
	}
	return v.published.kicked.last[key]
}

// kicksOver returns up to most of the kicks that are to be forgotten by now, and
// counts them as forgotten. Some of them may have been replaced or pardoned
// since; see kick.
func (v *view) kicksOver(now micros, most int) []kickedUntil {
	over := v.published.kicked.over(now, v.forgotten, most)
	v.forgotten += len(over)
	return over
}

// issued returns a cursor, or 0 if this history never gave it out.
func (v *view) issued(cursor int64) int64 {
	if !v.jumps.issued(cursor, v.version) {
		return 0
	}
	return cursor
}
