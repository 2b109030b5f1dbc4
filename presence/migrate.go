package presence

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
)

// Migrations are only ever added: file N takes a database from schema N-1 to
// N. A file that has been released never changes.
//
//go:embed migrations/*.sql
var migrationFiles embed.FS

func migrations() ([]string, error) {
	entries, err := fs.ReadDir(migrationFiles, "migrations")
	if err != nil {
		return nil, err
	}
	var all []string
	for _, e := range entries {
		text, err := migrationFiles.ReadFile("migrations/" + e.Name())
		if err != nil {
			return nil, err
		}
		all = append(all, string(text))
	}
	return all, nil
}

// migrate brings the database to the newest schema, whose number SQLite keeps
// as user_version. Each step and its number are committed together.
func migrate(ctx context.Context, conn *sql.Conn, path string) error {
	steps, err := migrations()
	if err != nil {
		return err
	}
	for {
		var version int
		if err := conn.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
			return fmt.Errorf("open %s: %w", path, err)
		}
		switch {
		case version == len(steps):
			return nil
		case version > len(steps):
			return fmt.Errorf("%s has schema %d, of a newer release: this one knows schemas up to %d", path, version, len(steps))
		}
		if err := migrateOne(ctx, conn, version+1, steps[version]); err != nil {
			return fmt.Errorf("bring %s to schema %d: %w", path, version+1, err)
		}
	}
}

func migrateOne(ctx context.Context, conn *sql.Conn, version int, step string) error {
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, step); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", version)); err != nil {
		return err
	}
	return tx.Commit()
}
