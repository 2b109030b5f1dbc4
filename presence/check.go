package presence

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Condition is what [Check] has found in a database.
type Condition struct {
	Schema int // its number; below Newest, the next [Open] brings it there
	Newest int // the one of this release
	Users  int
}

// Check looks whether the database at path is whole, and is what this release
// works with: it reads all of it. It changes nothing, and may be called at any
// time, also while a service has the database open.
//
// The error is every fault joined, each with what to do about it; it is
// [fs.ErrNotExist] when there is no database, which the next [Open] would make.
// The condition holds what could be read nevertheless.
func Check(ctx context.Context, path string) (Condition, error) {
	db, err := openToRead(ctx, path)
	if err != nil {
		return Condition{}, err
	}
	defer db.Close()
	steps, err := migrations(migrationFiles)
	if err != nil {
		return Condition{}, err
	}
	return check(ctx, db, path, steps)
}

func check(ctx context.Context, db *sql.DB, path string, steps []string) (c Condition, err error) {
	c.Newest = len(steps)
	if c.Schema, err = schemaOf(ctx, db); err != nil {
		return c, err
	}
	if c.Schema > len(steps) {
		return c, tooNew(ctx, db, path, c.Schema, len(steps))
	}
	if err := checkIntegrity(ctx, db, path); err != nil {
		return c, err // whatever else is wrong comes of this
	}
	if c.Schema == 0 {
		return c, nil // a first start was cut short, and the next one goes on
	}
	if err := checkSchema(ctx, db, path, steps[:c.Schema]); err != nil {
		return c, err
	}
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM users").Scan(&c.Users); err != nil {
		return c, err
	}
	return c, checkCounters(ctx, db, path)
}

// faultsTold bounds how much of a broken file is described.
const faultsTold = 5

func checkIntegrity(ctx context.Context, db *sql.DB, path string) error {
	rows, err := db.QueryContext(ctx, fmt.Sprintf("PRAGMA integrity_check(%d)", faultsTold))
	found, err := collect(rows, err, func(rows *sql.Rows) (fault string, err error) {
		err = rows.Scan(&fault)
		return fault, err
	})
	if err == nil && slices.Equal(found, []string{"ok"}) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", path, diagnosed(path, err))
	}
	return fmt.Errorf("%s is damaged: restore a backup: %s", path, strings.Join(found, "; "))
}

// checkSchema compares the schema with the one that the steps make.
func checkSchema(ctx context.Context, db *sql.DB, path string, steps []string) error {
	fresh, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return err
	}
	defer fresh.Close()
	fresh.SetMaxOpenConns(1) // each connection has a memory of its own
	for _, step := range steps {
		if _, err := fresh.ExecContext(ctx, step); err != nil {
			return err
		}
	}
	want, err := objects(ctx, fresh)
	if err != nil {
		return err
	}
	got, err := objects(ctx, db)
	if err != nil {
		return err
	}
	return compareObjects(path, got, want)
}

func compareObjects(path string, got, want map[string]string) error {
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if _, there := got[name]; !there {
			faults = append(faults, fmt.Errorf("%s has no %s: restore a backup", path, name))
		} else if got[name] != want[name] {
			faults = append(faults, fmt.Errorf("%s has a changed %s: restore a backup", path, name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, known := want[name]; !known {
			faults = append(faults, fmt.Errorf("%s has a foreign %s: drop it", path, name))
		}
	}
	return errors.Join(faults...)
}

// objects returns the text of each table, index, view and trigger, by kind and
// name.
func objects(ctx context.Context, db *sql.DB) (map[string]string, error) {
	rows, err := db.QueryContext(ctx, "SELECT type || ' ' || name, sql FROM sqlite_schema WHERE substr(name, 1, 7) <> 'sqlite_'")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := make(map[string]string)
	for rows.Next() {
		var name, text string
		if err := rows.Scan(&name, &text); err != nil {
			return nil, err
		}
		all[name] = text
	}
	return all, rows.Err()
}

// checkCounters looks whether the row that counts is there and ahead of what
// was counted: else versions or IDs would be given out twice.
func checkCounters(ctx context.Context, db *sql.DB, path string) error {
	var good bool
	err := db.QueryRowContext(ctx, `SELECT version >= (SELECT coalesce(max(version), 0) FROM users)
		AND next_user > (SELECT coalesce(max(id), 0) FROM users) FROM service`).Scan(&good)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if !good {
		return fmt.Errorf("%s has lost count of its versions or users: restore a backup", path)
	}
	return nil
}
