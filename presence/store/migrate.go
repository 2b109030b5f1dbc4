package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
)

// Schema is the migrations of a database, in order: the text at index N takes it
// from schema N to N+1. They are only ever added; one that has been released never
// changes. From the second on, each names the release that it first comes with, so
// that older releases can say which one is needed:
//
//	DROP VIEW IF EXISTS needs;
//	CREATE VIEW needs AS SELECT '0.2.0' AS release;
type Schema []string

// ReadSchema reads the files migrations/*.sql, in order of their names.
func ReadSchema(files fs.FS) (Schema, error) {
	names, err := fs.Glob(files, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	var all Schema
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		all = append(all, string(text))
	}
	return all, nil
}

// numberOf returns the number of the schema of the database at path, which SQLite
// stores as user_version. Zero means that the database is empty.
func numberOf(ctx context.Context, db Queryer, path string) (number int, err error) {
	objects := 0
	err = db.QueryRowContext(ctx, "SELECT user_version, (SELECT count(*) FROM sqlite_schema) FROM pragma_user_version").Scan(&number, &objects)
	switch {
	case err != nil:
		return 0, fmt.Errorf("read %s: %w", path, Diagnose(path, err))
	case number < 0, number == 0 && objects > 0:
		return 0, fmt.Errorf("%s has tables of schema %d, which there isn't: restore a backup", path, number)
	}
	return number, nil
}

// migrate brings the database to the newest schema, or leaves it as it is. A
// database that holds something is backed up first.
func (d *DB) migrate(ctx context.Context, schema Schema) error {
	number, err := numberOf(ctx, d.writer, d.path)
	switch {
	case err != nil:
		return err
	case number > len(schema):
		return tooNew(ctx, d.writer, d.path, number, len(schema))
	case number == len(schema):
		return nil
	}
	if number > 0 {
		kept := fmt.Sprintf("%s.before-schema-%d", d.path, len(schema))
		if err := errors.Join(removeUnfinished(kept), replaceBackup(ctx, d.path, kept)); err != nil {
			return fmt.Errorf("%s stays at schema %d, because it can't be backed up: %w", d.path, number, err)
		}
		d.log.Info("database backed up before its schema changes", "file", kept, "schema", number)
	}
	if err := migrateFrom(ctx, d.writer, schema, number); err != nil {
		return fmt.Errorf("%s stays at schema %d, because it can't be brought to %d: %w", d.path, number, len(schema), Diagnose(d.path, err))
	}
	if number > 0 {
		d.log.Info("database brought to a new schema", "schema", len(schema))
	}
	return nil
}

// migrateFrom commits all migrations after a schema together: cut short between
// two of them, it would leave a database that the release before can't use.
func migrateFrom(ctx context.Context, conn *sql.Conn, schema Schema, number int) error {
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for _, step := range schema[number:] {
		if _, err := tx.ExecContext(ctx, step); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", len(schema))); err != nil {
		return err
	}
	return tx.Commit()
}

// tooNew returns the error for a database of a newer release, with the name of the
// release if it is known.
func tooNew(ctx context.Context, db Queryer, path string, number, known int) error {
	needed := "a newer release"
	var release string
	if db.QueryRowContext(ctx, "SELECT release FROM needs").Scan(&release) == nil {
		needed = "presence " + release + " or newer"
	}
	return fmt.Errorf("%s has schema %d, which needs %s: this one knows schemas up to %d", path, number, needed, known)
}
