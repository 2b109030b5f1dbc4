package pglog

import (
	"context"
	"io"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/presence-server/presence/presence"
)

const (
	pieceSize = 1 << 20
	removing  = time.Minute         // the timeout of a statement that may remove much
	lockKey   = 8102650225890321253 // as in schema.sql
)

// SaveSnapshot implements presence.Log. It has 1 MiB in memory at a time. Only one node
// saves at a time: others wait for it, and after 4 s return an error.
func (l *Log) SaveSnapshot(ctx context.Context, place int64, r io.Reader) error {
	ctx, timer, cancel := l.limit(ctx)
	defer cancel()
	conn, err := l.connect(ctx)
	if err != nil {
		return describe(ctx, err)
	}
	defer hangUp(conn)
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return save(ctx, timer, tx, place, r) })
	if err == nil {
		err = l.trim(ctx, timer, conn)
	}
	return describe(ctx, err)
}

// save stores a snapshot in one transaction, so that nothing remains of one that fails.
func save(ctx context.Context, timer *time.Timer, tx pgx.Tx, place int64, r io.Reader) error {
	// The lock is a statement of its own, so that the next one sees what it waited for.
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1), "+durably, lockKey); err != nil {
		return err
	}
	var newest *int64
	if err := tx.QueryRow(ctx, "SELECT max(place) FROM presence.snapshots").Scan(&newest); err != nil {
		return err
	}
	if newest != nil && place == 0 {
		return presence.ErrFounded
	}
	if newest != nil && *newest >= place {
		return nil
	}
	piece, end := make([]byte, pieceSize), error(nil)
	for i := 0; end == nil; i++ {
		timer.Stop()
		var n int
		if n, end = io.ReadFull(r, piece); end != nil && end != io.EOF && end != io.ErrUnexpectedEOF {
			return end
		}
		timer.Reset(timeout)
		if _, err := tx.Exec(ctx, "INSERT INTO presence.snapshots VALUES ($1, $2, $3)", place, i, piece[:n]); err != nil {
			return err
		}
	}
	timer.Reset(removing)
	_, err := tx.Exec(ctx, "DELETE FROM presence.snapshots WHERE place < $1", place)
	return err
}

// trim removes the entries that are older than both the newest snapshot and l.kept, some
// at a time. It begins with the oldest one and leaves no gap.
func (l *Log) trim(ctx context.Context, timer *time.Timer, conn *pgx.Conn) error {
	const query = `
		WITH oldest AS (
			SELECT place, at >= clock_timestamp() - $1::interval AS kept FROM presence.entries
			WHERE place >= (SELECT first FROM presence.head) AND place <= (SELECT max(place) FROM presence.snapshots)
			ORDER BY place LIMIT 10000
		), removed AS (
			DELETE FROM presence.entries
			WHERE place < (SELECT coalesce(min(place) FILTER (WHERE kept), max(place) + 1) FROM oldest)
			RETURNING length(data) AS size
		)
		UPDATE presence.head SET first = first + entries, bytes = bytes - size
		FROM (SELECT count(*) AS entries, sum(size) AS size FROM removed) removed WHERE entries > 0`
	for {
		timer.Reset(removing)
		tag, err := conn.Exec(ctx, query, l.kept)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
	}
}

// LoadSnapshot implements presence.Log. It has 1 MiB in memory at a time.
func (l *Log) LoadSnapshot(ctx context.Context, w io.Writer) (place int64, err error) {
	ctx, timer, cancel := l.limit(ctx)
	defer cancel()
	conn, err := l.connect(ctx)
	if err != nil {
		return 0, describe(ctx, err)
	}
	defer hangUp(conn)
	const query = "SELECT place, data FROM presence.snapshots WHERE place = (SELECT max(place) FROM presence.snapshots) ORDER BY piece"
	rows, _ := conn.Query(ctx, query) // ForEachRow returns the error
	var data []byte
	tag, err := pgx.ForEachRow(rows, []any{&place, &data}, func() error {
		timer.Stop()
		defer timer.Reset(timeout)
		_, err := w.Write(data)
		return err
	})
	if err == nil && tag.RowsAffected() == 0 {
		err = presence.ErrNoSnapshot
	}
	return place, describe(ctx, err)
}
