// Package pglog keeps a [presence.Log] in PostgreSQL 14 or later, in the schema presence
// of a database. The first node that connects creates the schema, so its role needs
// CREATE on the database, or an empty schema presence that it owns.
//
// The log is as durable as PostgreSQL makes it. fsync must be on. A replica that may take
// over must be synchronous; otherwise the entries that it lacks are lost when it does.
// [Log.State] warns about both. An append waits for the disk and for the synchronous
// replicas even if synchronous_commit is off in the configuration of PostgreSQL.
//
// A node uses two connections, and a third one while it saves or loads a snapshot. If the
// URL names several hosts, it uses the first one that isn't a standby. PgBouncer may be in
// between. If that pools transactions, nodes learn of an entry up to a second later, and
// before version 1.21 it needs default_query_exec_mode=exec in the URL.
//
// A backup of the database, for example by pg_dump, is a backup of the log.
package pglog

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/presence-server/presence/presence"
)

// Log is a presence.Log that PostgreSQL keeps. Its calls return an error when PostgreSQL
// hasn't answered for 5 s. No error contains the password.
type Log struct {
	config  *pgx.ConnConfig
	logger  *slog.Logger
	kept    time.Duration // presence.LogKept, except in tests
	closing context.Context
	close   func()

	// Each holds a connection, or nil while there is none, and is empty while a call uses it.
	caller chan *pgx.Conn // for Append and State
	reader chan *pgx.Conn // for Next
	newest int64          // the place in the newest notification, for whoever uses reader
}

// Open returns the log in the database that a URL names, such as
// "postgres://user:password@host:5432/database". What the URL leaves out is taken from
// the environment variables and files that libpq uses. The logger must not be nil.
//
// If PostgreSQL can't be reached, Open returns the log all the same: each call tries to
// connect, and creates the tables if there are none. An error of Open matches
// presence.ErrLogUnusable.
func Open(ctx context.Context, url string, logger *slog.Logger) (*Log, error) {
	config, err := parse(url)
	if err != nil {
		return nil, err
	}
	closing, cancel := context.WithCancelCause(context.Background())
	l := &Log{config: config, logger: logger, kept: presence.LogKept, closing: closing}
	l.caller, l.reader = make(chan *pgx.Conn, 1), make(chan *pgx.Conn, 1)
	l.caller <- nil
	l.reader <- nil
	l.close = sync.OnceFunc(func() {
		cancel(errClosed)
		hangUp(<-l.caller)
		hangUp(<-l.reader)
	})
	err = l.do(ctx, l.caller, func(context.Context, *pgx.Conn) error { return nil })
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

// State implements presence.Log.
func (l *Log) State(ctx context.Context) (state presence.LogState, err error) {
	// A role without the right to see the details of a replica sees its row.
	const query = `
		SELECT id, first, last, bytes, (SELECT coalesce(max(place), -1) FROM presence.snapshots), array_remove(ARRAY[
			CASE WHEN current_setting('fsync') = 'off' THEN
				'A loss of power can destroy the log, because fsync is off in PostgreSQL. Set it to on.' END,
			CASE WHEN current_setting('full_page_writes') = 'off' THEN
				'A loss of power can damage the log, because full_page_writes is off in PostgreSQL. Set it to on, unless the file system writes whole pages.' END,
			CASE WHEN current_setting('synchronous_standby_names') = '' AND EXISTS (
				SELECT FROM pg_stat_replication r WHERE state IS DISTINCT FROM 'backup' AND NOT EXISTS (
					SELECT FROM pg_replication_slots WHERE active_pid = r.pid AND slot_type = 'logical')) THEN
				'A replica that takes over can lack the newest entries of the log, because the replicas of PostgreSQL are asynchronous. Set synchronous_standby_names.' END
		], NULL)
		FROM presence.head`
	err = l.do(ctx, l.caller, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, query).Scan(&state.ID, &state.First, &state.Last, &state.Bytes, &state.Snapshot, &state.Warnings)
	})
	return state, err
}

// Remove removes the log from the database that a URL names, with all its entries and
// snapshots. The next node that connects creates an empty one.
func Remove(ctx context.Context, url string) error {
	l, err := Open(ctx, url, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer l.Close()
	return l.do(ctx, l.caller, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "DROP SCHEMA presence CASCADE")
		return err
	})
}
