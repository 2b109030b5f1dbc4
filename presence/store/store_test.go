package store

import (
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
)

var schema = Schema{"CREATE TABLE words (word TEXT) STRICT"}

// open opens a new database that holds one word.
func open(t *testing.T, word string) *DB {
	t.Helper()
	d, err := Open(t.Context(), filepath.Join(t.TempDir(), "words.db"), schema, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	if _, err := d.Exec("INSERT INTO words VALUES (?)", word); err != nil {
		t.Fatal(err)
	}
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestPragmasAreInForce checks every connection, because a pragma that is executed once
// applies to one connection only.
func TestPragmasAreInForce(t *testing.T) {
	d := open(t, "hello")
	always := map[string]string{
		"journal_mode": "wal", "busy_timeout": "5000", "page_size": "1024", "application_id": fmt.Sprint(ApplicationID),
	}
	writing := map[string]string{"synchronous": "2", "wal_autocheckpoint": "0", "query_only": "0"}
	checkPragmas(t, "writer", d.writer, always, writing)
	checkPragmas(t, "checkpointer", connOf(t, d.checkpointer.db), always, writing)
	for range readers {
		checkPragmas(t, "reader", connOf(t, d.reader), always, map[string]string{"query_only": "1"})
	}
}

// connOf returns a connection of a pool, which no other call then gets.
func connOf(t *testing.T, pool *sql.DB) *sql.Conn {
	t.Helper()
	conn, err := pool.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func checkPragmas(t *testing.T, name string, conn *sql.Conn, wanted ...map[string]string) {
	t.Helper()
	for _, pragmas := range wanted {
		for pragma, want := range pragmas {
			var got string
			err := conn.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got)
			if err != nil || got != want {
				t.Errorf("%s: %s is %q, want %q (%v)", name, pragma, got, want, err)
			}
		}
	}
}

// TestNoConnectionIsOpenedLater checks this because a later connection would open, or
// create, the file that has the name then.
func TestNoConnectionIsOpenedLater(t *testing.T) {
	d := open(t, "hello")
	if n := d.reader.Stats().OpenConnections; n != readers {
		t.Errorf("%d connections that read are open, want all %d", n, readers)
	}
	if n := d.checkpointer.db.Stats().OpenConnections; n != 1 {
		t.Errorf("the checkpointer has %d connections, want one", n)
	}
}

// TestRestoreCutShort checks the worst moment, right before the backup gets its final
// name: under both names is the database as it was, with what was in its log.
func TestRestoreCutShort(t *testing.T) {
	d := open(t, "hello")
	crashed := filepath.Join(t.TempDir(), "words.db")
	for _, suffix := range []string{"", "-wal"} {
		copyFile(t, d.path+suffix, crashed+suffix)
	}
	kept, err := setAside(t.Context(), crashed)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{crashed, kept} {
		db, err := OpenToRead(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		var word string
		if err := db.QueryRow("SELECT word FROM words").Scan(&word); err != nil || word != "hello" {
			t.Errorf("%s holds %q (%v), want the word that was written", path, word, err)
		}
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	source, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	target, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	if _, err := io.Copy(target, source); err != nil {
		t.Fatal(err)
	}
}

// TestWithCopyLeavesNothing checks that the copy is gone afterwards, and also that of a process
// that was killed, but no file with another name.
func TestWithCopyLeavesNothing(t *testing.T) {
	d := open(t, "hello")
	for _, name := range []string{d.Path() + ".copy.1.partial", d.Path() + ".backup.1.partial"} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	failed := errors.New("failed")
	for _, want := range []error{nil, failed} {
		err := WithCopy(t.Context(), d.Path(), func(copied *os.File) error {
			db, err := OpenToRead(t.Context(), copied.Name())
			if err != nil {
				return err
			}
			defer db.Close()
			var word string
			if err := db.QueryRowContext(t.Context(), "SELECT word FROM words").Scan(&word); err != nil || word != "hello" {
				t.Errorf("the copy has %q, and the error is %v", word, err)
			}
			return want
		})
		if err != want {
			t.Errorf("WithCopy returns %v, want %v", err, want)
		}
	}
	if left, _ := filepath.Glob(d.Path() + ".*"); len(left) != 1 { // the backup that another process may be writing
		t.Errorf("left are %v", left)
	}
}
