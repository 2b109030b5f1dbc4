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
	_ "embed"
	"errors"
	"io"
	"log/slog"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/presence-server/presence/presence"
)

const poll = time.Second // how often Next looks for entries without a notification

//go:embed connect.sql
var connectSQL string

//go:embed append.sql
var appendSQL string

//go:embed next.sql
var nextSQL string

//go:embed state.sql
var stateSQL string

//go:embed save.sql
var saveSQL string

//go:embed load.sql
var loadSQL string

//go:embed trim.sql
var trimSQL string

// Log is a presence.Log that PostgreSQL keeps. Its calls return an error when PostgreSQL
// hasn't answered for 5 s. No error contains the password.
type Log struct {
	config  *pgx.ConnConfig
	kept    time.Duration // presence.LogKept, except in tests
	closing context.Context
	close   context.CancelCauseFunc
	caller  *connection // for Append and State
	reader  *connection // for Next
	newest  int64       // the place in the newest notification, for whoever uses reader
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
	l := &Log{config: config, kept: presence.LogKept}
	l.closing, l.close = context.WithCancelCause(context.Background())
	l.caller = &connection{log: l, limit: timeout}
	l.reader = &connection{log: l, limit: timeout, begin: "LISTEN presence"}
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { logger.Info(n.Message) }
	config.OnNotification = func(_ *pgconn.PgConn, n *pgconn.Notification) {
		l.newest, _ = strconv.ParseInt(n.Payload, 10, 64)
	}
	err = l.caller.do(ctx, func(context.Context, *pgx.Conn) error { return nil })
	if errors.Is(err, presence.ErrLogUnusable) {
		l.Close()
		return nil, err
	}
	return l, nil
}

// Close closes the connections. The calls that wait return an error, as do all later
// ones. Close returns nil, and may be called again.
func (l *Log) Close() error {
	l.close(errClosed)
	// A call whose context is done hangs up.
	l.caller.query(l.closing, nil, "")
	l.reader.query(l.closing, nil, "")
	return nil
}

// Append implements presence.Log.
func (l *Log) Append(ctx context.Context, data []byte) error {
	return l.caller.query(ctx, []any{nil, nil}, appendSQL, data)
}

// Next implements presence.Log. Goroutines that call it at the same time wait for one
// another, each for up to a second.
func (l *Log) Next(ctx context.Context, after int64) (entries []presence.LogEntry, err error) {
	var first, last int64
	var entry presence.LogEntry
	add := func() error {
		switch {
		case first > after+1:
			return presence.ErrTrimmed
		case last < after:
			return presence.ErrLostEnd
		case entry.Place > 0:
			entries = append(entries, entry)
		}
		return nil
	}
	for err == nil && len(entries) == 0 {
		err = l.reader.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
			l.newest = 0 // the query sees what was announced before it
			rows, _ := conn.Query(ctx, nextSQL, after)
			_, err := pgx.ForEachRow(rows, []any{&first, &last, &entry.Place, &entry.At, &entry.Data}, add)
			if err == nil && len(entries) == 0 {
				err = l.wait(ctx, conn, after)
			}
			return err
		})
	}
	return entries, err
}

// wait returns when an entry after a place was announced, or after the time of one poll.
func (l *Log) wait(ctx context.Context, conn *pgx.Conn, after int64) (err error) {
	ctx, cancel := context.WithTimeout(ctx, poll)
	defer cancel()
	for err == nil && l.newest <= after {
		err = conn.PgConn().WaitForNotification(ctx)
	}
	if ctx.Err() != nil && !conn.IsClosed() {
		return nil
	}
	return err
}

// State implements presence.Log.
func (l *Log) State(ctx context.Context) (state presence.LogState, err error) {
	into := []any{&state.ID, &state.First, &state.Last, &state.Bytes, &state.Snapshot, &state.Warnings}
	err = l.caller.query(ctx, into, stateSQL)
	return state, err
}

// SaveSnapshot implements presence.Log. It has 1 MiB in memory at a time. Only one node
// saves at a time: others wait for it, and after 4 s return an error.
func (l *Log) SaveSnapshot(ctx context.Context, place int64, r io.Reader) error {
	c := &connection{log: l, begin: saveSQL, limit: timeout}
	defer c.hangUp()
	var newest int64
	err := c.query(ctx, []any{&newest}, "SELECT coalesce(max(place), -1) FROM presence.snapshots")
	if err == nil && newest >= 0 && place == 0 {
		err = presence.ErrFounded
	}
	if err == nil && newest < place {
		err = c.store(ctx, place, r)
	}
	c.limit = time.Minute // the replicas may lag, and there may be much to remove
	if err == nil {
		err = c.query(ctx, nil, "COMMIT")
	}
	for more := true; err == nil && more; {
		err = c.query(ctx, []any{&more}, trimSQL, l.kept)
	}
	return err
}

func (c *connection) store(ctx context.Context, place int64, r io.Reader) error {
	piece := make([]byte, 1<<20)
	for i := 0; ; i++ {
		n, end := io.ReadFull(r, piece)
		if end != nil && end != io.EOF && end != io.ErrUnexpectedEOF {
			return end
		}
		err := c.query(ctx, nil, "INSERT INTO presence.snapshots VALUES ($1, $2, $3)", place, i, piece[:n])
		if err != nil || end != nil {
			return err
		}
	}
}

// LoadSnapshot implements presence.Log. It has 1 MiB in memory at a time.
func (l *Log) LoadSnapshot(ctx context.Context, w io.Writer) (place int64, err error) {
	// In one transaction, no other snapshot replaces it.
	c := &connection{log: l, begin: "BEGIN ISOLATION LEVEL REPEATABLE READ", limit: timeout}
	defer c.hangUp()
	data := []byte{}
	for piece := 0; err == nil && data != nil; piece++ {
		if err = c.query(ctx, []any{&place, &data}, loadSQL, piece); err == nil {
			_, err = w.Write(data)
		}
	}
	if err == nil && place < 0 {
		err = presence.ErrNoSnapshot
	}
	return place, err
}

// Remove removes the log from the database that a URL names, with all its entries and
// snapshots. The next node that connects creates an empty one.
func Remove(ctx context.Context, url string) error {
	l, err := Open(ctx, url, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer l.Close()
	return l.caller.query(ctx, nil, "DROP SCHEMA presence CASCADE")
}
