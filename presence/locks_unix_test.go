//go:build unix

package presence

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// alone exits with 1 unless, as far as SQLite can see, no other process has the
// database open. An older SQLite that closes the database then removes the log.
func alone(path string) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		panic(err)
	}
	shared := syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart, Start: 0x40000002, Len: 510} // SQLite's SHARED_FIRST
	if syscall.FcntlFlock(f.Fd(), syscall.F_SETLK, &shared) != nil {
		os.Exit(1)
	}
}

// TestPromise5LocksAreKept checks that nothing this process does with the file
// releases the locks of its service. Without them, another program that opens and
// closes the database removes the log, and answered writes are lost.
func TestPromise5LocksAreKept(t *testing.T) {
	w := open(t)
	w.register("alice")
	for what, do := range map[string]func(){
		"nothing":          func() {},
		"a second service": func() { Open(context.Background(), Config{Path: w.path}) },
		"a check":          func() { Check(t.Context(), w.path) },
		"a backup":         func() { Backup(t.Context(), w.path, filepath.Join(t.TempDir(), "backup")) },
		"restoring":        func() { Restore(t.Context(), w.path, w.path) },
	} {
		do()
		if err := child(t, "alone", w.path).Wait(); err == nil {
			t.Errorf("promise 5: after %s the service has no lock on its database", what)
			w.restart(0)
		}
	}
}
