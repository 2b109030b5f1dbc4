package presence

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/presence-server/presence/presence/store"
)

// restoreChecked reads the whole state into the model. At the same time it checks that
// the database meets the conditions. It returns the time of the last batch.
func (s *Service) restoreChecked(ctx context.Context) (lastBatch micros, err error) {
	checked := make(chan error)
	go func() { checked <- checkConditions(ctx, s.store.Reader(), s.store.Path(), latest, true) }()
	lastBatch, restored := s.restore(ctx)
	if err := <-checked; err != nil {
		return 0, err // it is more specific than the error of reading
	}
	if restored != nil {
		reader, path := s.store.Reader(), s.store.Path()
		if err := errors.Join(checkConditions(ctx, reader, path, latest, false), checkAllTexts(ctx, reader, path)); err != nil {
			return 0, err // of the conditions that are not checked at a start
		}
		return 0, fmt.Errorf("read %s: %w", s.store.Path(), restored)
	}
	return lastBatch, nil
}

// restore reads the whole state into the model, and returns the time of the last batch.
func (s *Service) restore(ctx context.Context) (lastBatch micros, err error) {
	m := &s.model
	m.byName = make(map[string]*user)
	m.kicked.last = make(map[deviceKey]kicked)
	m.devices = make(map[int64]int)
	m.sweeper = newSweeper()
	m.meter = newModelMeter()
	err = s.store.Reader().QueryRowContext(ctx, `SELECT version, clock, run, next_user, user_status, user_status_since,
		friend_notifications, friends_since FROM service`).Scan(&m.version, &lastBatch, &m.lastRun, &m.nextUser,
		&m.switches.userStatus, &m.switches.userStatusSince,
		&m.switches.friendNotifications, &m.switches.friendNotificationsSince)
	if err != nil {
		return 0, err
	}
	applied := &m.applied
	err = s.store.Reader().QueryRowContext(ctx, "SELECT log, place, at, entry, digest, nonce, proposed FROM node").Scan(
		&applied.log, &applied.place, &applied.at, &applied.entry, &applied.digest, &applied.nonce, &applied.proposed)
	if err != nil {
		return 0, err
	}
	if err := s.restoreRuns(ctx); err != nil {
		return 0, err
	}
	devices, err := s.storedDevices(ctx)
	if err != nil {
		return 0, err
	}
	if err := s.restoreUsers(ctx, devices, lastBatch); err != nil {
		return 0, err
	}
	if m.settings, err = s.storedSettings(ctx); err != nil {
		return 0, err
	}
	if m.jumps, err = s.storedJumps(ctx); err != nil {
		return 0, err
	}
	kicks, err := s.storedKicks(ctx)
	if err != nil {
		return 0, err
	}
	for _, k := range kicks {
		m.kicked.add(k)
	}
	if m.deletions, err = s.storedDeletions(ctx); err != nil {
		return 0, err
	}
	return lastBatch, s.restoreFeeds(ctx)
}

// restoreUsers reads the users. The columns that most users don't use are read in queries
// of their own, because a column costs as much as the rest of a small row.
func (s *Service) restoreUsers(ctx context.Context, devices map[uint32][]device, lastBatch micros) error {
	said, err := s.storedSaid(ctx)
	if err != nil {
		return err
	}
	views, err := s.storedViews(ctx)
	if err != nil {
		return err
	}
	rows, err := s.store.Reader().QueryContext(ctx, "SELECT id, user_id, status_type, version, last_seen, revoked_at FROM users ORDER BY id")
	if err != nil {
		return err
	}
	defer rows.Close()
	var id, userID, statusType, version, lastSeen, revokedAt any // without a conversion by reflection, there are many
	for rows.Next() {
		if err := rows.Scan(&id, &userID, &statusType, &version, &lastSeen, &revokedAt); err != nil {
			return err
		}
		a := account{id: uint32(id.(int64)), userID: userID.(string), revokedAt: revokedAt.(int64), own: view{
			version: version.(int64), lastSeen: minutes(lastSeen.(int64)), statusType: StatusType(statusType.(int64)),
		}}
		a.public = a.own
		if v := views[a.id]; v != nil {
			a.own.away, a.public, a.invisible = v.own.away, v.public, v.invisible
		}
		if id.(int64) > maxUsers || !a.own.isValid(s.model.version) || !a.public.isValid(s.model.version) {
			return errors.New("users has an id, a status_type or a version out of range")
		}
		if err := checkTexts("users", a.userID, ""); err != nil {
			return err
		}
		a.devices, a.said = devices[a.id], said[a.id]
		u := s.model.enter(&a)
		s.model.deadlines.set(u, u.dueAt(lastBatch))
	}
	return rows.Err()
}

