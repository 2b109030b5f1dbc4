package presence

import (
	"context"
	"embed"
	"errors"
	"fmt"

	"github.com/presence-server/presence/presence/store"
)

// The migrations are the source of the schema; schema.sql is their tested sum. See
// [store.Schema].
//
//go:embed migrations/*.sql
var migrations embed.FS

// Backup copies the database at path, as it is at one moment, into a new file that
// only its owner may read. It may be called at any time: a service that has the
// database open, in this process or another, continues.
//
// The new file appears under its name only once it is complete, on the disk, and
// checked by reading all of it. Its folder must exist. An existing file is never
// replaced; the error is then [fs.ErrExist]. The secret that tokens are signed with
// is not in the database.
func Backup(ctx context.Context, path, to string) error { return store.Backup(ctx, path, to) }

// Restore puts a backup in the place of the database at path. The database that was
// there is kept next to it under another name, which Restore returns; "" if there was
// none. A client with a cursor from after the backup receives a snapshot when it comes
// back, and misses nothing.
//
// Restore first checks the backup, as [Check] does. A backup of an earlier release is
// accepted; the next [Open] upgrades it. The restored database belongs to no log, also if the
// backup is that of a node; see [LeaveLog]. Restore fails while a service has the
// database open. If it is interrupted, even by kill -9, the file at path is either
// the database as it was or the backup.
func Restore(ctx context.Context, path, from string) (kept string, err error) {
	c, err := Check(ctx, from)
	if err != nil {
		return "", fmt.Errorf("the backup can't be used: %w", err)
	}
	statement := leaveLog
	if c.Schema < 5 {
		statement = "" // an earlier schema has no log
	}
	return store.Restore(ctx, path, from, statement)
}

// LeaveLog makes the database at path belong to no log any more; see Config.Log. The next
// Open without a log continues with all users. LeaveLog fails while a service has the
// database open, and returns [fs.ErrNotExist] if there is none.
func LeaveLog(ctx context.Context, path string) error {
	c, err := Check(ctx, path)
	if err != nil || c.Schema < 5 {
		return err // an earlier schema has no log
	}
	return store.Change(ctx, path, leaveLog)
}

const leaveLog = "UPDATE node SET log = '', place = 0, at = 0, entry = x'', digest = x'', nonce = 0, proposed = x''"

// CheckResult is what [Check] has found in a database.
type CheckResult struct {
	Schema int // the number of the database's schema; if it is below Newest, the next [Open] upgrades the database
	Newest int // the number of this release's schema
	Users  int // the number of registered users

	log   string // the ID of the log that it belongs to; empty if it belongs to none
	place int64  // the entry of that log which it has applied last
}

// Check reads all of the database at path, and verifies that it is whole and that
// this release can use it. It changes nothing, and may be called at any time, even
// while a service has the database open.
//
// The error joins all problems, each with what to do about it. It is
// [fs.ErrNotExist] if there is no database; the next [Open] would then create one. The
// result contains what could be read, even if there is an error.
func Check(ctx context.Context, path string) (CheckResult, error) {
	schema, err := store.ReadSchema(migrations)
	if err != nil {
		return CheckResult{}, err
	}
	return checkAgainst(ctx, path, schema)
}

func checkAgainst(ctx context.Context, path string, schema store.Schema) (c CheckResult, err error) {
	db, err := store.OpenToRead(ctx, path)
	if err != nil {
		return c, err
	}
	defer db.Close()
	c.Newest = len(schema)
	if c.Schema, err = schema.Check(ctx, db, path); err != nil || c.Schema == 0 {
		return c, err
	}
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM users").Scan(&c.Users); err != nil {
		return c, err
	}
	if c.Schema >= 6 { // a database of an earlier schema can't go on with its log, so it counts as one without
		if err := db.QueryRowContext(ctx, "SELECT ifnull(max(log), ''), ifnull(max(place), 0) FROM node").Scan(&c.log, &c.place); err != nil {
			return c, err
		}
	}
	if err := schema.AddMissingTables(ctx, db); err != nil {
		return c, err
	}
	return c, errors.Join(checkConditions(ctx, db, path, c.Schema, false), checkAllTexts(ctx, db, path))
}
