// Package store keeps a database in one SQLite file, for one writer and a few
// readers, and maintains it: it opens and locks the file, brings it to the newest
// schema, makes checkpoints, and copies, checks and replaces it. It doesn't know what
// the tables mean: its callers pass the schema as text.
//
// A service opens its file with [Open]. [Backup], [Restore] and [Schema.Check]
// work on a file by themselves, whether or not a service has it open.
//
// The package links modernc.org/sqlite, which registers itself with database/sql
// as "sqlite"; a program that links a second driver of that name panics at start.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"

	"github.com/gofrs/flock"
)

// DB is an open database: one connection that writes, and a few that read. Exec,
// Prepare, Start and Wrote are for the one goroutine that writes; the other
// methods may be called from any goroutine.
type DB struct {
	path   string
	log    *slog.Logger
	lock   *flock.Flock
	pool   *sql.DB
	writer *sql.Conn // the only one of pool
	reader *sql.DB
	stmts  map[string]*sql.Stmt // of writer, by their text
	files  []openFile           // see Moved

	checkpointer *checkpointer // nil before Start
}

// Open opens the file at path, which it creates if it doesn't exist, locks it
// against other processes, and brings it to the schema. A file of another program
// is left untouched.
//
// Errors say what to do: the path is no file, the file can't be opened or
// written, belongs to another program, is in use by another process, or has a
// newer schema.
func Open(ctx context.Context, path string, schema Schema, log *slog.Logger) (*DB, error) {
	path, err := touch(path)
	if err != nil {
		return nil, err
	}
	d := &DB{path: path, log: log, stmts: make(map[string]*sql.Stmt)}
	if d.lock, err = lockFile(path); err != nil {
		return nil, err
	}
	if err := d.open(ctx, schema); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

func (d *DB) open(ctx context.Context, schema Schema) error {
	if err := checkOurs(d.path); err != nil {
		return err
	}
	if err := create(ctx, d.path); err != nil {
		return err
	}
	var err error
	if d.pool, err = sql.Open("sqlite", dsn(d.path, writerPragmas)); err != nil {
		return err
	}
	if d.writer, err = d.pool.Conn(ctx); err != nil {
		return fmt.Errorf("open %s: %w", d.path, Diagnose(d.path, err))
	}
	if err := d.migrate(ctx, schema); err != nil {
		return err
	}
	if d.reader, err = sql.Open("sqlite", dsn(d.path, readerPragmas)); err != nil {
		return err
	}
	if err := openAll(ctx, d.reader, readers); err != nil {
		return fmt.Errorf("open %s: %w", d.path, Diagnose(d.path, err))
	}
	return nil
}

// readers is the number of connections that read.
const readers = 4

// Start begins the maintenance of an open database, after the first write: it
// notes which files are open, see Moved, and starts the goroutine that makes
// checkpoints. Close stops it.
func (d *DB) Start() error {
	if err := d.rememberFiles(); err != nil {
		return err
	}
	checkpointer, err := startCheckpointer(d.path, d.log)
	d.checkpointer = checkpointer
	return err
}

// Close closes the database, and releases its lock.
func (d *DB) Close() error {
	var errs []error
	if d.checkpointer != nil {
		errs = append(errs, d.checkpointer.close())
	}
	for _, s := range d.stmts {
		errs = append(errs, s.Close())
	}
	if d.reader != nil {
		errs = append(errs, d.reader.Close())
	}
	if d.writer != nil {
		errs = append(errs, d.writer.Close())
	}
	if d.pool != nil {
		errs = append(errs, d.pool.Close())
	}
	return errors.Join(append(errs, d.lock.Close())...)
}

// Path returns the path of the file, absolute and without links.
func (d *DB) Path() string { return d.path }

// Reader returns the connections that read. They can't write.
func (d *DB) Reader() *sql.DB { return d.reader }

// Exec runs one statement on the connection that writes, and returns the number of
// rows that it changed.
func (d *DB) Exec(query string, args ...any) (rows int64, err error) {
	s, err := d.Prepare(query)
	if err != nil {
		return 0, err
	}
	result, err := s.Exec(args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// Prepare returns a statement on the connection that writes. It is kept: the same
// text returns the same statement. Callers must not close it.
func (d *DB) Prepare(query string) (*sql.Stmt, error) {
	if s := d.stmts[query]; s != nil {
		return s, nil
	}
	s, err := d.writer.PrepareContext(context.Background(), query)
	if err == nil {
		d.stmts[query] = s
	}
	return s, err
}

// Sizes returns the sizes of the database and of its log, and how much space its
// disk has left for this process, all in bytes. free is -1 where that isn't known.
func (d *DB) Sizes() (file, log, free int64) {
	return sizeOf(d.path), sizeOf(d.path + "-wal"), diskFree(d.path)
}

// Every pragma is in the DSN, because one that is executed reaches a single
// connection of the pool only.
var (
	// wal_autocheckpoint is off: the checkpointer makes checkpoints next to the
	// writer, which one of its own would stall for 9 to 14 ms.
	writerPragmas = []string{"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)", "wal_autocheckpoint(0)"}
	readerPragmas = []string{"busy_timeout(5000)", "query_only(1)"}

	// A page size can only be chosen before anything is written. Random rows of
	// small pages make a small log: twice the rate of the default 4096. The driver
	// executes pragmas in alphabetical order, so application_id, which writes the
	// file, can't be here.
	creationPragmas = []string{"page_size(1024)"}
)

func dsn(path string, pragmas []string) string {
	query := url.Values{"_pragma": pragmas, "_txlock": {"immediate"}}
	return (&url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path), RawQuery: query.Encode()}).String()
}

// Queryer is a connection, a pool of them, or a transaction.
type Queryer interface {
	QueryContext(context.Context, string, ...any) (*sql.Rows, error)
	QueryRowContext(context.Context, string, ...any) *sql.Row
}

// Collect returns what scan returns for each row, and closes the rows. err is the
// error of the query: rows may be nil then.
func Collect[T any](rows *sql.Rows, err error, scan func(*sql.Rows) (T, error)) ([]T, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}