// storedViews returns the users whose public view isn't their own, and those who are away,
// by users.id.
func (s *Service) storedViews(ctx context.Context) (map[uint32]*account, error) {
	rows, err := s.store.Reader().QueryContext(ctx, `SELECT id, away, invisible, public_status_type, public_away, public_version,
		public_last_seen FROM users WHERE (away | invisible | public_away) <> 0 OR public_version <> version
		OR public_status_type <> status_type OR public_last_seen <> last_seen`)
	all := make(map[uint32]*account)
	_, err = store.Collect(rows, err, func(rows *sql.Rows) (none struct{}, err error) {
		a := new(account)
		err = rows.Scan(&a.id, &a.own.away, &a.invisible, &a.public.statusType, &a.public.away, &a.public.version, &a.public.lastSeen)
		all[a.id] = a
		return none, err
	})
	return all, err
}

// isValid reports whether v is possible, where newest is the last version.
func (v *view) isValid(newest int64) bool {
	return v.statusType >= Online && v.statusType <= Unlogined && v.version >= 0 && v.version <= newest
}

// storedSaid returns what is said about users, by users.id.
func (s *Service) storedSaid(ctx context.Context) (map[uint32]*said, error) {
	own, err := s.store.Reader().QueryContext(ctx, `SELECT id, '', custom_status, availability, priority, set_at, starts_at, waiting,
		expires_at, clear_at FROM users WHERE custom_status <> '' OR availability <> 0`)
	all := make(map[uint32]*said)
	if err := readEntries(own, err, all); err != nil {
		return nil, err
	}
	named, err := s.store.Reader().QueryContext(ctx, `SELECT user, source, custom_status, availability, priority, set_at, starts_at, waiting,
		expires_at, 0 FROM entries`)
	return all, readEntries(named, err, all)
}

// readEntries adds the entries in rows to all. The last column is said.clearAt, or zero.
func readEntries(rows *sql.Rows, err error, all map[uint32]*said) error {
	_, err = store.Collect(rows, err, func(rows *sql.Rows) (none struct{}, err error) {
		var user uint32
		var e entry
		var clearAt micros
		if err := rows.Scan(&user, &e.Source, &e.Text, &e.Availability, &e.Priority, &e.setAt, &e.StartsAt, &e.waiting, &e.ExpiresAt, &clearAt); err != nil {
			return none, err
		}
		if !validSource(e.Source) || e.Availability < Available || e.Availability > DND || !utf8.ValidString(e.Text) {
			return none, errors.New("an entry has a source, a text or an availability out of range")
		}
		all[user] = all[user].with(e)
		if clearAt != 0 {
			all[user] = newSaid(all[user].entries, clearAt)
		}
		return none, nil
	})
	return err
}

