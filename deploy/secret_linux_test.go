package deploy_test

import (
	"path/filepath"
	"regexp"
	"testing"

	server "github.com/presence-server/presence/deploy/testserver"
)

// TestSecretIsDurable checks that the folder is synced after the secret got its name,
// so that a loss of power right after the first start doesn't invalidate all tokens.
func TestSecretIsDurable(t *testing.T) {
	strace, path := server.Require(t, "strace", "strace shows what is synced"), filepath.Join(t.TempDir(), "trace")
	s := server.NewChild(t, strace, "AUTH__SECRET=")
	s.Flags = []string{"-f", "-qq", "-y", "-e", "trace=fsync,rename,renameat,renameat2", "-o", path, binary(t)}
	s.Start()
	stop(t, s)
	folder, err := filepath.EvalSymlinks(s.Folder)
	if err != nil {
		t.Fatal(err)
	}
	synced := regexp.MustCompile(`(?s)rename[^\n]*presence\.db\.secret"[^\n]*= 0\n.*fsync\(\d+<` + regexp.QuoteMeta(folder) + `>`)
	if trace := read(t, path); !synced.MatchString(trace) {
		t.Errorf("the folder isn't synced after the secret is stored:\n%s", trace)
	}
}
