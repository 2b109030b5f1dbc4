package presence

import (
	"cmp"
	"slices"
	"time"
)

// waiting is the set of users whose status a session has to send. The value is a
// version that the session's cursor must stay below while the user waits: that of the
// status, or that of the change that made it visible, if it is later.
type waiting map[*user]int64

// round is everything that waited for a session at one moment, in order of version. It
// is sent as one event, or in parts if it is too long for one. What changes after the
// round began waits for the next round. So the versions on a stream only grow, and
// after each part it is known up to which version everything has been sent.
type round struct {
	turns []turn        // a slice of buffer
	next  int           // the index of the first turn that has not been sent
	end   int64         // the version of the model when the round began
	since time.Duration // the value of Session.waitingSince when the round began

	// buffer comes from Service.turns, because few sessions are in a round at
	// the same time.
	buffer *[]turn
}

// turn is one user in a round.
type turn struct {
	user    *user
	version int64 // the user's value in waiting; the turn is void once that has changed
}

// maxPart is the maximum size in bytes of the JSON of one part. Some clients, such as
// r3labs/sse, read lines of at most 64 KiB.
const maxPart = 32 << 10

// manyWaiting is the number of users above which the memory of a set or a list is
// released after use.
const manyWaiting = 256

func (r *round) left() int { return len(r.turns) - r.next }

// wait puts t on the waiting set because of a change with the given version. If t waits
// already, only a new status moves it back. Another reason to send the same status
// doesn't, because that reason may be withdrawn again.
func (s *Session) wait(t *user, version int64) {
	if s.waiting == nil {
		s.waiting = make(waiting)
	}
	if shown := t.viewFor(s.user).version; version > shown { // otherwise the status itself has changed
		if before, waits := s.waiting[t]; waits {
			version = max(min(version, before), shown)
		}
	}
	s.waiting[t] = version
}

// skip advances to the next turn that is not void, and reports whether there is one.
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

// returned reports whether u was deleted and then registered again, and the new user
// waits as well. Only the status of the new user is then sent.
func (s *Session) returned(m *model, u *user) bool {
	if u.own.statusType != Unknown {
		return false
	}
	_, waits := s.waiting[m.byName[u.userID]]
	return waits
}

// begin starts a round with everything that waits.
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
			return cmp.Compare(a.user.viewFor(s.user).version, b.user.viewFor(s.user).version)
		})
	}
}

// updated returns an event with the next part of the round, or with the first part of a
// new round. Its statuses are the current ones.
func (s *Session) updated(m *model, now time.Time, inRound bool) Event {
	if len(s.batch) > manyWaiting && !inRound {
		s.batch = nil
	}
	s.batch = s.batch[:0]
	if inRound {
		s.nextPart(m)
	} else {
		s.firstPart(m)
	}
	s.cursor, s.lastEvent, s.lastUpdate = s.sentUpTo(m), now, now
	s.svc.meters.handedOut(s.stream, len(s.batch), s.round.since, now)
	if s.round.left() == 0 {
		s.release()
	}
	return Event{Type: EventUpdated, Cursor: s.cursor, Statuses: s.batch}
}

// firstPart begins a round and takes what fits into one event. This is usually all of
// it, in which case the whole waiting set is cleared.
func (s *Session) firstPart(m *model) {
	s.begin(m)
	r := &s.round
	for size := 0; r.left() > 0 && s.take(m, &size); r.next++ {
	}
	if r.left() == 0 {
		clear(s.waiting)
		return
	}
	for _, t := range r.turns[:r.next] {
		delete(s.waiting, t.user)
	}
}

// nextPart takes from the current round what fits into one event.
func (s *Session) nextPart(m *model) {
	r := &s.round
	for size := 0; s.skip(m) && s.take(m, &size); r.next++ {
		delete(s.waiting, r.turns[r.next].user)
	}
}

// take adds the status of the next turn to the event and its length to size. It reports
// false, and adds nothing, if the status doesn't fit.
func (s *Session) take(m *model, size *int) bool {
	status := m.status(s.round.turns[s.round.next].user, s.user)
	*size += status.sizeJSON() + len(",")
	if *size > maxPart && len(s.batch) > 0 {
		return false
	}
	s.batch = append(s.batch, status)
	return true
}

// sentUpTo returns the highest version up to which the session has sent everything that
// concerns it.
func (s *Session) sentUpTo(m *model) int64 {
	switch {
	case len(s.waiting) == 0:
		return m.version
	case s.round.left() > 0:
		return s.round.turns[s.round.next].version - 1
	}
	return s.round.end
}

// release ends the round and returns its memory.
func (s *Session) release() {
	if len(s.round.turns) > manyWaiting && len(s.waiting) == 0 {
		s.waiting = nil
	}
	clear(s.round.turns)
	s.svc.turns.Put(s.round.buffer)
	s.round = round{}
}
