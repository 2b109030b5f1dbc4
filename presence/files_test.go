//go:build unix

package presence

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestFilesAreTheirOwners checks that no other user of the machine can read or write
// the files, whatever the umask is.
func TestFilesAreTheirOwners(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	w := open(t)
	w.register("alice")
	files, err := filepath.Glob(filepath.Join(filepath.Dir(w.path), "*"))
	if err != nil || len(files) < 4 {
		t.Fatalf("files: %q %v, want the database, its log, its index and its lock", files, err)
	}
	for _, file := range files {
		info, err := os.Stat(file)
		w.must(err)
		if mode := info.Mode().Perm(); mode&0o077 != 0 {
			t.Errorf("%s has the mode %v", filepath.Base(file), mode)
		}
	}
}
