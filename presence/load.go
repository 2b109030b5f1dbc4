package presence

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

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
		return 0, fmt.Errorf("read %s: %w", s.store.Path(), restored)
	}
	return lastBatch, nil
}

// restore reads the whole state into the model, and returns the time of the last batch.
func (s *Service) restore(ctx context.Context) (lastBatch micros, err error) {
	m := &s.model
	m.byName = make(map[string]*user)
	m.kicked.last = make(map[deviceKey]kicked)
	m.meter = newModelMeter()
	err = s.store.Reader().QueryRowContext(ctx, `SELECT version, clock, run, next_user, user_status, user_status_since,
		friend_notifications, friends_since FROM service`).Scan(&m.version, &lastBatch, &m.run, &m.nextUser,
		&m.switches.userStatus, &m.switches.userStatusSince,
		&m.switches.friendNotifications, &m.switches.friendNotificationsSince)
	if err != nil {
		return 0, err
	}
	devices, err := s.storedDevices(ctx)
	if err != nil {
		return 0, err
	}
	entries, err := s.storedEntries(ctx)
	if err != nil {
		return 0, err
	}
	if err := s.restoreUsers(ctx, devices, entries, lastBatch); err != nil {
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

func (s *Service) restoreUsers(ctx context.Context, devices map[uint32][]device, entries map[uint32][]entry, lastBatch micros) error {
	rows, err := s.store.Reader().QueryContext(ctx, `SELECT id, user_id, status_type, away, version, last_seen,
		public_status_type, public_away, public_version, public_last_seen, invisible, revoked_at,
		custom_status, availability, priority, set_at, starts_at, waiting, expires_at, clear_at FROM users ORDER BY id`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var a account
		var own entry
		var clearAt micros
		if err := rows.Scan(&a.id, &a.userID, &a.own.statusType, &a.own.away, &a.own.version, &a.own.lastSeen,
			&a.public.statusType, &a.public.away, &a.public.version, &a.public.lastSeen, &a.invisible, &a.revokedAt,
			&own.text, &own.availability, &own.priority, &own.setAt, &own.startsAt, &own.waiting, &own.expiresAt, &clearAt); err != nil {
			return err
		}
		if a.id > maxUsers || !a.own.isValid() || !a.public.isValid() || own.availability < Available || own.availability > DND {
			return errors.New("users has an id, a status_type or an availability out of range")
		}
		if err := checkTexts("users", a.userID, own.text); err != nil {
			return err
		}
		a.devices = devices[a.id]
		a.said = newSaid(entries[a.id], clearAt)
		if own.says() {
			a.said = newSaid(append([]entry{own}, entries[a.id]...), clearAt)
		}
		u := s.model.enter(&a)
		s.model.deadlines.set(u, u.dueAt(lastBatch))
	}
	return rows.Err()
}

func (v *view) isValid() bool { return v.statusType >= Online && v.statusType <= Unlogined }

// storedEntries returns the entries of named sources, by users.id.
func (s *Service) storedEntries(ctx context.Context) (map[uint32][]entry, error) {
	rows, err := s.store.Reader().QueryContext(ctx, `SELECT user, source, custom_status, availability, priority, set_at, starts_at,
		waiting, expires_at FROM entries ORDER BY user, source`)
	all := make(map[uint32][]entry)
	_, err = store.Collect(rows, err, func(rows *sql.Rows) (none struct{}, err error) {
		var user uint32
		var e entry
		if err := rows.Scan(&user, &e.source, &e.text, &e.availability, &e.priority, &e.setAt, &e.startsAt, &e.waiting, &e.expiresAt); err != nil {
			return none, err
		}
		if e.source == "" || !validSource(e.source) || e.availability < Available || e.availability > DND {
			return none, errors.New("entries has a source or an availability out of range")
		}
		all[user] = append(all[user], e)
		return none, checkTexts("entries", e.source, e.text)
	})
	return all, err
}

func (s *Service) storedDevices(ctx context.Context) (map[uint32][]device, error) {
	rows, err := s.store.Reader().QueryContext(ctx, `SELECT user, device_id, platform, login_at, run, stream, since,
		grace_until, retain_until, idle, hidden FROM devices ORDER BY user, login_at`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	ends, err := s.storedRunEnds(ctx)
	if err != nil {
		return nil, err
	}
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
		applyEnds(ends, &d)
		all[user] = append(all[user], d)
	}
	return all, rows.Err()
}

func (s *Service) storedRunEnds(ctx context.Context) ([]runEnd, error) {
	rows, err := s.store.Reader().QueryContext(ctx, "SELECT at, clock, grace, retention FROM run_ends ORDER BY at")
	return store.Collect(rows, err, func(rows *sql.Rows) (e runEnd, err error) {
		err = rows.Scan(&e.at, &e.clock, &e.grace, &e.retention)
		return e, err
	})
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
