// Package pglog keeps a [presence.Log] in PostgreSQL 14 or later, in the schema presence
// of a database. The first node that connects creates the schema, so its role needs
// CREATE on the database, or an empty schema presence that it owns.
//
// What the log promises is what PostgreSQL promises. It must run with fsync on, and a
// replica that may take over must be synchronous, or the takeover may lose entries that
// were acknowledged. [Log.State] warns about both. Each append waits for the disk, and
// for the synchronous replicas, even if synchronous_commit is off.
//
// A node uses two connections, and a third one while it saves or loads a snapshot. With
// several hosts in the URL, it uses the first one that accepts writes. PgBouncer may be
// in between; if it pools transactions, nodes learn of an entry up to a second later,
// and PgBouncer before 1.21 also needs default_query_exec_mode=exec in the URL.
//
// To back the log up, back up the database, for example with pg_dump.
package pglog

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/presence-server/presence/presence"
)

const (
	timeout = 5 * time.Second // of a call that PostgreSQL doesn't answer
	poll    = time.Second     // how often Next looks for entries without a notification

	// One call of Next returns entries until one of these is exceeded.
	maxEntries = 1000
	maxBytes   = 4 << 20
)

// Log is a presence.Log that PostgreSQL keeps. Each of its calls returns an error when
// PostgreSQL hasn't answered for 5 s. No error contains the password.
type Log struct {
	config  *pgx.ConnConfig
	logger  *slog.Logger
	kept    time.Duration // presence.LogKept, except in tests
	closing context.Context
	close   func()

	caller *connection // for Append and State
	reader *connection // for Next
	newest int64       // the place in the newest notification; belongs to whoever holds reader
}

// Open returns the log in the database that a URL names, such as
// "postgres://user:password@host:5432/database". What the URL leaves out is taken from
// the environment variables and files that libpq uses.
//
// Open creates the tables if there are none. If PostgreSQL can't be reached, it returns
// the log all the same, and every call tries to connect. Its error matches
// presence.ErrLogUnusable. The logger must not be nil.
func Open(ctx context.Context, url string, logger *slog.Logger) (*Log, error) {
	config, err := parse(url)
	if err != nil {
		return nil, err
	}
	l := &Log{config: config, logger: logger, kept: presence.LogKept}
	closing, cancel := context.WithCancelCause(context.Background())
	l.closing = closing
	l.caller, l.reader = newConnection(l, l.connect), newConnection(l, l.listen)
	l.close = sync.OnceFunc(func() {
		cancel(errClosed)
		l.caller.close()
		l.reader.close()
	})
	err = l.caller.do(ctx, func(context.Context, *pgx.Conn) error { return nil })
	if errors.Is(err, presence.ErrLogUnusable) {
		l.close()
		return nil, err
	}
	return l, nil
}

// Close closes the connections. The calls that wait return an error, as do all later
// ones. Close returns nil, and may be called again.
func (l *Log) Close() error {
	l.close()
	return nil
}

// durably makes the transaction wait for the disk, and for the synchronous replicas,
// whatever the server's default is. remote_apply waits for more than that.
const durably = `set_config('synchronous_commit',
	CASE current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, true)`

// appendEntry is one statement. The row of head stays locked until the commit, so that
// the places have no gap, and become visible in their order.
const appendEntry = `
	WITH head AS (UPDATE presence.head SET last = last + 1, bytes = bytes + length($1::bytea) RETURNING last),
	entry AS (INSERT INTO presence.entries SELECT last, clock_timestamp(), $1 FROM head)
	SELECT pg_notify('presence', last::text), ` + durably + ` FROM head`

// Append implements presence.Log.
func (l *Log) Append(ctx context.Context, data []byte) error {
	return l.caller.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		tag, err := conn.Exec(ctx, appendEntry, data)
		if err == nil && tag.RowsAffected() != 1 {
			return errors.New("the table presence.head is empty")
		}
		return err
	})
}

