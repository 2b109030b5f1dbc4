package presence

import (
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/presence-server/presence/presence/store"
)

// An operation is a change of state as a value. Applying one reads no clock,
// no randomness and no configuration: the batch brings one time, the limits
// and the switches, so that the same operations in the same batches always
// give the same state.
//
// An error returned by apply is the caller's, and the operation has then
// changed nothing; a fault of the database is kept in the batch.
type operation interface {
	apply(*batch) error
}

// batch is what one transaction does: the operations' view of the state, and
// what has to follow in memory once it is committed.
type batch struct {
	view
	now micros
	run int64
	was int64 // the run before this batch

	store     *store.DB
	begun     bool
	written   int               // rows
	queries   int               // statements run
	err       error             // the first error of the database
	changed   map[*account]bool // visibly or not: to be stored
	announced []*account        // changed visibly
	follow    []func(*model)

	// To be measured.
	due       []micros      // the deadlines that it applies
	committed time.Duration // when it was, since meters.opened
}

// newBatch returns an empty batch. There is one at a time: it uses the memory of
// the one before again.
func (s *Service) newBatch(now micros) *batch {
	last := s.batch
	if last == nil || len(last.accounts) > manyChanged {
		last = &batch{changed: make(map[*account]bool)}
	}
	clear(last.changed)
	clear(last.announced)
	clear(last.follow)
	s.batch = &batch{
		view:      last.view,
		now:       now,
		run:       s.run,
		was:       s.run,
		store:     s.store,
		changed:   last.changed,
		announced: last.announced[:0],
		follow:    last.follow[:0],
	}
	s.batch.view.reset(&s.model, s.nextUser)
	return s.batch
}

// manyChanged is the number of accounts from which a batch's memory is not used
// again: to clear it would cost more than to make a new one.
const manyChanged = 256

// after lets f follow in memory, after the commit and in this order.
func (b *batch) after(f func(*model)) { b.follow = append(b.follow, f) }

func (b *batch) nextVersion() int64 {
	b.version++
	return b.version
}

// account returns a copy of the account to change, the same one each time in
// a batch, or nil if there is no such user.
func (b *batch) account(userID string) *account { return b.toChange(b.peek(userID)) }

// accountByID is account for a user known by number.
func (b *batch) accountByID(id uint32) *account { return b.toChange(b.peekByID(id)) }

func (b *batch) toChange(a *account) *account {
	if a == nil {
		return nil
	}
	copied, isNew := b.copyOf(a)
	if isNew {
		b.keep(copied)
	}
	return copied
}

// keep enters an account that the batch changes or adds.
func (b *batch) keep(a *account) *account {
	b.put(a)
	b.after(func(m *model) { m.put(a, b.now) })
	return a
}

// register returns the account of a user who may be new.
func (b *batch) register(userID string) (*account, *Error) {
	if a := b.account(userID); a != nil {
		return a, nil
	}
	if b.nextUser > maxUsers {
		return nil, &Error{Code: CodeLimit, Message: "no more users can be registered"}
	}
	a := b.keep(&account{
		id: b.nextUser, userID: strings.Clone(userID), statusType: Unlogined, version: b.nextVersion(), revokedAt: b.deletedAt(userID),
	})
	b.nextUser++
	b.insertAccount(a)
	return a, nil
}

// change is how an account changes: mutate, then whatever has fallen due is
// applied, a visible difference gets the next version, and it is stored.
func (b *batch) change(a *account, mutate func()) {
	before := *a
	mutate()
	for _, d := range a.settle(b.now, toMicros(b.settings.CustomStatusTTL)) {
		b.deleteDevice(a, d.id)
	}
	if !a.looksLike(&before) {
		a.version = b.nextVersion()
		b.announced = append(b.announced, a)
		b.changed[a] = true
	}
	if a.clearAt != before.clearAt || a.revokedAt != before.revokedAt {
		b.changed[a] = true
	}
}

