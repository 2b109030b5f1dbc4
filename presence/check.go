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
	if err := addEmptyTables(ctx, db, steps); err != nil {
		return c, err
	}
	return c, errors.Join(checkConditions(ctx, db, path, false), checkAllTexts(ctx, db, path))
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
	want, err := objectsOf(ctx, steps)
	if err != nil {
		return err
	}
	got, err := objects(ctx, db)
	if err != nil {
		return err
	}
	return compareObjects(path, got, want)
}

// objectsOf returns the objects of a new database with that schema.
func objectsOf(ctx context.Context, steps []string) (map[string]string, error) {
	fresh, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return nil, err
	}
	defer fresh.Close()
	fresh.SetMaxOpenConns(1) // each connection has a memory of its own
	for _, step := range steps {
		if _, err := fresh.ExecContext(ctx, step); err != nil {
			return nil, err
		}
	}
	return objects(ctx, fresh)
}

// addEmptyTables gives the connection to a database of an older schema the tables
// that later ones have added. They are temporary: the database stays as it is.
func addEmptyTables(ctx context.Context, db *sql.DB, steps []string) error {
	want, err := objectsOf(ctx, steps)
	if err != nil {
		return err
	}
	got, err := objects(ctx, db)
	if err != nil {
		return err
	}
	for name, text := range want {
		if _, there := got[name]; there || !strings.HasPrefix(name, "table ") {
			continue
		}
		if _, err := db.ExecContext(ctx, strings.Replace(text, "CREATE TABLE", "CREATE TEMP TABLE", 1)); err != nil {
			return err
		}
	}
	return nil
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
