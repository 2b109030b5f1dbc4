package presence

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"sync/atomic"
)

// checkpointer moves what the write-ahead log holds into the database, on a
// connection and goroutine of its own: done by the writer it would stall every
// caller for 9 to 14 ms.
type checkpointer struct {
	db   *sql.DB
	log  *slog.Logger
	wake chan struct{} // there is something to move; holds one
	stop chan struct{}
	done chan struct{}

	written int         // rows since it was last woken; of the writer
	long    atomic.Bool // the log is too long; see wrote
}

const (
	// checkpointAfter is how many rows make a checkpoint worth it: they leave a
	// log of about 10 MiB. Its fsyncs delay those of the writer.
	checkpointAfter = 8192

	// longLog is the size, in pages, from which the log has to start anew.
	longLog = 1 << 16
)

func newCheckpointer(st *store, log *slog.Logger) (*checkpointer, error) {
	db, err := sql.Open("sqlite", dsn(st.path, writerPragmas))
	if err != nil {
		return nil, err
	}
	if err := openAll(context.Background(), db, 1); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &checkpointer{
		db: db, log: log,
		wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}, nil
}

func (c *checkpointer) run() {
	defer close(c.done)
	for {
		select {
		case <-c.stop:
			return
		case <-c.wake:
			c.checkpoint()
		}
	}
}

func (c *checkpointer) checkpoint() {
	pages, err := checkpoint(c.db)
	if err != nil {
		c.log.Warn("database checkpoint failed", "error", err)
	}
	c.long.Store(pages > longLog)
}

// checkpoint moves what it can without waiting for anyone, and returns how
// many pages the log holds.
func checkpoint(db querier) (pages int, err error) {
	var busy, moved int
	err = db.QueryRowContext(context.Background(), "PRAGMA wal_checkpoint(PASSIVE)").Scan(&busy, &pages, &moved)
	return pages, err
}

// wrote is told by the writer, between two batches, of rows written.
// SQLite starts its log anew only when all of it is moved at the moment of a
// write. Beside a writer who never rests that moment doesn't come, so when the
// log has grown long the writer moves the rest itself.
func (c *checkpointer) wrote(st *store, rows int) {
	if c.long.CompareAndSwap(true, false) {
		if _, err := checkpoint(st.conn); err != nil {
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
