package presence

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"log/slog"
)

// Migrations are only ever added: file N takes a database from schema N-1 to
// N. A file that has been released never changes.
//
// From 0002 on, each tells the release that it first comes with, so that older
// ones can say what is needed instead of them:
//
//	DROP VIEW IF EXISTS needs;
//	CREATE VIEW needs AS SELECT '0.2.0' AS release;
//
//go:embed migrations/*.sql
var migrationFiles embed.FS

// migrations returns the text of each, in order.
func migrations(files fs.FS) ([]string, error) {
	names, err := fs.Glob(files, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	var all []string
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		all = append(all, string(text))
	}
	return all, nil
}

// querier is a connection, or a pool of them.
type querier interface {
	QueryRowContext(context.Context, string, ...any) *sql.Row
}

// schemaOf returns the number of a database's schema, which SQLite keeps as
// user_version. 0: it has none yet.
func schemaOf(ctx context.Context, db querier) (number int, err error) {
	err = db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&number)
	return number, err
}

// migrate brings the database to the newest schema, or leaves it as it is. One
// that holds something is backed up before.
func (st *store) migrate(ctx context.Context, files fs.FS, log *slog.Logger) error {
	steps, err := migrations(files)
	if err != nil {
		return err
	}
	number, err := schemaOf(ctx, st.conn)
	switch {
	case err != nil:
		return fmt.Errorf("open %s: %w", st.path, diagnosed(st.path, err))
	case number > len(steps):
		return tooNew(ctx, st.conn, st.path, number, len(steps))
	case number == len(steps):
		return nil
	}
	if number > 0 {
		kept := fmt.Sprintf("%s.before-schema-%d", st.path, len(steps))
		if err := replaceBackup(ctx, st.path, kept); err != nil {
			return fmt.Errorf("%s stays at schema %d, because it can't be backed up: %w", st.path, number, err)
		}
		log.Info("database backed up before its schema changes", "file", kept, "schema", number)
	}
	if err := migrateFrom(ctx, st.conn, steps, number); err != nil {
		return fmt.Errorf("%s stays at schema %d, because it can't be brought to %d: %w", st.path, number, len(steps), diagnosed(st.path, err))
	}
	if number > 0 {
		log.Info("database brought to a new schema", "schema", len(steps))
	}
	return nil
}

// migrateFrom commits all steps behind a schema together: cut short between two
// of them it would leave a database that the release before can't use.
func migrateFrom(ctx context.Context, conn *sql.Conn, steps []string, number int) error {
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for _, step := range steps[number:] {
		if _, err := tx.ExecContext(ctx, step); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", len(steps))); err != nil {
		return err
	}
	return tx.Commit()
}

// tooNew refuses a database of a newer release, and names that if it can.
func tooNew(ctx context.Context, db querier, path string, number, known int) error {
	needed := "a newer release"
	var release string
	if db.QueryRowContext(ctx, "SELECT release FROM needs").Scan(&release) == nil {
		needed = "presence " + release + " or newer"
	}
	return fmt.Errorf("%s has schema %d, which needs %s: this one knows schemas up to %d", path, number, needed, known)
}
