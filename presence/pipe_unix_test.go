//go:build unix

package presence

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestAPipeIsNotADatabase checks this because opening a pipe would wait without end.
func TestAPipeIsNotADatabase(t *testing.T) {
	pipe, path := filepath.Join(t.TempDir(), "pipe"), filepath.Join(t.TempDir(), "presence.db")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	refuses(t, pipe, "a pipe", "not a regular file")
	_, restored := Restore(t.Context(), path, pipe)
	_, checked := Check(t.Context(), pipe)
	for what, err := range map[string]error{
		"restored": restored, "checked": checked, "backed up": Backup(t.Context(), pipe, path),
	} {
		if err == nil || !strings.Contains(err.Error(), "not a regular file") {
			t.Errorf("a pipe that is %s: got %v", what, err)
		}
	}
}
