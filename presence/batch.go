package presence

import (
	"database/sql"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/presence-server/presence/presence/store"
)

// batch is the work of one transaction. Its operations read and change the overlay, and
// write rows. Whatever they change in memory waits in follow until the commit.
type batch struct {
	overlay
	now    micros // later than that of the previous batch
	read   micros // what the clock said, which may be a little earlier
	before micros // the time of the previous batch
	run    int64  // the run that submitted the operations

	mark      *mark // of the entry in the log; nil without a log
	store     *store.DB
	codec     *codec
	begun     bool
	written   int            // rows written
	queries   int            // statements run
	err       error          // the first error of the database
	announced []announcement // visible changes, to announce after the commit
	follow    []func(*model) // changes to make in memory after the commit, in order

	// The fields below are for metrics.
	due       []micros      // the deadlines that the batch applies
	committed time.Duration // when it was committed, since meters.opened
}

// announcement is a visible change of a user, in one view or both.
type announcement struct {
	user        uint32 // account.id
	own, public bool
}

// after makes publish call f after the commit. The functions run in the order in which
// after was called.
func (b *batch) after(f func(*model)) { b.follow = append(b.follow, f) }

func (b *batch) nextVersion() int64 {
	b.version++
	return b.version
}

// keep adds to the batch an account that it changes or creates.
func (b *batch) keep(a *account) *account {
	b.put(a)
	b.after(func(m *model) { m.put(a, b.now) })
	return a
}

// register returns the account of a user, which must not be changed, and creates it if there
// is none.
func (b *batch) register(userID string) (*account, *Error) {
	if a := b.peek(userID); a != nil {
		return a, nil
	}
	if b.nextUser > maxUsers {
		return nil, &Error{Code: CodeLimit, Message: "no more users can be registered"}
	}
	a := b.keep(&account{
		id: b.nextUser, userID: strings.Clone(userID), revokedAt: b.deletedAt(userID),
	})
	a.own = view{statusType: Unlogined, version: b.nextVersion()}
	a.public = a.own
	b.nextUser++
	b.forgetGone(userID)
	return a, nil
}

// change changes an account, and returns the changed copy. It calls mutate with the copy and
// applies the deadlines that have passed. If a view shows the difference, it gets the next
// version and is announced; a change that both show takes one version. Every change of an
// existing account goes through here: a deadline that has passed and was not applied to the
// copy would be lost.
func (b *batch) change(a *account, mutate func(*account)) *account {
	a = b.copyOf(a)
	if b.accounts[a.id] != a {
		b.keep(a)
	}
	before := *a
	before.devices = slices.Clone(a.devices) // mutate changes them in place
	mutate(a)
	for _, d := range a.settle(&before, b.now, toMicros(b.settings.CustomStatusTTL)) {
		b.deleteDevice(a, d.id)
	}
	for i := range a.devices {
		if d := &a.devices[i]; b.ends.outlives(d, b.now) {
			d.run, d.stream = 0, 0
			b.saveDevice(a, d)
		}
	}
	b.announce(a, announcement{
		user:   a.id,
		own:    !a.looksLike(&a.own, &before, &before.own) || a.invisible != before.invisible,
		public: !a.looksLike(&a.public, &before, &before.public),
	})
	return a
}

// announce gives the views that show a change the next version.
func (b *batch) announce(a *account, change announcement) {
	if !change.own && !change.public {
		return
	}
	version := b.nextVersion()
	if change.own {
		a.own.version = version
	}
	if change.public {
		a.public.version = version
	}
	b.announced = append(b.announced, change)
}

// exec runs a statement that writes, and returns the number of rows changed. It begins
// the transaction if none has begun. After an error, which it keeps in b.err, it does
// nothing.
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

// fail makes the batch fail with err, unless it has failed already or err is nil.
func (b *batch) fail(err error) {
	if b.err == nil {
		b.err = err
	}
}

// numbers returns the integers in the first column of the rows that a query finds.
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
	b.exec("INSERT OR REPLACE INTO devices VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		a.id, d.id, string(d.platform), d.loginAt, d.run, d.stream, d.since, d.graceUntil, d.retainUntil, d.idle, d.hidden)
}

// saveAccounts stores the accounts that are not as the database has them.
func (b *batch) saveAccounts() {
	for _, id := range b.changed() {
		a := b.accounts[id]
		if a == nil {
			continue
		}
		if before := b.stored(id); before == nil {
			b.insertAccount(a)
			b.saveEntries(a, nil)
		} else {
			b.updateAccount(a, before)
			b.saveEntries(a, before.said)
		}
	}
}

