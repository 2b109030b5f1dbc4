package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"modernc.org/sqlite"
)

// Backup copies the database at path, as it is at one moment, into a new file that
// only its owner may read. It may be called at any time: a service that has the
// database open, in this process or another, continues.
//
// The new file appears under its name only once it is complete, on the disk, and
// checked by reading all of it. Its folder must exist. An existing file is never
// replaced; the error is then [fs.ErrExist].
func Backup(ctx context.Context, path, to string) error {
	if err := checkPath(to); err != nil {
		return err
	}
	if _, err := os.Lstat(to); err == nil {
		return &fs.PathError{Op: "back up to", Path: to, Err: fs.ErrExist}
	}
	copied, err := copyNextTo(ctx, path, to)
	if err != nil {
		return err
	}
	defer os.Remove(copied)
	switch err := os.Link(copied, to); { // unlike Rename it never replaces anything
	case errors.Is(err, fs.ErrExist):
		return err
	case err != nil: // a file system without links
		return moveInto(copied, to)
	}
	return SyncFolder(filepath.Dir(to))
}

// WithCopy calls f with a copy of the database at path, as it is at one moment, and removes
// the copy afterwards. It also removes the copy of an earlier process that was killed, so only
// one call for a database may run at a time.
func WithCopy(ctx context.Context, path string, f func(copied *os.File) error) error {
	to := path + ".copy"
	if err := removeUnfinished(to); err != nil {
		return err
	}
	copied, err := copyNextTo(ctx, path, to)
	if err != nil {
		return err
	}
	defer os.Remove(copied)
	file, err := os.Open(copied)
	if err != nil {
		return err
	}
	defer file.Close()
	return f(file)
}

// replaceBackup is Backup for a name that an earlier backup may have.
func replaceBackup(ctx context.Context, path, to string) error {
	copied, err := copyNextTo(ctx, path, to)
	if err != nil {
		return err
	}
	return moveInto(copied, to)
}

// removeUnfinished removes what backups to a name left in its folder when their process
// was killed. No such backup may be running.
func removeUnfinished(to string) error {
	files, err := os.ReadDir(filepath.Dir(to))
	for _, f := range files {
		rest, ok := strings.CutPrefix(f.Name(), filepath.Base(to)+".")
		if ok && strings.Contains(rest, ".partial") { // SQLite adds -journal to the name
			err = errors.Join(err, os.Remove(filepath.Join(filepath.Dir(to), f.Name())))
		}
	}
	return err
}

// moveInto gives a file its final name, in the same folder.
func moveInto(file, to string) error {
	if err := os.Rename(file, to); err != nil {
		os.Remove(file)
		return err
	}
	return SyncFolder(filepath.Dir(to))
}

// copyNextTo copies a database into a file with a temporary name in the folder of
// another file, syncs it and checks it.
func copyNextTo(ctx context.Context, path, other string) (copied string, err error) {
	db, err := OpenToRead(ctx, path)
	if err != nil {
		return "", err
	}
	defer db.Close()
	f, err := os.CreateTemp(filepath.Dir(other), filepath.Base(other)+".*.partial") // mode 0600
	if err != nil {
		return "", Diagnose(other, err)
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			os.Remove(f.Name())
		}
	}()
	// Unlike a copy of pages, this is not in WAL mode: one file that is complete, and
	// can be opened where nothing can be written.
	if _, err := db.ExecContext(ctx, "VACUUM INTO ?", f.Name()); err != nil {
		if e, ok := errors.AsType[*sqlite.Error](err); ok && e.Code()&0xff == sqliteFull {
			path = other // the copy is what fills the disk
		}
		return "", fmt.Errorf("copy %s: %w", path, Diagnose(path, err))
	}
	if err := f.Sync(); err != nil {
		return "", err
	}
	return f.Name(), checkCopy(ctx, f.Name(), path)
}

func checkCopy(ctx context.Context, copied, path string) error {
	db, err := sql.Open("sqlite", dsn(copied, readerPragmas)+"&immutable=1")
	if err != nil {
		return err
	}
	defer db.Close()
	return checkIntegrity(ctx, db, path)
}

// OpenToRead opens a presence database, which others may have open, to read it. It
// reads through SQLite alone: opening and closing the file itself would release the
// locks of a service in this process. The error is [fs.ErrNotExist] if there is no
// file, or it is empty.
func OpenToRead(ctx context.Context, path string) (*sql.DB, error) {
	if err := checkPath(path); err != nil {
		return nil, err
	}
	file, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("there is no database: %w", err)
	}
	if err := checkRegular(path, file); err != nil {
		return nil, err
	}
	if file.Size() == 0 { // Open was interrupted
		return nil, fmt.Errorf("there is no database: %s is empty: %w", path, fs.ErrNotExist)
	}
	db, err := sql.Open("sqlite", dsn(path, []string{"busy_timeout(5000)"})+"&mode=ro")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	var id int
	if err := db.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id); err != nil {
		db.Close()
		return nil, fmt.Errorf("read %s: %w", path, Diagnose(path, err))
	}
	if id != ApplicationID {
		db.Close()
		return nil, fmt.Errorf("%s is not a presence database: it belongs to another program", path)
	}
	return db, nil
}

// SyncFolder makes the names of the files in a folder durable. On Windows, which has
// no way to do it, it does nothing.
func SyncFolder(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
