package presence

import (
	"context"
	"time"
)

// aheadAfter is how long a device that resumes waits for its login to be applied. After that
// its session opens ahead of the login: EventSource never comes back after an error. It is as
// long as the longest silence of a log that isn't away.
const aheadAfter = longestGap

// isAheadOf reports whether the session waits for its login, and its device, which may be
// nil, has not connected elsewhere since. The streams of this node have numbers above first.
func (s *Session) isAheadOf(d *device, first int64) bool {
	return s.login != nil && !s.login.taken.Load() && (d == nil || d.stream == 0 || d.stream == s.replaces || first < d.stream && d.stream < s.stream)
}

// logIn logs a device in that resumes, and opens its session. If the log is away, the
// session opens on what the node knows, and the login counts once the log is back.
func (n *node) logIn(ctx context.Context, session *Session, op *connect) error {
	if err := n.w.admit(ctx); err != nil {
		return err
	}
	r := newRequest(op)
	r.then = func(m *model) {
		if session.login == nil { // otherwise it is open already, or has ended
			m.open(session, op.UserID, op.version)
		}
	}
	if err := n.w.enqueue(r); err != nil {
		return err
	}
	select {
	case <-r.done:
		return r.err
	case <-time.After(aheadAfter):
	}
	if n.openAhead(session, r, op) {
		return nil
	}
	return n.await(r, maxWait-aheadAfter)
}

// openAhead opens a session whose login is not applied, unless the user is unknown or the
// login would be refused. The streams that it replaces have ended, whatever becomes of it. A
// change that makes the login fail later ends the session itself.
func (n *node) openAhead(session *Session, r *request, op *connect) (opened bool) {
	n.svc.update(func(m *model) {
		u, k := m.byName[op.UserID], m.kicked.last[op.key()]
		if r.taken.Load() || m.draining || u == nil || revoked(u.revokedAt, op.IssuedAt) || k.refuses(n.svc.clock.now(), m.jumps.orZero(op.Cursor, m.version), op.IssuedAt) {
			return
		}
		for _, older := range u.ofDevice(op.DeviceID) {
			m.ended = append(m.ended, older.endedStream())
		}
		session.login, opened = r, true
		if d := u.device(op.DeviceID); d != nil {
			session.replaces = d.stream
		}
		m.open(session, op.UserID, m.version)
	})
	return opened
}
