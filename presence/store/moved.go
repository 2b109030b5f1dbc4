package store

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// openFile is a file of the database that is open, with the name under which the
// next start will look for it.
type openFile struct {
	name string
	file fs.FileInfo
}

// openAll opens all connections of a pool. A connection that is opened later would
// open the file that has the name then.
func openAll(ctx context.Context, db *sql.DB, n int) error {
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	for range n {
		conn, err := db.Conn(ctx)
		if err != nil {
			return err
		}
		defer conn.Close() // all at the end, so that each is another connection
	}
	return nil
}

// rememberFiles stores which files are open. SQLite creates the log with the first
// write.
func (d *DB) rememberFiles() error {
	for _, name := range []string{d.path, d.path + "-wal"} {
		file, err := os.Stat(name)
		if err != nil {
			return err
		}
		d.files = append(d.files, openFile{name, file})
	}
	return nil
}

// Moved returns an error when a file of the database was removed, moved or replaced
// while it is open: SQLite continues to write to it, and doesn't notice that the next
// start won't find what it has written. Before Start it returns nil.
func (d *DB) Moved() error {
	for _, f := range d.files {
		if now, err := os.Stat(f.name); err != nil || !os.SameFile(now, f.file) {
			return fmt.Errorf("%s is no longer the file that is open: put it back, or restart", filepath.Base(f.name))
		}
	}
	return nil
}