// Next implements presence.Log. Goroutines that wait at the same time wait for one
// another, up to a second each.
func (l *Log) Next(ctx context.Context, after int64) (entries []presence.LogEntry, err error) {
	for err == nil && len(entries) == 0 {
		err = l.reader.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
			l.newest = 0 // the query sees what was announced before it
			var err error
			if entries, err = read(ctx, conn, after); err != nil || len(entries) > 0 {
				return err
			}
			return l.wait(ctx, conn, after)
		})
	}
	return entries, err
}

// read returns one row without an entry if there is none.
func read(ctx context.Context, conn *pgx.Conn, after int64) (entries []presence.LogEntry, err error) {
	const query = `
		SELECT first, place, at, data FROM presence.head LEFT JOIN (
			SELECT *, sum(length(data)) OVER (ORDER BY place) - length(data) AS before
			FROM presence.entries WHERE place > $1 ORDER BY place LIMIT $2
		) entry ON before < $3 ORDER BY place`
	rows, err := conn.Query(ctx, query, after, maxEntries, maxBytes)
	if err != nil {
		return nil, err
	}
	var first int64
	var place *int64
	var at *time.Time
	var data []byte
	_, err = pgx.ForEachRow(rows, []any{&first, &place, &at, &data}, func() error {
		if place != nil {
			entries = append(entries, presence.LogEntry{Place: *place, At: at.UTC(), Data: data})
		}
		return nil
	})
	if err == nil && after+1 < first {
		return nil, presence.ErrTrimmed
	}
	return entries, err
}

// wait returns when an entry after a place was announced, or after the time of one poll.
func (l *Log) wait(ctx context.Context, conn *pgx.Conn, after int64) error {
	ctx, cancel := context.WithTimeout(ctx, poll)
	defer cancel()
	for l.newest <= after {
		if err := conn.PgConn().WaitForNotification(ctx); err != nil {
			if ctx.Err() != nil && !conn.IsClosed() {
				return nil
			}
			return err
		}
	}
	return nil
}

// State implements presence.Log.
func (l *Log) State(ctx context.Context) (state presence.LogState, err error) {
	// A role without the right to see the details of a replica sees its row.
	const query = `
		SELECT id, first, last, bytes, current_setting('fsync') = 'off', current_setting('full_page_writes') = 'off',
			current_setting('synchronous_standby_names') = '' AND EXISTS (
				SELECT FROM pg_stat_replication r WHERE state IS DISTINCT FROM 'backup' AND NOT EXISTS (
					SELECT FROM pg_replication_slots WHERE active_pid = r.pid AND slot_type = 'logical'))
		FROM presence.head`
	var unsynced, torn, asynchronous bool
	err = l.caller.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, query).Scan(&state.ID, &state.First, &state.Last, &state.Bytes, &unsynced, &torn, &asynchronous)
	})
	if unsynced {
		state.Warnings = append(state.Warnings, "A loss of power can destroy the log, because fsync is off in PostgreSQL. Set it to on.")
	}
	if torn {
		state.Warnings = append(state.Warnings, "A loss of power can damage the log, because full_page_writes is off in PostgreSQL. Set it to on, unless the file system writes whole pages.")
	}
	if asynchronous {
		state.Warnings = append(state.Warnings, "A replica that takes over can lack the newest entries of the log, because the replicas of PostgreSQL are asynchronous. Set synchronous_standby_names.")
	}
	return state, err
}

// parse returns no error of pgx, because those quote the URL.
func parse(url string) (*pgx.ConnConfig, error) {
	malformed := unusable("the URL must have the form postgres://user:password@host:5432/database, with special characters of the password percent-encoded")
	scheme, rest, _ := strings.Cut(url, "://")
	// An @ or a slash in the password would make its end part of the host's name, which errors name.
	if at := strings.LastIndexByte(rest, '@'); scheme != "postgres" && scheme != "postgresql" || at >= 0 && strings.ContainsAny(rest[:at], "@/?") {
		return nil, malformed
	}
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, malformed
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = 2 * time.Second // so that there is time for another host
	}
	config.ValidateConnect = refuseStandby
	return config, nil
}
