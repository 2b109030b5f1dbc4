package presence

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/presence-server/presence/presence/store"
)

// TestBackupIsOneMoment checks that a backup taken under load holds the state of one
// moment, and is a complete database by itself.
func TestBackupIsOneMoment(t *testing.T) {
	w := open(t)
	w.register("first", "second")
	stop := make(chan struct{})
	var load sync.WaitGroup
	load.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				w.set("first", fmt.Sprint(i), 0)
				w.set("second", fmt.Sprint(i), 0)
			}
		}
	})
	folder := t.TempDir()
	for i := range 5 {
		w.must(Backup(t.Context(), w.path, filepath.Join(folder, fmt.Sprint(i))))
	}
	close(stop)
	load.Wait()
	for i := range 5 {
		path := filepath.Join(folder, fmt.Sprint(i))
		if file, err := os.Stat(path); err != nil || file.Mode().Perm() != 0o600 {
			t.Errorf("the backup: %v %v", file, err)
		}
		for pragma, want := range map[string]string{
			"page_size": "1024", "journal_mode": "delete", "application_id": fmt.Sprint(store.ApplicationID),
		} {
			if got := pragmaOf(t, path, pragma); got != want {
				t.Errorf("%s of a backup is %s, want %s", pragma, got, want)
			}
		}
		var first, second int
		taken := &world{t: t, path: path, settings: w.settings}
		taken.start()
		found, _ := taken.Get("first", "second")
		fmt.Sscan(found[0].CustomStatus, &first)
		fmt.Sscan(found[1].CustomStatus, &second)
		if first != second && first != second+1 {
			t.Errorf("a backup has the first user at %d and the second at %d: the database never was in that state", first, second)
		}
		w.must(taken.Close())
	}
	if found, _ := filepath.Glob(folder + "/*.partial"); len(found) > 0 {
		t.Errorf("after the backups the folder holds %v", found)
	}
}

func pragmaOf(t *testing.T, path, name string) (value string) {
	t.Helper()
	db, err := store.OpenToRead(t.Context(), path)
	if err == nil {
		defer db.Close()
		err = db.QueryRow("PRAGMA " + name).Scan(&value)
	}
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func TestBackupRefused(t *testing.T) {
	folder := t.TempDir()
	taken, damaged := filepath.Join(folder, "taken"), fixture(t, known(t))
	writeFile(t, taken, "precious")
	if err := Backup(t.Context(), fixture(t, known(t)), taken); !errors.Is(err, fs.ErrExist) {
		t.Errorf("onto a file that exists: %v", err)
	}
	if text, _ := os.ReadFile(taken); string(text) != "precious" {
		t.Error("a backup has replaced a file")
	}
	execSQL(t, damaged, "PRAGMA writable_schema = 1",
		"UPDATE sqlite_schema SET sql = replace(sql, 'status_type   INTEGER', 'status_type   TEXT   ')")
	if err := Backup(t.Context(), damaged, filepath.Join(folder, "of damaged")); err == nil {
		t.Error("a database with impossible rows was backed up")
	}
	if err := os.Truncate(damaged, 5*1024); err != nil {
		t.Fatal(err)
	}
	if err := Backup(t.Context(), damaged, filepath.Join(folder, "of damaged")); err == nil {
		t.Error("half a database was backed up")
	}
	if err := Backup(t.Context(), filepath.Join(folder, "missing"), filepath.Join(folder, "of nothing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of no database: %v", err)
	}
	if found, _ := filepath.Glob(folder + "/*"); len(found) != 1 {
		t.Errorf("there is %v, want nothing but what was there before", found)
	}
}

// twoBackups creates a service with two backups of it, a and b, in the same folder.
func twoBackups(t *testing.T) *world {
	w := open(t)
	w.register("alice")
	folder := filepath.Dir(w.path)
	for _, name := range []string{"a", "b"} {
		w.set("alice", name, 0)
		w.must(Backup(t.Context(), w.path, filepath.Join(folder, name)))
	}
	w.set("alice", "now", 0)
	return w
}

// has opens a database and checks the status of alice.
func has(t *testing.T, path, want string) {
	t.Helper()
	w := &world{t: t, path: path, settings: DefaultSettings()}
	w.start()
	defer w.Close()
	w.is("alice UNLOGINED "+want, filepath.Base(path))
}

func TestRestore(t *testing.T) {
	w := twoBackups(t)
	from := filepath.Join(filepath.Dir(w.path), "a")
	if _, err := Restore(t.Context(), w.path, from); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("while a service uses it: %v", err)
	}
	w.is("alice UNLOGINED now", "what is refused changes nothing")
	copied := w.killed() // its log holds all changes
	w.must(w.Close())
	for _, path := range []string{w.path, copied.path} {
		reader, err := store.OpenToRead(t.Context(), path) // keeps the -shm where it is
		w.must(err)
		defer reader.Close()
		kept, err := Restore(t.Context(), path, from)
		if err != nil || !strings.HasPrefix(kept, path+".before-restore-") {
			t.Fatalf("restored: %q %v", kept, err)
		}
		for _, suffix := range []string{"-wal", "-shm"} {
			if _, err := os.Stat(path + suffix); err == nil {
				t.Errorf("the old %s still exists", suffix)
			}
		}
		has(t, path, "a")
		has(t, kept, "now")
	}
	has(t, from, "a")
	if found, _ := filepath.Glob(w.path + "*.partial"); len(found) > 0 {
		t.Errorf("after the restore the folder holds %v", found)
	}
}

