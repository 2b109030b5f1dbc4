//go:build unix

package presence

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// unprivileged opens a database, backs it up and restores it, as a user who may write
// the file but not its folder, and prints what happens.
func unprivileged(path string) {
	if os.Geteuid() == 0 {
		if err := syscall.Setuid(65534); err != nil {
			panic(err)
		}
	}
	svc, err := Open(context.Background(), Config{Path: path})
	if err == nil {
		svc.Close()
	}
	fmt.Println("Open:", err)
	fmt.Println("Backup:", Backup(context.Background(), path, path+".backup"))
	_, err = Restore(context.Background(), path, path)
	fmt.Println("Restore:", err)
}

// TestAFolderThatCantBeWritten checks that the errors say that the folder must be
// writable. SQLite's own errors only mention the database.
func TestAFolderThatCantBeWritten(t *testing.T) {
	for _, others := range [][]string{nil, {"-lock"}, {"-lock", "-wal"}, {"-lock", "-wal", "-shm"}} {
		w := open(t)
		w.register("alice")
		path := filepath.Join(t.TempDir(), "presence.db")
		for _, suffix := range append([]string{""}, others...) {
			copyFile(t, w.path+suffix, path+suffix)
			w.must(os.Chmod(path+suffix, 0o666))
		}
		if !slices.Contains(others, "-wal") {
			w.must(w.Close())
			copyFile(t, w.path, path)
		}
		folder := filepath.Dir(path)
		w.must(os.Chmod(filepath.Dir(folder), 0o755))
		w.must(os.Chmod(folder, 0o555))
		command := exec.Command(os.Args[0])
		command.Env = append(os.Environ(), childEnv+"=unprivileged "+path)
		out, err := command.CombinedOutput()
		w.must(os.Chmod(folder, 0o755))
		w.must(err)
		for line := range strings.Lines(string(out)) {
			call, reason, _ := strings.Cut(strings.TrimSpace(line), ": ")
			if reason == "<nil>" {
				continue // the call needs none of the missing files
			}
			if !strings.Contains(reason, "folder "+folder) {
				t.Errorf("with %q next to it, %s doesn't say that the folder must be writable: %s", others, call, reason)
			}
		}
	}
}
