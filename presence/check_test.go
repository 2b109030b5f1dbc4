package presence

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckReportsWhatIsWrong(t *testing.T) {
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
				"ALTER TABLE kicks ADD COLUMN why TEXT")
		}, []string{"has no index friends_by_friend: restore", "has a changed table kicks: restore", "has a foreign table mine: drop it"}},
		"a schema below zero": {func(t *testing.T, path string) {
			execSQL(t, path, "PRAGMA user_version = -1")
		}, []string{"has tables of schema -1, which there isn't: restore a backup"}},
		"tables without a schema": {func(t *testing.T, path string) {
			execSQL(t, path, "PRAGMA user_version = 0")
		}, []string{"has tables of schema 0, which there isn't: restore a backup"}},
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
			t.Errorf("%s: reported as %v", name, err)
		}
		for _, want := range test.want {
			if err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s: reported as %v, want %q in it", name, err, want)
			}
		}
		if after, _ := os.ReadFile(path); string(after) != string(before) {
			t.Errorf("%s: the check changed the file", name)
		}
		if !strings.Contains(name, "schema") {
			continue
		}
		if _, err := Restore(t.Context(), filepath.Join(t.TempDir(), "restored.db"), path); err == nil {
			t.Errorf("%s: it was restored", name)
		}
	}
}

func TestCheckWithoutADatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "presence.db")
	if _, err := Check(t.Context(), path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("reported as %v", err)
	}
	if found, _ := filepath.Glob(path + "*"); len(found) > 0 {
		t.Errorf("the check created %v", found)
	}
}

// TestCheckDuringAService checks that changes that are still in the log, and not yet
// in the file, count.
func TestCheckDuringAService(t *testing.T) {
	w := open(t)
	w.register("alice", "bob", "carol")
	if c, err := Check(t.Context(), w.path); err != nil || c.Users != 3 || c.Schema != known(t) || c.Newest != known(t) {
		t.Errorf("%+v %v", c, err)
	}
	w.set("alice", "after", 0)
}