func (b *batch) insertAccount(a *account) {
	own := a.said.own()
	b.exec("INSERT INTO users VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		a.id, a.userID, int(a.own.statusType), a.own.away, a.own.version, a.own.lastSeen,
		int(a.public.statusType), a.public.away, a.public.version, a.public.lastSeen, a.invisible, a.revokedAt,
		own.Text, int(own.Availability), own.Priority, own.setAt, own.StartsAt, own.waiting, own.ExpiresAt, a.said.orNothing().clearAt)
}

// updateAccount stores the difference from before. What a user says and what the user's
// devices show rarely change together.
func (b *batch) updateAccount(a, before *account) {
	v, public := a.own, a.public
	own, clearAt := a.said.own(), a.said.orNothing().clearAt
	if own != before.said.own() || clearAt != before.said.orNothing().clearAt {
		b.exec(`UPDATE users SET version = ?, public_version = ?, custom_status = ?, availability = ?, priority = ?, set_at = ?,
			starts_at = ?, waiting = ?, expires_at = ?, clear_at = ? WHERE id = ?`, v.version, public.version, own.Text, int(own.Availability),
			own.Priority, own.setAt, own.StartsAt, own.waiting, own.ExpiresAt, clearAt, a.id)
		v.version, public.version = before.own.version, before.public.version // these are stored now
	}
	if v != before.own || public != before.public || a.invisible != before.invisible || a.revokedAt != before.revokedAt {
		b.exec(`UPDATE users SET status_type = ?, away = ?, version = ?, last_seen = ?, public_status_type = ?, public_away = ?,
			public_version = ?, public_last_seen = ?, invisible = ?, revoked_at = ? WHERE id = ?`,
			int(v.statusType), v.away, a.own.version, v.lastSeen, int(public.statusType), public.away,
			a.public.version, public.lastSeen, a.invisible, a.revokedAt, a.id)
	}
}

// saveEntries stores the entries of named sources that are not as before.
func (b *batch) saveEntries(a *account, before *said) {
	if a.said == before {
		return
	}
	for _, e := range a.said.orNothing().entries {
		if e.Source != "" && e != before.of(e.Source) {
			b.exec("INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
				a.id, e.Source, e.Text, int(e.Availability), e.Priority, e.setAt, e.StartsAt, e.waiting, e.ExpiresAt)
		}
	}
	for _, e := range before.orNothing().entries {
		if after := a.said.of(e.Source); e.Source != "" && !after.says() {
			b.exec("DELETE FROM entries WHERE user = ? AND source = ?", a.id, e.Source)
		}
	}
}

// saveService stores the service's own row. It fails if another process has begun a
// run since, which the lock can't prevent when the file has two names or when the lock
// file was removed.
func (b *batch) saveService() {
	rows := b.exec(`UPDATE service SET version = ?, clock = ?, run = ?, next_user = ?, user_status = ?, user_status_since = ?,
		friend_notifications = ?, friends_since = ? WHERE run = ?`, b.version, b.now, b.lastRun, b.nextUser,
		b.switches.userStatus, b.switches.userStatusSince,
		b.switches.friendNotifications, b.switches.friendNotificationsSince, b.storedRun())
	if rows != 1 {
		b.fail(errors.New("another process uses the database"))
	}
}

// commit makes the batch durable. It writes nothing if the batch changed nothing.
func (b *batch) commit() error {
	b.saveAccounts()
	if b.mark != nil {
		b.saveMark()
	}
	if b.begun {
		b.saveService()
		b.fail(b.store.Moved())
		b.exec("COMMIT")
	}
	if b.err != nil && b.begun {
		b.store.Exec("ROLLBACK") // fails if SQLite has rolled back by itself
	}
	return b.err
}

// publish brings the committed batch into memory, and puts the changes on the waiting
// sets of sessions.
func (b *batch) publish(m *model) {
	m.lastRun, m.runs, m.ends, m.nextUser = b.lastRun, b.runs, b.ends, b.nextUser
	m.version, m.settings, m.switches = b.version, b.settings, b.switches
	m.jumps, m.deletions, m.cursors = b.jumps, b.deletions, b.cursors
	m.meter.committed = b.committed
	if b.mark != nil {
		m.applied = *b.mark
		if minute := toMicros(time.Minute); b.now/minute != b.before/minute {
			m.minute = m.applied.placeDigest
		}
	}
	for _, f := range b.follow {
		f(m)
	}
	for _, change := range b.announced {
		if u := m.user(change.user); u != nil {
			m.announce(u, change)
		}
	}
	m.notifyFeeds()
}
