package presence

import "slices"

// sweeper searches for the users whose devices belong to ended runs, once the grace is
// over. Such users have no deadline, because the end of a run changes no user.
type sweeper struct {
	runs  []int64        // whose users it searches for now
	next  int            // the account.id at which it continues
	swept map[int64]bool // the ended runs all of whose users it has found
}

// sweepDue returns when the next search is due. Zero means that none is.
func (m *model) sweepDue() (due micros) {
	for id := range m.ends {
		if !m.sweeper.swept[id] || m.devices[id] == 0 {
			due = earliest(due, m.ends.graceUntil(id))
		}
	}
	return due
}

// sweepSome returns up to most users of runs whose grace is over by now. It looks at a
// limited number of users, and reports whether there may be more.
func (m *model) sweepSome(now micros, most int) (users []uint32, more bool) {
	const looks = 100_000
	s := &m.sweeper
	if len(s.runs) == 0 {
		if s.begin(m, now); len(s.runs) == 0 {
			return nil, false
		}
	}
	isOver := func(d device) bool { return slices.Contains(s.runs, d.run) }
	end := min(s.next+looks, len(m.users))
	for ; s.next < end && len(users) < most; s.next++ {
		if u := m.users[s.next]; u != nil && slices.ContainsFunc(u.devices, isOver) {
			users = append(users, u.id)
		}
	}
	if s.next < len(m.users) {
		return users, true
	}
	for _, id := range s.runs {
		s.swept[id] = true
	}
	s.runs = nil
	return users, false
}

// begin begins the next search.
func (s *sweeper) begin(m *model, now micros) {
	s.next, s.runs = 0, nil
	for id := range m.ends {
		if m.ends.graceUntil(id) <= now && !s.swept[id] {
			s.runs = append(s.runs, id)
		}
	}
	for id := range s.swept {
		if m.ends[id] == nil {
			delete(s.swept, id)
		}
	}
}

// sweepAgain begins the search again, because users that it has found were not settled.
func (m *model) sweepAgain() { m.sweeper = newSweeper() }

func newSweeper() sweeper { return sweeper{swept: make(map[int64]bool)} }

// countDevices adds n to the number of devices of each run, for each of the devices.
func (m *model) countDevices(devices []device, n int) {
	for i := range devices {
		if id := devices[i].run; m.devices[id] == -n {
			delete(m.devices, id)
		} else {
			m.devices[id] += n
		}
	}
}
