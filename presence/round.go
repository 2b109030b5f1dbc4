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
	turns []turn        // of buffer
	next  int           // the first turn that has not been taken
	end   int64         // the version of the model when the round began
	since time.Duration // Session.waitingSince then

	// buffer is borrowed from Service.turns: few sessions are within a round.
	buffer *[]turn
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
	if version > t.version { // else it is the status itself that has changed
		if before, waits := s.waiting[t]; waits {
			version = max(min(version, before), t.version)
		}
	}
	s.waiting[t] = version
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

// begin starts a round of all that waits. All its turns are valid.
func (s *Session) begin(m *model) {
	buffer, _ := s.svc.turns.Get().(*[]turn)
	if buffer == nil {
		buffer = new([]turn)
	}
	r := &s.round
	*r = round{turns: (*buffer)[:0], end: m.version, since: s.waitingSince, buffer: buffer}
	s.waitingSince = 0
	for u, version := range s.waiting {
		if s.returned(m, u) {
			delete(s.waiting, u)
		} else {
			r.turns = append(r.turns, turn{u, version})
		}
	}
	*buffer = r.turns
	if len(r.turns) > 1 {
		slices.SortFunc(r.turns, func(a, b turn) int {
			if a.version != b.version {
				return cmp.Compare(a.version, b.version)
			}
			return cmp.Compare(a.user.version, b.user.version)
		})
	}
}

// updated returns the next part of the round, or the first of a new one. What it
// holds is as it is now.
func (s *Session) updated(m *model, now time.Time, inRound bool) Event {
	if len(s.batch) > manyWaiting {
		s.batch = nil
	}
	s.batch = s.batch[:0]
	if inRound {
		s.nextPart(m)
	} else {
		s.firstPart(m)
	}
	s.cursor, s.lastEvent, s.lastUpdate = s.sentUpTo(m), now, now
	s.handedOut(now)
	if s.round.left() == 0 {
		s.release()
	}
	return Event{Type: EventUpdated, Cursor: s.cursor, Statuses: s.batch}
}

// firstPart takes what fits from a new round. Mostly that is all of it, and then
// the set is emptied at once.
func (s *Session) firstPart(m *model) {
	s.begin(m)
	r := &s.round
	for size := 0; r.left() > 0 && s.take(&size); r.next++ {
	}
	if r.left() == 0 {
		clear(s.waiting)
		return
	}
	for _, t := range r.turns[:r.next] {
		delete(s.waiting, t.user)
	}
}

// nextPart takes what fits from a round that has begun.
func (s *Session) nextPart(m *model) {
	r := &s.round
	for size := 0; s.skip(m) && s.take(&size); r.next++ {
		delete(s.waiting, r.turns[r.next].user)
	}
}

// take adds the next turn to the batch, whose JSON has the given size, unless it
// doesn't fit.
func (s *Session) take(size *int) bool {
	status := s.round.turns[s.round.next].user.status()
	*size += status.sizeJSON() + len(",")
	if *size > maxPart && len(s.batch) > 0 {
		return false
	}
	s.batch = append(s.batch, status)
	return true
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

// release ends a round, and returns its memory.
func (s *Session) release() {
	if len(s.round.turns) > manyWaiting && len(s.waiting) == 0 {
		s.waiting = nil
	}
	clear(s.round.turns)
	s.svc.turns.Put(s.round.buffer)
	s.round = round{}
}