// TestRestoreWithoutADatabase restores on a new machine.
func TestRestoreWithoutADatabase(t *testing.T) {
	w := twoBackups(t)
	path := filepath.Join(t.TempDir(), "presence.db")
	kept, err := Restore(t.Context(), path, filepath.Join(filepath.Dir(w.path), "b"))
	if err != nil || kept != "" {
		t.Errorf("restored: %q %v", kept, err)
	}
	has(t, path, "b")
}

// TestRestoreOverADamagedDatabase restores over a damaged database, which is the usual reason
// to restore. The damaged files are kept unchanged.
func TestRestoreOverADamagedDatabase(t *testing.T) {
	w := twoBackups(t)
	from := filepath.Join(filepath.Dir(w.path), "b")
	for name, text := range map[string]string{"header": "\x00\x00", "first table": "SQLite format 3\x00"} {
		broken := w.killed()
		content, err := os.ReadFile(broken.path)
		w.must(err)
		writeFile(t, broken.path, text+strings.Repeat("\xff", len(content)))
		before, _ := os.ReadFile(broken.path)
		log, _ := os.ReadFile(broken.path + "-wal")
		kept, err := Restore(t.Context(), broken.path, from)
		w.must(err)
		has(t, broken.path, "b")
		if after, _ := os.ReadFile(kept); string(after) != string(before) {
			t.Errorf("%s: the damaged database isn't kept unchanged", name)
		}
		if after, _ := os.ReadFile(kept + "-wal"); string(after) != string(log) {
			t.Errorf("%s: the log isn't kept", name)
		}
	}
}

func TestRestoreRefusesOtherFiles(t *testing.T) {
	w := twoBackups(t)
	w.must(w.Close())
	folder := filepath.Dir(w.path)
	backup := filepath.Join(folder, "a")
	bad := filepath.Join(t.TempDir(), "bad")
	for name, make := range map[string]func(){
		"missing":       func() {},
		"cut off":       func() { copyFile(t, backup, bad); w.must(os.Truncate(bad, 6*1024)) },
		"text":          func() { writeFile(t, bad, strings.Repeat("Dear diary\n", 100)) },
		"empty":         func() { writeFile(t, bad, "") },
		"newer":         func() { copyFile(t, backup, bad); execSQL(t, bad, "PRAGMA user_version = 99") },
		"other program": func() { copyFile(t, backup, bad); execSQL(t, bad, "PRAGMA application_id = 7") },
	} {
		make()
		if kept, err := Restore(t.Context(), w.path, bad); err == nil || kept != "" {
			t.Errorf("%s: restored, and kept %q", name, kept)
		}
	}
	if found, _ := filepath.Glob(w.path + ".*"); len(found) > 0 {
		t.Errorf("after a refused restore the folder holds %v", found)
	}
	has(t, w.path, "now")
}

// stepsOf waits until the files of a database have changed n times.
func (w *world) stepsOf(path string, n int) {
	w.t.Helper()
	var last []string
	for deadline := time.Now().Add(time.Minute); n > 0; {
		if time.Now().After(deadline) {
			w.t.Fatal("the files don't change")
		}
		if now, _ := filepath.Glob(path + "*"); !slices.Equal(now, last) {
			n, last = n-1, now
		}
	}
}

// TestRestoreKilled checks kill -9 after a random number of steps, while another
// process restores one backup after the other, over databases with and without a log.
func TestRestoreKilled(t *testing.T) {
	w := twoBackups(t)
	crashed := w.killed()
	w.must(w.Close())
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	for range 8 {
		for _, name := range []string{"a", "b"} {
			copyFile(t, filepath.Join(filepath.Dir(w.path), name), filepath.Join(filepath.Dir(crashed.path), name))
		}
		restoring := child(t, "restore", crashed.path)
		w.stepsOf(crashed.path, 2+random.IntN(30)) // the first state is the one before the restore
		restoring.Process.Kill()
		restoring.Wait()
		if _, err := Check(t.Context(), crashed.path); err != nil {
			t.Fatalf("after kill -9: %v", err)
		}
		crashed.start()
		if found, _ := crashed.Get("alice"); len(found) != 1 || !slices.Contains([]string{"now", "a", "b"}, found[0].CustomStatus) {
			t.Fatalf("after kill -9 there is %v, neither the previous database nor a backup", describe(found))
		}
		next := crashed.killed()
		w.must(crashed.Close())
		crashed = next
	}
}
