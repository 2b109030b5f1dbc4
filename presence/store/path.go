package store

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/gofrs/flock"
)

// ApplicationID marks a presence database in the header of the file: "Pres" in ASCII.
// See PRAGMA application_id.
const ApplicationID = 0x50726573

// touch creates the file, empty, if there is none, and returns its path without
// links: two names of one file then share one lock.
//
// A file that exists isn't opened before that lock is held: closing it again would
// release the locks that a service in this process has on it.
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
			return "", Diagnose(path, err)
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

// checkPath rejects a path that names no file, and a path that SQLite and its drivers would
// interpret differently: a file with such a name would hold what its user believes is
// in memory, or the options after the name would be ignored.
func checkPath(path string) error {
	lower := strings.ToLower(path)
	switch {
	case path == "":
		return errors.New("no database path given")
	case strings.Contains(lower, ":memory:"):
		return fmt.Errorf("%s: a database in memory is not supported, because what is answered must survive: give the path of a file", path)
	case strings.HasPrefix(lower, "file:"), strings.HasPrefix(lower, "sqlite:"), strings.HasPrefix(lower, "sqlite3:"), strings.Contains(path, "://"):
		return fmt.Errorf("%s is a URI: give the path of a file, such as presence.db", path)
	case optionsAfter.MatchString(path):
		return fmt.Errorf("%s: options after a database path are not supported: give the path alone", path)
	case strings.ContainsRune(path, 0):
		return fmt.Errorf("%q: a path has no zero byte", path)
	}
	return nil
}

// optionsAfter matches the query of a URI, such as presence.db?mode=memory.
var optionsAfter = regexp.MustCompile(`\?[\w.-]+=[^/]*$`)

// checkRegular rejects what only looks like a file: opening a pipe could block without
// end.
func checkRegular(path string, file fs.FileInfo) error {
	switch {
	case file.IsDir():
		return fmt.Errorf("%s is a directory", path)
	case !file.Mode().IsRegular():
		return fmt.Errorf("%s is not a regular file", path)
	}
	return nil
}

// checkOurs rejects a file of any other program. It reads the header itself: a
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
	case binary.BigEndian.Uint32(header[68:]) != ApplicationID:
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

// create turns an empty file into a database.
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
	if _, err := db.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d", ApplicationID)); err != nil {
		return fmt.Errorf("create %s: %w", path, Diagnose(path, err))
	}
	return db.Close()
}

// lockFile takes the lock that every process holds that has the database open to
// write.
func lockFile(path string) (*flock.Flock, error) {
	lock := flock.New(path + "-lock")
	got, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock the database: %w", Diagnose(path, err))
	}
	if !got {
		return nil, fmt.Errorf("%s is in use by another process", path)
	}
	return lock, nil
}

// sizeOf returns the size of a file in bytes, or 0 if there is none.
func sizeOf(path string) int64 {
	file, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return file.Size()
}
