package pglog

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/presence-server/presence/presence"
)

const (
	pieceSize = 1 << 20
	abandoned = 10 * time.Minute // after its last piece, an incomplete snapshot is removed
	patience  = time.Minute      // for a statement that removes much
)

// SaveSnapshot implements presence.Log. It has 1 MiB in memory at a time. A snapshot that
// couldn't be completed is removed at once, or if that fails, by a later call.
func (l *Log) SaveSnapshot(ctx context.Context, place int64, r io.Reader) error {
	c := newConnection(l, l.connect)
	defer c.close()
	if err := removeSnapshots(ctx, c); err != nil {
		return err
	}
	newest := int64(none)
	err := c.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, newestSnapshot).Scan(&newest)
	})
	if err != nil {
		return err
	}
	if place == 0 && newest != none {
		return presence.ErrFounded
	}
	if newest < place {
		if err := save(ctx, c, place, r); err != nil {
			return err
		}
	}
	if err := removeSnapshots(ctx, c); err != nil {
		return err
	}
	return l.trim(ctx, c)
}

// newestSnapshot returns none if there is none.
const (
	newestSnapshot = "SELECT coalesce(max(place), -1) FROM presence.snapshots WHERE pieces IS NOT NULL"
	none           = -1
)

func save(ctx context.Context, c *connection, place int64, r io.Reader) (err error) {
	var id int64
	err = c.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "INSERT INTO presence.snapshots (place) VALUES ($1) RETURNING id", place).Scan(&id)
	})
	if err != nil {
		return err
	}
	pieces, err := savePieces(ctx, c, id, r)
	if err == nil {
		err = c.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
			return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return complete(ctx, tx, id, place, pieces) })
		})
	}
	if err != nil {
		c.do(context.WithoutCancel(ctx), func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, "DELETE FROM presence.snapshots WHERE id = $1 AND pieces IS NULL", id)
			return err
		})
	}
	return err
}

var errAbandoned = errors.New("the snapshot was removed, because it got no piece for too long")

func savePieces(ctx context.Context, c *connection, id int64, r io.Reader) (pieces int, err error) {
	const query = `
		WITH snapshot AS (UPDATE presence.snapshots SET saved_at = clock_timestamp() WHERE id = $1 RETURNING id)
		INSERT INTO presence.snapshot_pieces SELECT id, $2, $3 FROM snapshot`
	for piece := make([]byte, pieceSize); ; pieces++ {
		n, end := io.ReadFull(r, piece)
		if end == io.EOF {
			return pieces, nil
		}
		if end != nil && end != io.ErrUnexpectedEOF {
			return 0, end
		}
		err := c.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
			tag, err := conn.Exec(ctx, query, id, pieces, piece[:n])
			if err == nil && tag.RowsAffected() == 0 {
				err = errAbandoned
			}
			return err
		})
		if err != nil {
			return 0, err
		}
	}
}

// complete makes a snapshot visible, unless there is one at its place or a later one.
func complete(ctx context.Context, tx pgx.Tx, id, place int64, pieces int) error {
	// The lock is a statement of its own, so that the next one sees what it waited for.
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1), "+durably, lockKey); err != nil {
		return err
	}
	var newest int64
	if err := tx.QueryRow(ctx, newestSnapshot).Scan(&newest); err != nil {
		return err
	}
	if place == 0 && newest != none {
		return presence.ErrFounded
	}
	if newest >= place {
		_, err := tx.Exec(ctx, "DELETE FROM presence.snapshots WHERE id = $1", id)
		return err
	}
	tag, err := tx.Exec(ctx, "UPDATE presence.snapshots SET pieces = $2 WHERE id = $1", id, pieces)
	if err == nil && tag.RowsAffected() == 0 {
		err = errAbandoned
	}
	return err
}

// removeSnapshots removes the abandoned ones, and those that a newer one replaces.
func removeSnapshots(ctx context.Context, c *connection) error {
	const query = `
		DELETE FROM presence.snapshots WHERE CASE WHEN pieces IS NULL
			THEN saved_at < clock_timestamp() - $1::interval
			ELSE place < (SELECT max(place) FROM presence.snapshots WHERE pieces IS NOT NULL) END`
	return c.within(ctx, patience, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, query, abandoned)
		return err
	})
}

// trim removes the entries that are older than both the newest snapshot and l.kept, some
// at a time, so that nobody waits for long. It begins at the oldest one and leaves no gap.
func (l *Log) trim(ctx context.Context, c *connection) error {
	const query = `
		WITH oldest AS (
			SELECT place, at >= clock_timestamp() - $1::interval AS kept FROM presence.entries
			WHERE place >= (SELECT first FROM presence.head) AND place <= (` + newestSnapshot + `)
			ORDER BY place LIMIT 10000
		), removed AS (
			DELETE FROM presence.entries
			WHERE place < (SELECT coalesce(min(place) FILTER (WHERE kept), max(place) + 1) FROM oldest)
			RETURNING length(data) AS size
		)
		UPDATE presence.head SET first = first + entries, bytes = bytes - size
		FROM (SELECT count(*) AS entries, sum(size) AS size FROM removed) removed WHERE entries > 0`
	for removed := int64(1); removed > 0; {
		err := c.within(ctx, patience, func(ctx context.Context, conn *pgx.Conn) error {
			tag, err := conn.Exec(ctx, query, l.kept)
			removed = tag.RowsAffected()
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// LoadSnapshot implements presence.Log. It has 1 MiB in memory at a time. If a newer
// snapshot replaces the one that it loads, it returns an error after a part of it.
func (l *Log) LoadSnapshot(ctx context.Context, w io.Writer) (place int64, err error) {
	c := newConnection(l, l.connect)
	defer c.close()
	var id int64
	var pieces int
	err = c.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		const query = "SELECT id, place, pieces FROM presence.snapshots WHERE pieces IS NOT NULL ORDER BY place DESC LIMIT 1"
		err := conn.QueryRow(ctx, query).Scan(&id, &place, &pieces)
		if errors.Is(err, pgx.ErrNoRows) {
			return presence.ErrNoSnapshot
		}
		return err
	})
	for piece := 0; piece < pieces && err == nil; piece++ {
		var data []byte
		err = c.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
			const query = "SELECT data FROM presence.snapshot_pieces WHERE snapshot = $1 AND piece = $2"
			err := conn.QueryRow(ctx, query, id, piece).Scan(&data)
			if errors.Is(err, pgx.ErrNoRows) {
				return errors.New("a newer snapshot has replaced the one that was being loaded")
			}
			return err
		})
		if err == nil {
			_, err = w.Write(data)
		}
	}
	if err != nil {
		return 0, err
	}
	return place, nil
}
