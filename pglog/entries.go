package pglog

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/presence-server/presence/presence"
)

const (
	poll = time.Second // how often Next looks for entries without a notification

	// One call of Next returns entries until one of these is reached.
	maxEntries = 1000
	maxBytes   = 4 << 20
)

// durably makes the transaction wait for the disk, and for the synchronous replicas.
// remote_apply waits for more than that.
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
	return l.do(ctx, l.caller, func(ctx context.Context, conn *pgx.Conn) error {
		tag, err := conn.Exec(ctx, appendEntry, data)
		if err == nil && tag.RowsAffected() != 1 {
			err = errors.New("the table presence.head is empty")
		}
		return err
	})
}

// Next implements presence.Log. Goroutines that call it at the same time wait for one
// another, each for up to a second.
func (l *Log) Next(ctx context.Context, after int64) (entries []presence.LogEntry, err error) {
	for err == nil && len(entries) == 0 {
		err = l.do(ctx, l.reader, func(ctx context.Context, conn *pgx.Conn) (err error) {
			l.newest = 0 // read sees what was announced before it
			if entries, err = read(ctx, conn, after); err != nil || len(entries) > 0 {
				return err
			}
			return l.wait(ctx, conn, after)
		})
	}
	return entries, err
}

func read(ctx context.Context, conn *pgx.Conn, after int64) (entries []presence.LogEntry, err error) {
	const query = `
		SELECT first, last, place, at, data FROM presence.head LEFT JOIN (
			SELECT *, sum(length(data)) OVER (ORDER BY place) - length(data) AS before
			FROM presence.entries WHERE place > $1 ORDER BY place LIMIT $2
		) entry ON before < $3 ORDER BY place`
	rows, _ := conn.Query(ctx, query, after, maxEntries, maxBytes) // ForEachRow returns the error
	var first, last int64
	var place *int64 // nil without an entry
	var at *time.Time
	var data []byte
	_, err = pgx.ForEachRow(rows, []any{&first, &last, &place, &at, &data}, func() error {
		switch {
		case first > after+1:
			return presence.ErrTrimmed
		case last < after:
			return presence.ErrLostEnd
		}
		if place != nil {
			entries = append(entries, presence.LogEntry{Place: *place, At: at.UTC(), Data: data})
		}
		return nil
	})
	return entries, err
}

// wait returns when an entry after a place was announced, or after the time of one poll.
func (l *Log) wait(ctx context.Context, conn *pgx.Conn, after int64) error {
	ctx, cancel := context.WithTimeout(ctx, poll)
	defer cancel()
	for l.newest <= after {
		if err := conn.PgConn().WaitForNotification(ctx); ctx.Err() != nil && !conn.IsClosed() {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil
}