func (s *Service) storedDevices(ctx context.Context) (map[uint32][]device, error) {
	rows, err := s.store.Reader().QueryContext(ctx, `SELECT user, device_id, platform, login_at, run, stream, since,
		grace_until, retain_until, idle, hidden FROM devices ORDER BY user, login_at`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := make(map[uint32][]device)
	for rows.Next() {
		var user uint32
		var d device
		if err := rows.Scan(&user, &d.id, &d.platform, &d.loginAt, &d.run, &d.stream, &d.since,
			&d.graceUntil, &d.retainUntil, &d.idle, &d.hidden); err != nil {
			return nil, err
		}
		if err := checkTexts("devices", d.id, ""); err != nil {
			return nil, err
		}
		all[user] = append(all[user], d)
	}
	return all, rows.Err()
}

// restoreRuns reads the runs that have not ended, and the ends of those that have devices.
func (s *Service) restoreRuns(ctx context.Context) error {
	m := &s.model
	m.runs, m.ends = make(map[int64]run), make(runEnds)
	rows, err := s.store.Reader().QueryContext(ctx, "SELECT id, node, nonce, level, agreement, beats, beat_1, beat_2, beat_3, number FROM runs")
	_, err = store.Collect(rows, err, func(rows *sql.Rows) (id int64, err error) {
		var r run
		var agreement string
		err = rows.Scan(&id, &r.node, &r.nonce, &r.level, &agreement, &r.count, &r.beats[0], &r.beats[1], &r.beats[2], &r.number)
		r.agreement = strings.Fields(agreement)
		m.runs[id] = r
		return id, err
	})
	if err != nil {
		return err
	}
	rows, err = s.store.Reader().QueryContext(ctx, "SELECT run, at, clock, grace, retention FROM run_ends ORDER BY at")
	_, err = store.Collect(rows, err, func(rows *sql.Rows) (e runEnd, err error) {
		var id int64
		err = rows.Scan(&id, &e.at, &e.clock, &e.grace, &e.retention)
		m.ends[id] = append(m.ends[id], e)
		return e, err
	})
	return err
}

// storedSettings returns the settings that are stored, or the zero value if none are.
func (s *Service) storedSettings(ctx context.Context) (settings Settings, err error) {
	var value []byte
	switch err := s.store.Reader().QueryRowContext(ctx, "SELECT value FROM settings").Scan(&value); err {
	case nil:
		if settings, err = s.codec.decodeSettings(value); err != nil {
			return settings, fmt.Errorf("the settings that are stored can't be read: restore a backup: %w", err)
		}
		return settings, nil
	case sql.ErrNoRows:
		return settings, nil
	default:
		return settings, err
	}
}

func (s *Service) storedJumps(ctx context.Context) ([]jump, error) {
	rows, err := s.store.Reader().QueryContext(ctx, "SELECT above, below FROM jumps ORDER BY above")
	return store.Collect(rows, err, func(rows *sql.Rows) (j jump, err error) {
		err = rows.Scan(&j.above, &j.below)
		return j, err
	})
}

func (s *Service) storedKicks(ctx context.Context) ([]kicked, error) {
	rows, err := s.store.Reader().QueryContext(ctx, "SELECT user_id, device_id, type, at, version, until FROM kicks ORDER BY until")
	return store.Collect(rows, err, func(rows *sql.Rows) (k kicked, err error) {
		err = rows.Scan(&k.userID, &k.deviceID, &k.kick, &k.at, &k.version, &k.until)
		return k, err
	})
}

func (s *Service) storedDeletions(ctx context.Context) (d deletions, err error) {
	err = s.store.Reader().QueryRowContext(ctx, `SELECT (SELECT key FROM deletion_key), EXISTS (SELECT 1 FROM deleted),
		(SELECT count(*) FROM leftovers)`).Scan(&d.key, &d.any, &d.leftovers)
	return d, err
}

// restoreFeeds reads the stored feeds and the deleted users whom they have not received
// yet, and puts all users in order of version.
func (s *Service) restoreFeeds(ctx context.Context) error {
	m := &s.model
	m.cursors = make(feedCursors)
	rows, err := s.store.Reader().QueryContext(ctx, "SELECT name, version FROM feeds")
	_, err = store.Collect(rows, err, func(rows *sql.Rows) (name string, err error) {
		var cursor int64
		err = rows.Scan(&name, &cursor)
		m.cursors[name] = cursor
		return name, err
	})
	if err != nil {
		return err
	}
	rows, err = s.store.Reader().QueryContext(ctx, "SELECT user_id, version FROM gone")
	gone, err := store.Collect(rows, err, func(rows *sql.Rows) (*user, error) {
		u := &user{dueIndex: -1}
		err := rows.Scan(&u.userID, &u.own.version)
		return u, err
	})
	if err != nil {
		return err
	}
	m.order.fill(m.byName, gone)
	return nil
}
