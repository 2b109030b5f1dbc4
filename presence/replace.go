package presence

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// Restore puts a backup in the place of the database at path, and returns the
// name under which what was there before is kept, beside it; "" if there was
// nothing. A client with a cursor from after the backup is told everything
// when it comes back, and misses nothing.
//
// The backup is checked before anything else is done, as by [Check]. One of an
// older release is good: the next [Open] brings it to the schema of this one.
// Restore fails while a service has the database open. When it is cut short, by
// kill -9 too, what is at path is the database as it was, or the backup.
func Restore(ctx context.Context, path, from string) (kept string, err error) {
	if _, err := Check(ctx, from); err != nil {
		return "", fmt.Errorf("the backup can't be used: %w", err)
	}
	if path, err = touch(path); err != nil {
		return "", err
	}
	lock, err := lockFile(path)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	copied, err := copyBeside(ctx, from, path)
	if err != nil {
		return "", err
	}
	if kept, err = setAside(ctx, path); err != nil {
		os.Remove(copied)
		return "", err
	}
	return kept, moveInto(copied, path)
}

// lockFile takes the lock that whoever opens a database holds.
func lockFile(path string) (*flock.Flock, error) {
	lock := flock.New(path + "-lock")
	got, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock the database: %w", diagnosed(path, err))
	}
	if !got {
		return nil, fmt.Errorf("%s is in use by another process", path)
	}
	return lock, nil
}

// logs are the suffixes of the files in which SQLite keeps what isn't in the
// database yet. Beside another database they would be taken for its own.
var logs = []string{"-wal", "-journal"}

// setAside gives the database a second name, and leaves none of its logs under
// the first.
func setAside(ctx context.Context, path string) (kept string, err error) {
	file, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if file.Size() > 0 {
		kept = path + ".before-restore-" + time.Now().UTC().Format("20060102T150405.000Z")
		if err := keep(ctx, path, kept); err != nil {
			return "", fmt.Errorf("what was there before can't be kept: %w", err)
		}
	}
	for _, suffix := range append(logs, "-shm") {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return kept, syncFolder(filepath.Dir(path))
}

// keep makes the second name. A database without its log is neither the old one
// nor the new: so the log goes into it first, and only that of one too broken
// for it is kept apart.
func keep(ctx context.Context, path, kept string) error {
	whole, err := emptyLogs(ctx, path)
	if err == nil && !whole {
		err = keepLogs(path, kept)
	}
	if err != nil {
		return err
	}
	return os.Link(path, kept)
}

// emptyLogs has SQLite bring what the logs hold into the database, and reports
// whether it can.
func emptyLogs(ctx context.Context, path string) (whole bool, err error) {
	if checkOurs(path) != nil {
		return false, nil
	}
	db, err := sql.Open("sqlite", dsn(path, []string{"busy_timeout(5000)", "synchronous(FULL)"}))
	if err != nil {
		return false, err
	}
	defer db.Close()
	if _, err := schemaOf(ctx, db); err != nil { // reading is what applies a -journal
		return false, ctx.Err()
	}
	var busy, pages, moved int
	if err := db.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &pages, &moved); err != nil {
		return false, ctx.Err()
	}
	if busy != 0 {
		return false, fmt.Errorf("another program has %s open", path)
	}
	return true, nil
}

func keepLogs(path, kept string) error {
	for _, suffix := range logs {
		if err := os.Rename(path+suffix, kept+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
