package presence

import (
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckTellsWhatIsWrong(t *testing.T) {
	tests := map[string]struct {
		harm func(t *testing.T, path string)
		want []string
	}{
		"a torn page": {func(t *testing.T, path string) {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err == nil {
				_, err = f.WriteAt(make([]byte, 700), 4*1024+100)
				err = errors.Join(err, f.Close())
			}
			if err != nil {
				t.Fatal(err)
			}
		}, []string{"is damaged: restore a backup: "}},
		"cut off": {func(t *testing.T, path string) {
			if err := os.Truncate(path, 5*1024); err != nil {
				t.Fatal(err)
			}
		}, []string{"is damaged: restore a backup: "}},
		"another schema": {func(t *testing.T, path string) {
			execSQL(t, path, "DROP INDEX friends_by_friend", "CREATE TABLE mine (x)",
				"ALTER TABLE kicked ADD COLUMN why TEXT")
		}, []string{"has no index friends_by_friend: restore", "has a changed table kicked: restore", "has a foreign table mine: drop it"}},
		"a version given out twice": {func(t *testing.T, path string) {
			execSQL(t, path, "UPDATE service SET version = 7")
		}, []string{"has lost count"}},
		"an ID given out twice": {func(t *testing.T, path string) {
			execSQL(t, path, "UPDATE service SET next_user = 6")
		}, []string{"has lost count"}},
		"no counters": {func(t *testing.T, path string) {
			execSQL(t, path, "DELETE FROM service")
		}, []string{"has lost count"}},
		"another program's": {func(t *testing.T, path string) {
			execSQL(t, path, "PRAGMA application_id = 7")
		}, []string{"is not a presence database"}},
		"no database": {func(t *testing.T, path string) {
			writeFile(t, path, strings.Repeat("Dear diary\n", 100))
		}, []string{"is not a presence database: not an SQLite file"}},
		"nothing": {func(t *testing.T, path string) {}, nil},
	}
	for name, test := range tests {
		path := fixture(t, known(t))
		test.harm(t, path)
		before, _ := os.ReadFile(path)
		_, err := Check(t.Context(), path)
		if (err == nil) != (test.want == nil) {
			t.Errorf("%s: told as %v", name, err)
		}
		for _, want := range test.want {
			if err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s: told as %v, want %q in it", name, err, want)
			}
		}
		if after, _ := os.ReadFile(path); string(after) != string(before) {
			t.Errorf("%s: checking has changed the file", name)
		}
	}
}

func TestCheckWithoutADatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "presence.db")
	if _, err := Check(t.Context(), path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("told as %v", err)
	}
	if found, _ := filepath.Glob(path + "*"); len(found) > 0 {
		t.Errorf("checking has made %v", found)
	}
}

// TestCheckBesideAService: what isn't in the file yet but in its log counts.
func TestCheckBesideAService(t *testing.T) {
	w := open(t)
	w.register("alice", "bob", "carol")
	if c, err := Check(t.Context(), w.path); err != nil || c.Users != 3 || c.Schema != known(t) || c.Newest != known(t) {
		t.Errorf("%+v %v", c, err)
	}
	w.set("alice", "after", 0)
}

// look is what any other program does that opens the database and goes.
func look(path string) {
	db, err := sql.Open("sqlite", path)
	if err != nil {
		panic(err)
	}
	var n int
	if err := db.QueryRow("SELECT count(*) FROM users").Scan(&n); err != nil {
		panic(err)
	}
	db.Close()
}

// TestPromise5LocksAreKept: nothing that this process does with the file takes
// away the locks of its service. Without them another program that opens the
// database and goes would take the log along, and what was answered is lost.
func TestPromise5LocksAreKept(t *testing.T) {
	w := open(t)
	w.register("alice")
	for what, do := range map[string]func() error{
		"a second service": func() error { _, err := Open(Config{Path: w.path}); return err },
		"a check":          func() error { _, err := Check(t.Context(), w.path); return err },
		"a backup":         func() error { return Backup(t.Context(), w.path, filepath.Join(t.TempDir(), "backup")) },
		"restoring":        func() error { _, err := Restore(t.Context(), w.path, w.path); return err },
	} {
		do()
		if err := child(t, "look", w.path).Wait(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(w.path + "-wal"); err != nil {
			t.Errorf("promise 5: after %s the log goes with another program: %v", what, err)
		}
		w.set("alice", what, 0)
	}
}
