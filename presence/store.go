package presence

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/gofrs/flock"
)

// applicationID marks our files in SQLite's header: "Pres" in ASCII.
const applicationID = 0x50726573

// store is the database file: one connection that writes, a few that read.
type store struct {
	path  string
	lock  *flock.Flock
	write *sql.DB
	conn  *sql.Conn // the only one of write
	read  *sql.DB
	files []opened
	stmts map[string]*sql.Stmt // on conn, by their text

	watching *sql.Stmt // on read; see watches
}

// openStore opens or makes the file, locked against other processes and
// brought to the newest schema. A file that isn't ours is left untouched.
func openStore(ctx context.Context, path string, schema fs.FS, log *slog.Logger) (*store, error) {
	path, err := touch(path)
	if err != nil {
		return nil, err
	}
	st := &store{path: path, stmts: make(map[string]*sql.Stmt)}
	if st.lock, err = lockFile(path); err != nil {
		return nil, err
	}
	if err := st.open(ctx, schema, log); err != nil {
		st.close()
		return nil, err
	}
	return st, nil
}

func (st *store) open(ctx context.Context, schema fs.FS, log *slog.Logger) error {
	if err := checkOurs(st.path); err != nil {
		return err
	}
	if err := create(ctx, st.path); err != nil {
		return err
	}
	var err error
	if st.write, err = sql.Open("sqlite", dsn(st.path, writerPragmas)); err != nil {
		return err
	}
	if st.conn, err = st.write.Conn(ctx); err != nil {
		return fmt.Errorf("open %s: %w", st.path, diagnosed(st.path, err))
	}
	if err := st.migrate(ctx, schema, log); err != nil {
		return err
	}
	if st.read, err = sql.Open("sqlite", dsn(st.path, readerPragmas)); err != nil {
		return err
	}
	if err := openAll(ctx, st.read, readers); err != nil {
		return fmt.Errorf("open %s: %w", st.path, diagnosed(st.path, err))
	}
	st.watching, err = st.read.PrepareContext(ctx, selectWatches)
	return err
}

const readers = 4 // connections

func (st *store) close() error {
	var errs []error
	for _, s := range st.stmts {
		errs = append(errs, s.Close())
	}
	if st.watching != nil {
		errs = append(errs, st.watching.Close())
	}
	if st.read != nil {
		errs = append(errs, st.read.Close())
	}
	if st.conn != nil {
		errs = append(errs, st.conn.Close())
	}
	if st.write != nil {
		errs = append(errs, st.write.Close())
	}
	return errors.Join(append(errs, st.lock.Close())...)
}

// touch makes the file, empty, if there is none, and returns its path without
// links: two names of one file then share one lock.
//
// A file that is there isn't opened before that lock is held: to close it again
// would take away the locks that a service in this process has on it.
func touch(path string) (string, error) {
	if err := checkPath(path); err != nil {
		return "", err
	}
	switch file, err := os.Stat(path); {
	case err == nil:
		if err := checkRegular(path, file); err != nil {
			return "", err
		}
	case errors.Is(err, fs.ErrNotExist):
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return "", diagnosed(path, err)
		}
		if err := f.Close(); err != nil {
			return "", err
		}
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(path)
}

// checkPath refuses what names no file, or what SQLite and its drivers would take
// for something else: a file of such a name would hold what its user believes to
// be in memory, or ignore the options behind it.
func checkPath(path string) error {
	lower := strings.ToLower(path)
	switch {
	case path == "":
		return errors.New("no database path given")
	case strings.Contains(lower, ":memory:"):
		return fmt.Errorf("%q: a database in memory is not supported, because what is answered must survive: give the path of a file", path)
	case strings.HasPrefix(lower, "file:"), strings.HasPrefix(lower, "sqlite:"), strings.HasPrefix(lower, "sqlite3:"), strings.Contains(path, "://"):
		return fmt.Errorf("%q is a URI: give the path of a file, such as presence.db", path)
	case optionsBehind.MatchString(path):
		return fmt.Errorf("%q: options behind a database path are not supported: give the path alone", path)
	case strings.ContainsRune(path, 0):
		return fmt.Errorf("%q: a path has no zero byte", path)
	}
	return nil
}

// optionsBehind finds the query of a URI, such as presence.db?mode=memory.
var optionsBehind = regexp.MustCompile(`\?[\w.-]+=[^/]*$`)

// checkRegular refuses what only looks like a file: to open a pipe could take
// for ever.
func checkRegular(path string, file fs.FileInfo) error {
	switch {
	case file.IsDir():
		return fmt.Errorf("%s is a directory", path)
	case !file.Mode().IsRegular():
		return fmt.Errorf("%s is not a regular file", path)
	}
	return nil
}

// Every pragma stands in the DSN, because one that is executed reaches a
// single connection of the pool only.
var (
	// wal_autocheckpoint is off: the checkpointer does it beside the writer,
	// which a checkpoint of its own would stall for 9 to 14 ms.
	writerPragmas = []string{"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)", "wal_autocheckpoint(0)"}
	readerPragmas = []string{"busy_timeout(5000)", "query_only(1)"}

	// A page size can only be chosen before anything is written. Random rows
	// of small pages make a small log: twice the rate of the default 4096.
	// The driver executes pragmas in alphabetical order, so the one that writes
	// the file, application_id, can't stand here.
	creationPragmas = []string{"page_size(1024)"}
)

func dsn(path string, pragmas []string) string {
	query := url.Values{"_pragma": pragmas, "_txlock": {"immediate"}}
	return (&url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path), RawQuery: query.Encode()}).String()
}

// checkOurs refuses any other program's file. It reads the header itself: a
// connection would already change the file.
func checkOurs(path string) error {
	header := make([]byte, 100)
	n, err := readHeader(path, header)
	switch {
	case err != nil:
		return err
	case n == 0:
		return nil
	case n < len(header) || !strings.HasPrefix(string(header), "SQLite format 3\x00"):
		return fmt.Errorf("%s is not a presence database: not an SQLite file", path)
	case binary.BigEndian.Uint32(header[68:]) != applicationID:
		return fmt.Errorf("%s is not a presence database: it belongs to another program", path)
	}
	return nil
}

func readHeader(path string, header []byte) (int, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	n, err := io.ReadFull(f, header)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = nil
	}
	return n, err
}

// create makes a database of an empty file.
func create(ctx context.Context, path string) error {
	if file, err := os.Stat(path); err != nil || file.Size() > 0 {
		return err
	}
	db, err := sql.Open("sqlite", dsn(path, creationPragmas))
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d", applicationID)); err != nil {
		return fmt.Errorf("create %s: %w", path, diagnosed(path, err))
	}
	return db.Close()
}

// exec runs one statement on the writer's connection, and returns how many rows
// it changed.
func (st *store) exec(query string, args ...any) (rows int64, err error) {
	s, err := st.prepare(query)
	if err != nil {
		return 0, err
	}
	result, err := s.Exec(args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (st *store) prepare(query string) (*sql.Stmt, error) {
	if s := st.stmts[query]; s != nil {
		return s, nil
	}
	s, err := st.conn.PrepareContext(context.Background(), query)
	if err == nil {
		st.stmts[query] = s
	}
	return s, err
}

// collect runs a query and returns what scan makes of each row.
func collect[T any](rows *sql.Rows, err error, scan func(*sql.Rows) (T, error)) ([]T, error) {
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
