package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Check reads all of a database, and returns the number of its schema, and an
// error unless it is whole and has exactly this schema or an earlier one. The
// error joins all problems, each with what to do about it. Zero and no error mean that
// the database has no schema yet: its first start was interrupted, and the next start
// creates the schema.
func (s Schema) Check(ctx context.Context, db *sql.DB, path string) (number int, err error) {
	number, err = numberOf(ctx, db, path)
	if err != nil {
		return number, err
	}
	if number > len(s) {
		return number, tooNew(ctx, db, path, number, len(s))
	}
	if err := checkIntegrity(ctx, db, path); err != nil {
		return number, err // whatever else is wrong follows from this
	}
	if number == 0 {
		return 0, nil
	}
	want, err := s[:number].objects(ctx)
	if err != nil {
		return number, err
	}
	got, err := objectsOf(ctx, db)
	if err != nil {
		return number, err
	}
	return number, compareObjects(path, got, want)
}

// problemsShown bounds how much of a broken file is described.
const problemsShown = 5

func checkIntegrity(ctx context.Context, db *sql.DB, path string) error {
	rows, err := db.QueryContext(ctx, fmt.Sprintf("PRAGMA integrity_check(%d)", problemsShown))
	found, err := Collect(rows, err, func(rows *sql.Rows) (problem string, err error) {
		err = rows.Scan(&problem)
		return problem, err
	})
	if err == nil && slices.Equal(found, []string{"ok"}) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", path, Diagnose(path, err))
	}
	return fmt.Errorf("%s is damaged: restore a backup: %s", path, strings.Join(found, "; "))
}

// AddMissingTables gives a connection to a database of an earlier schema the
// tables that later migrations have added, empty. They are temporary: the
// database stays as it is.
func (s Schema) AddMissingTables(ctx context.Context, db *sql.DB) error {
	want, err := s.objects(ctx)
	if err != nil {
		return err
	}
	got, err := objectsOf(ctx, db)
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
	var problems []error
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if _, there := got[name]; !there {
			problems = append(problems, fmt.Errorf("%s has no %s: restore a backup", path, name))
		} else if got[name] != want[name] {
			problems = append(problems, fmt.Errorf("%s has a changed %s: restore a backup", path, name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, known := want[name]; !known {
			problems = append(problems, fmt.Errorf("%s has a foreign %s: drop it", path, name))
		}
	}
	return errors.Join(problems...)
}

// objects returns the objects of a new database with that schema.
func (s Schema) objects(ctx context.Context) (map[string]string, error) {
	fresh, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return nil, err
	}
	defer fresh.Close()
	fresh.SetMaxOpenConns(1) // each connection has a memory of its own
	for _, step := range s {
		if _, err := fresh.ExecContext(ctx, step); err != nil {
			return nil, err
		}
	}
	return objectsOf(ctx, fresh)
}

// objectsOf returns the text of each table, index, view and trigger, by kind and
// name.
func objectsOf(ctx context.Context, db *sql.DB) (map[string]string, error) {
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
