package store

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"sync/atomic"
)

// checkpointer moves what the write-ahead log holds into the database, on a
// connection and a goroutine of its own: done by the writer, that would stall
// every caller for 9 to 14 ms.
type checkpointer struct {
	db   *sql.DB
	log  *slog.Logger
	wake chan struct{} // there is something to move; holds one
	stop chan struct{}
	done chan struct{}

	written int         // rows since the last wake; used by the writer only
	long    atomic.Bool // the log is too long; see Wrote
}

const (
	// checkpointAfter is the number of rows after which a checkpoint is worthwhile:
	// they leave a log of about 10 MiB. The fsyncs of a checkpoint delay those of the
	// writer.
	checkpointAfter = 8192

	// longLog is the size, in pages, above which the log must start again from its
	// beginning.
	longLog = 1 << 16
)

func startCheckpointer(path string, log *slog.Logger) (*checkpointer, error) {
	db, err := sql.Open("sqlite", dsn(path, writerPragmas))
	if err != nil {
		return nil, err
	}
	if err := openAll(context.Background(), db, 1); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	c := &checkpointer{
		db: db, log: log,
		wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
	go c.run()
	return c, nil
}

func (c *checkpointer) run() {
	defer close(c.done)
	for {
		select {
		case <-c.stop:
			return
		case <-c.wake:
			pages, err := checkpoint(c.db)
			if err != nil {
				c.log.Warn("database checkpoint failed", "error", err)
			}
			c.long.Store(pages > longLog)
		}
	}
}

// checkpoint moves what it can without waiting for anyone, and returns how many
// pages the log holds.
func checkpoint(db Queryer) (pages int, err error) {
	var busy, moved int
	err = db.QueryRowContext(context.Background(), "PRAGMA wal_checkpoint(PASSIVE)").Scan(&busy, &pages, &moved)
	return pages, err
}

// Wrote reports between two transactions that rows were written, which may make a
// checkpoint due.
//
// SQLite reuses the beginning of its log only if a write finds all of the log moved
// into the database. While writes follow each other without a pause, the checkpoints
// of the other goroutine never get that far. So once the log is long, Wrote makes a
// checkpoint itself.
func (d *DB) Wrote(rows int) {
	c := d.checkpointer
	if c.long.CompareAndSwap(true, false) {
		if _, err := checkpoint(d.writer); err != nil {
			c.log.Warn("database checkpoint failed", "error", err)
		}
	}
	c.written += rows
	if c.written < checkpointAfter {
		return
	}
	c.written = 0
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *checkpointer) close() error {
	close(c.stop)
	<-c.done
	return c.db.Close()
}
