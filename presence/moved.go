package presence

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// opened is a file of the database that is open, under the name at which the
// next start will look for it.
type opened struct {
	name string
	file fs.FileInfo
}

// openAll opens all connections of a pool. One that is opened later would find
// what then has the file's name.
func openAll(ctx context.Context, db *sql.DB, n int) error {
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	for range n {
		conn, err := db.Conn(ctx)
		if err != nil {
			return err
		}
		defer conn.Close() // together, so that each is another one
	}
	return nil
}

// remember notes which files are open. The log is made with the first write.
func (st *store) remember() error {
	for _, name := range []string{st.path, st.path + "-wal"} {
		file, err := os.Stat(name)
		if err != nil {
			return err
		}
		st.files = append(st.files, opened{name, file})
	}
	return nil
}

// moved returns an error when a file of the database was removed, moved or
// replaced while it is open: SQLite goes on writing to it, and doesn't notice
// that nobody will find what it has written.
func (st *store) moved() error {
	for _, f := range st.files {
		if now, err := os.Stat(f.name); err != nil || !os.SameFile(now, f.file) {
			return fmt.Errorf("%s is no longer the file that is open: put it back, or restart", filepath.Base(f.name))
		}
	}
	return nil
}
