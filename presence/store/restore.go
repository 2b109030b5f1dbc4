package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Restore puts a backup, which it prepares by running a statement if that isn't empty, in
// the place of the database at path. The database that was there is kept next to it under
// another name, which Restore returns; "" if there was none.
//
// It fails while a service has the database open. The caller must have checked the
// backup. If Restore is interrupted, even by kill -9, the file at path is either the
// database as it was or the backup.
func Restore(ctx context.Context, path, from, statement string) (kept string, err error) {
	if path, err = touch(path); err != nil {
		return "", err
	}
	lock, err := lockFile(path)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	copied, err := copyNextTo(ctx, from, path)
	if err != nil {
		return "", err
	}
	if statement != "" {
		err = change(ctx, copied, "DELETE", statement)
	}
	if err == nil {
		kept, err = setAside(ctx, path)
	}
	if err != nil {
		os.Remove(copied)
		return "", err
	}
	return kept, moveInto(copied, path)
}

// logs are the suffixes of the files in which SQLite keeps what isn't in the
// database yet. Next to another database they would be taken for its own.
var logs = []string{"-wal", "-journal"}

// setAside gives the database a second name, and leaves none of its logs under the
// first one.
func setAside(ctx context.Context, path string) (kept string, err error) {
	file, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if file.Size() > 0 {
		kept = path + ".before-restore-" + time.Now().UTC().Format("20060102T150405.000Z")
		if err := keep(ctx, path, kept); err != nil {
			return "", fmt.Errorf("the database that was there can't be kept: %w", err)
		}
	}
	for _, suffix := range append(logs, "-shm") {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return kept, SyncFolder(filepath.Dir(path))
}

// keep creates the second name. A database without its log is neither the old one
// nor the new one, so the log is moved into the database first. Only the log of a
// database that is too broken for this is kept as a file.
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

// emptyLogs makes SQLite move what the logs hold into the database, and reports
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
	var number int
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&number); err != nil { // reading is what applies a -journal
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

// Replace puts another database in the place of the one at path, which is not kept. write
// writes the other one to a file, and returns a statement that prepares it. Replace fails
// while a service has the database at path open. If it is interrupted, even by kill -9, the
// file at path is either the one or the other, or empty if there was none.
func Replace(ctx context.Context, path string, write func(*os.File) (prepare string, err error)) error {
	path, err := touch(path)
	if err != nil {
		return err
	}
	lock, err := lockFile(path)
	if err != nil {
		return err
	}
	defer lock.Close()
	joining := path + ".joining"
	defer os.Remove(joining)
	if err := writeDatabase(ctx, joining, write); err != nil {
		if sizeOf(path) == 0 { // touch has created it
			os.Remove(path)
		}
		return err
	}
	for _, suffix := range append(logs, "-shm") {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return moveInto(joining, path)
}

// writeDatabase writes a database to a file, prepares it and syncs it.
func writeDatabase(ctx context.Context, path string, write func(*os.File) (prepare string, err error)) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	prepare, err := write(file)
	if err == nil {
		err = file.Sync()
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	return change(ctx, path, "DELETE", prepare)
}

// Change runs a statement on the database at path, which must exist. It fails while a
// service has it open.
func Change(ctx context.Context, path, statement string) error {
	path, err := touch(path)
	if err != nil {
		return err
	}
	lock, err := lockFile(path)
	if err != nil {
		return err
	}
	defer lock.Close()
	return change(ctx, path, "WAL", statement)
}

func change(ctx context.Context, path, journal, statement string) error {
	db, err := sql.Open("sqlite", dsn(path, []string{"journal_mode(" + journal + ")", "synchronous(FULL)"}))
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, statement)
	return errors.Join(err, db.Close())
}
