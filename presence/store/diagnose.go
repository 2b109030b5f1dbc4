package store

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"modernc.org/sqlite" // the driver "sqlite"
)

// Results of SQLite; lib/ of the driver has them for each system apart.
const (
	sqliteBusy     = 5
	sqliteReadOnly = 8
	sqliteIOError  = 10
	sqliteCorrupt  = 11
	sqliteFull     = 13
	sqliteCantOpen = 14
	sqliteNotADB   = 26
)

// Diagnose adds to an error of SQLite why the database at path can't be used, and what
// to do about it, if the error shows that. It returns other errors, and nil, unchanged.
func Diagnose(path string, err error) error {
	folder := filepath.Dir(path)
	e, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		if errors.Is(err, fs.ErrPermission) {
			return notWritable(path, folder, err)
		}
		return err
	}
	switch e.Code() & 0xff {
	case sqliteReadOnly, sqliteCantOpen:
		return notWritable(path, folder, err)
	case sqliteFull:
		return fmt.Errorf("the disk of %s is full: %w", folder, err)
	case sqliteIOError:
		return fmt.Errorf("the disk of %s reports an error: %w", folder, err)
	case sqliteBusy:
		return fmt.Errorf("another program has %s open: %w", path, err)
	case sqliteCorrupt:
		return fmt.Errorf("%s is damaged: restore a backup: %w", path, err)
	case sqliteNotADB:
		return fmt.Errorf("%s is not a presence database: not an SQLite file", path)
	}
	return err
}

func notWritable(path, folder string, err error) error {
	return fmt.Errorf("this user must be able to write %s, and its folder %s too, because SQLite keeps files next to it: %w", path, folder, err)
}
