package presence

import (
	"context"
	"time"
)

// aheadAfter is how long a device that resumes waits for its login to be applied. After that
// its session opens ahead of the login: EventSource never comes back after an error. It is as
// long as the longest silence of a log that isn't away.
const aheadAfter = longestGap

// logIn logs a device in that resumes, and opens its session. If the log is away, the
// session opens on what the node knows, and the login counts once the log is back.
func (n *node) logIn(ctx context.Context, session *Session, op *connect) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if n.w.wait() > maxWait {
		return ErrOverloaded
	}
	r := newRequest()
	r.op, r.then = op, func(m *model) { n.loggedIn(m, session, op) }
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
	if err := n.await(r, maxWait-aheadAfter); err != nil {
		return err
	}
	return r.err
}

// openAhead opens a session whose login is not applied, unless the user is unknown or the
// login would be refused. The streams that it replaces have ended, whatever becomes of it.
// If the login fails later, the session ends: a change that makes it fail ends the session
// itself, and if the entry can't be written, the next attempt does.
func (n *node) openAhead(session *Session, r *request, op *connect) (opened bool) {
	now := n.svc.clock.now()
	n.svc.update(func(m *model) {
		u, k := m.byName[op.UserID], m.kicked.last[op.key()]
		if r.taken.Load() || m.draining || u == nil || revoked(u.revokedAt, op.IssuedAt) || k.refuses(now, m.jumps.orZero(op.Cursor, m.version), op.IssuedAt) {
			return
		}
		for _, older := range u.ofDevice(op.DeviceID) {
			m.ended = append(m.ended, older.endedAt(now))
		}
		m.open(session, op.UserID, m.version)
		session.login, opened = r, true
	})
	return opened
}

// loggedIn opens the session of a login that was applied, unless it is open already. It may
// have ended in this batch, by an earlier login of its device.
func (n *node) loggedIn(m *model, session *Session, op *connect) {
	if session.login == nil {
		m.open(session, op.UserID, op.version)
		return
	}
	session.login = nil
	m.supersede(m.byName[op.UserID], op.DeviceID, session)
	if session.ending.kind != notEnded {
		m.endStream(op, n.svc.clock.now())
	}
}

// endStream has the end stored of a stream that has no session.
func (m *model) endStream(op *connect, at micros) {
	if u := m.byName[op.UserID]; u != nil {
		m.ended = append(m.ended, endedStream{User: u.id, DeviceID: op.DeviceID, Stream: op.Stream, at: at})
	}
}
