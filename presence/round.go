package presence

import (
	"cmp"
	"slices"
	"time"
)

// waiting holds the users whose status a session has yet to send. The value is
// the version up to which a cursor must not get while the user waits: that of
// the status, or of what made it visible if that is later.
type waiting map[*user]int64

// round is what waited for a session at one moment, in order of version. A list
// that is too long for one event leaves as several, the parts of a round. What
// changes after the round began waits for the next one, so the versions on a
// stream only grow, and after each part it is known up to which version
// everything has been sent.
type round struct {
	turns []turn
	next  int           // the first turn that has not been taken
	end   int64         // the version of the model when the round began
	since time.Duration // Session.waitingSince then
}

type turn struct {
	user    *user
	version int64 // as in waiting; the turn is void once that differs
}

// maxPart is the size of the JSON of a list, in bytes, from which it is split. A
// client that reads lines of at most 64 KiB, as r3labs/sse does, can read it.
const maxPart = 32 << 10

// manyWaiting is the number of users from which the memory of a set or a list
// is released after use.
const manyWaiting = 256

func (r *round) left() int { return len(r.turns) - r.next }

// wait puts t on the waiting set, because of a change of the given version. If t
// waits already, only a newer status delays its turn: another reason to send
// the same status may be withdrawn again.
func (s *Session) wait(t *user, version int64) {
	if s.waiting == nil {
		s.waiting = make(waiting)
	}
	if before, waits := s.waiting[t]; waits {
		version = min(version, before)
	}
	s.waiting[t] = max(version, t.version)
}

// skip passes over the turns that are void, and reports whether one is left.
func (s *Session) skip(m *model) bool {
	r := &s.round
	for ; r.left() > 0; r.next++ {
		t := r.turns[r.next]
		if version, waits := s.waiting[t.user]; !waits || version != t.version {
			continue
		}
		if !s.returned(m, t.user) {
			return true
		}
		delete(s.waiting, t.user)
	}
	return false
}

// returned reports whether u was deleted and then registered again, and the
// new user waits too: one status is then sent for both.
func (s *Session) returned(m *model, u *user) bool {
	if u.statusType != Unknown {
		return false
	}
	_, waits := s.waiting[m.byName[u.userID]]
	return waits
}

// begin starts a round of all that waits. At least one turn of it is valid.
func (s *Session) begin(m *model) {
	r := &s.round
	r.turns, r.next, r.end, r.since = r.turns[:0], 0, m.version, s.waitingSince
	s.waitingSince = 0
	for u, version := range s.waiting {
		r.turns = append(r.turns, turn{u, version})
	}
	if len(r.turns) > 1 {
		slices.SortFunc(r.turns, func(a, b turn) int {
			return cmp.Or(cmp.Compare(a.version, b.version), cmp.Compare(a.user.version, b.user.version))
		})
	}
	s.skip(m)
}

// updated returns the next part of the round, or of a new one. What it holds is
// as it is now.
func (s *Session) updated(m *model, now time.Time, inRound bool) Event {
	if cap(s.batch) > manyWaiting {
		s.batch = nil
	}
	s.batch = s.batch[:0]
	if !inRound {
		s.begin(m)
	}
	r := &s.round
	for size := 0; s.skip(m); r.next++ {
		u := r.turns[r.next].user
		status := u.status()
		if size += status.sizeJSON() + len(","); size > maxPart && len(s.batch) > 0 {
			break
		}
		s.batch = append(s.batch, status)
		delete(s.waiting, u)
	}
	s.cursor, s.lastEvent, s.lastUpdate = s.sentUpTo(m), now, now
	s.handedOut(now)
	if r.left() == 0 {
		s.release()
	}
	return Event{Type: Updated, Cursor: s.cursor, Statuses: s.batch}
}

// sentUpTo returns the highest version up to which everything that concerns the
// session has been sent.
func (s *Session) sentUpTo(m *model) int64 {
	switch {
	case len(s.waiting) == 0:
		return m.version
	case s.round.left() > 0:
		return s.round.turns[s.round.next].version - 1
	}
	return s.round.end
}

// release ends a round, and returns its memory if that is much.
func (s *Session) release() {
	if r := &s.round; cap(r.turns) > manyWaiting {
		*r = round{}
		if len(s.waiting) == 0 {
			s.waiting = nil
		}
	} else {
		clear(r.turns)
		r.turns, r.next = r.turns[:0], 0
	}
}
