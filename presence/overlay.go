package presence

import "slices"

// overlay is the state that an operation reads: the committed state, overlaid with what the
// batch has changed so far. Only the methods in this file read the committed state, so
// no operation can miss a change made earlier in its batch.
type overlay struct {
	version   int64
	settings  Settings
	switches  switches
	nextUser  uint32
	jumps     jumps
	deletions deletions
	cursors   feedCursors
	lastRun   int64
	runs      map[int64]run
	ends      runEnds

	published *model               // the committed state
	accounts  map[uint32]*account  // copies that the batch changes, by account.id; nil means deleted in this batch
	names     map[string]*account  // the same copies by user ID
	kicks     map[deviceKey]kicked // kicks that the batch changes
	forgotten int                  // how many of the oldest kicks the batch has forgotten
	ids       []uint32             // memory of changed
}

// reset begins an overlay of the committed state. It reuses the memory of v.
func (v *overlay) reset(m *model) {
	if v.accounts == nil || len(v.accounts) > manyChanged {
		v.accounts = make(map[uint32]*account)
		v.names = make(map[string]*account)
		v.kicks = make(map[deviceKey]kicked)
		v.ids = nil
	}
	clear(v.accounts)
	clear(v.names)
	clear(v.kicks)
	v.published, v.nextUser, v.forgotten = m, m.nextUser, 0
	v.version, v.settings, v.switches = m.version, m.settings, m.switches
	v.jumps, v.deletions, v.cursors = m.jumps, m.deletions, m.cursors
	v.lastRun, v.runs, v.ends = m.lastRun, m.runs, m.ends
}

// peek returns the account, which must not be changed, or nil if there is no such user.
func (v *overlay) peek(userID string) *account {
	if a, changed := v.names[userID]; changed {
		return a
	}
	if u := v.published.byName[userID]; u != nil {
		return &u.account
	}
	return nil
}

// peekByID is peek for an account.id.
func (v *overlay) peekByID(id uint32) *account {
	if a, changed := v.accounts[id]; changed {
		return a
	}
	return v.stored(id)
}

// stored returns the account as the database has it, or nil if it doesn't yet.
func (v *overlay) stored(id uint32) *account {
	if u := v.published.user(id); u != nil {
		return &u.account
	}
	return nil
}

// copyOf returns a copy of an account that may be changed: the one that the batch has
// already, or a new one.
func (v *overlay) copyOf(a *account) *account {
	if mine := v.accounts[a.id]; mine != nil {
		return mine
	}
	copied := new(*a)
	copied.devices = slices.Clone(a.devices)
	v.ends.applyTo(copied.devices)
	return copied
}

// changed returns the numbers of the accounts that the batch changes, in ascending order.
// The slice is valid until the next call.
func (v *overlay) changed() []uint32 {
	v.ids = v.ids[:0]
	for id := range v.accounts {
		v.ids = append(v.ids, id)
	}
	slices.Sort(v.ids)
	return v.ids
}

func (v *overlay) put(a *account) { v.accounts[a.id], v.names[a.userID] = a, a }

func (v *overlay) remove(a *account) { v.accounts[a.id], v.names[a.userID] = nil, nil }

// dueSince returns the deadline of a user. Zero means that there is none, or that the
// batch has changed the user already.
func (v *overlay) dueSince(id uint32) micros {
	if _, changed := v.accounts[id]; changed {
		return 0
	}
	if u := v.published.user(id); u != nil {
		return u.due
	}
	return 0
}

// applyEnds applies the ends of runs to the accounts that the batch has changed already.
func (v *overlay) applyEnds() {
	for _, a := range v.accounts {
		if a != nil {
			v.ends.applyTo(a.devices)
		}
	}
}

// inGrace returns the users who had a device of a run that has not ended in its grace at a
// time before the batch, in ascending order. In memory, the ends of runs may have been
// applied to a device or not.
func (v *overlay) inGrace(at micros) (ids []uint32) {
	wasInGrace := func(d device) bool { return v.ends[d.run] == nil && d.stateAt(at) == inGrace }
	for _, u := range v.published.deadlines {
		if slices.ContainsFunc(u.devices, wasInGrace) {
			ids = append(ids, u.id)
		}
	}
	slices.Sort(ids)
	return ids
}

// storedRun returns the number of the last run that had begun before the batch.
func (v *overlay) storedRun() int64 { return v.published.lastRun }

// hasDevices reports whether an ended run had devices before the batch. It gets no new
// ones.
func (v *overlay) hasDevices(run int64) bool { return v.published.devices[run] > 0 }

// kick returns the last kick of a device, or the zero value if there was none.
func (v *overlay) kick(key deviceKey) kicked {
	if k, changed := v.kicks[key]; changed {
		return k
	}
	return v.published.kicked.last[key]
}

// kicksOver returns up to most kicks that are to be forgotten by now, and counts them as
// forgotten. Some of them may have been replaced or pardoned since; see kick.
func (v *overlay) kicksOver(now micros, most int) []kickedUntil {
	over := v.published.kicked.over(now, v.forgotten, most)
	v.forgotten += len(over)
	return over
}

// issued returns cursor, or zero if this database never issued it.
func (v *overlay) issued(cursor int64) int64 { return v.jumps.orZero(cursor, v.version) }

// anyGone reports whether deletions of users are remembered for feeds.
func (v *overlay) anyGone() bool { return len(v.published.order.gone) > 0 }