// exec writes, and returns the number of rows. After a fault it does nothing;
// see err.
func (b *batch) exec(query string, args ...any) (rows int64) {
	b.queries++
	if b.err == nil && !b.begun {
		_, b.err = b.store.Exec("BEGIN IMMEDIATE")
		b.begun = b.err == nil
	}
	if b.err == nil {
		rows, b.err = b.store.Exec(query, args...)
	}
	b.written += int(rows)
	return rows
}

// fail notes a fault that isn't the database's own.
func (b *batch) fail(err error) {
	if b.err == nil {
		b.err = err
	}
}

// numbers returns the integers in the first column of what a query finds.
func (b *batch) numbers(query string, args ...any) []int64 {
	b.queries++
	if b.err != nil {
		return nil
	}
	stmt, err := b.store.Prepare(query)
	if err != nil {
		b.err = err
		return nil
	}
	rows, err := stmt.Query(args...)
	found, err := store.Collect(rows, err, func(rows *sql.Rows) (n int64, err error) {
		err = rows.Scan(&n)
		return n, err
	})
	b.err = err
	return found
}

func (b *batch) count(query string, args ...any) int {
	if n := b.numbers(query, args...); len(n) == 1 {
		return int(n[0])
	}
	return 0
}

func (b *batch) deleteDevice(a *account, deviceID string) {
	b.exec("DELETE FROM devices WHERE user = ? AND device_id = ?", a.id, deviceID)
}

func (b *batch) saveDevice(a *account, d *device) {
	b.exec("INSERT OR REPLACE INTO devices VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
		a.id, d.id, string(d.platform), d.loginAt, d.run, d.stream, d.since, d.graceUntil, d.retainUntil)
}

func (b *batch) insertAccount(a *account) {
	b.exec("INSERT INTO users VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		a.id, a.userID, int(a.statusType), a.customStatus, a.expiresAt, a.clearAt, a.version, a.revokedAt)
}

func (b *batch) saveAccount(a *account) {
	b.exec("UPDATE users SET status_type = ?, custom_status = ?, expires_at = ?, clear_at = ?, version = ?, revoked_at = ? WHERE id = ?",
		int(a.statusType), a.customStatus, a.expiresAt, a.clearAt, a.version, a.revokedAt, a.id)
}

// saveService stores what the service has to find again, unless another process
// has begun a run since: the lock is no help when the file has two names, or
// when somebody has removed the lock's.
func (b *batch) saveService() {
	rows := b.exec(`UPDATE service SET version = ?, clock = ?, run = ?, next_user = ?, user_status = ?, user_status_since = ?,
		friend_notifications = ?, friends_since = ? WHERE run = ?`, b.version, b.now, b.run, b.nextUser,
		b.switches.userStatus, b.switches.userStatusSince,
		b.switches.friendNotifications, b.switches.friendNotificationsSince, b.was)
	if rows != 1 {
		b.fail(errors.New("another process has the database"))
	}
}

// commit makes the batch durable. A batch that changed nothing costs nothing.
func (b *batch) commit() error {
	for _, a := range b.accounts {
		if a != nil && b.changed[a] {
			b.saveAccount(a)
		}
	}
	if b.begun {
		b.saveService()
		b.fail(b.store.Moved())
		b.exec("COMMIT")
	}
	if b.err != nil && b.begun {
		b.store.Exec("ROLLBACK") // SQLite may have done so itself already
	}
	return b.err
}

// publish brings the committed batch into memory and tells the sessions.
func (b *batch) publish(m *model) {
	m.version, m.settings, m.switches = b.version, b.settings, b.switches
	m.jumps, m.deletions = b.jumps, b.deletions
	m.meter.committed = b.committed
	for _, f := range b.follow {
		f(m)
	}
	for _, a := range b.announced {
		if u := m.user(a.id); u != nil {
			m.announce(u)
		}
	}
}

// expiry returns when something that is to last for d from now ends, in whole
// milliseconds, as it is shown.
func (b *batch) expiry(d time.Duration) micros {
	const milli = 1000
	return (b.now + toMicros(d) + milli - 1) / milli * milli
}
