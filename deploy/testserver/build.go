package testserver

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const program = "github.com/presence-server/presence"

// Build builds the program into a folder, with flags of go build. The working
// folder must be in one of the modules of the repository.
func Build(folder string, flags ...string) (binary string, err error) {
	if binary, err = filepath.Abs(filepath.Join(folder, "presence")); err != nil {
		return "", err
	}
	source, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", program).Output()
	if err != nil {
		return "", fmt.Errorf("go list -m %s: %w", program, err)
	}
	// In its own module: another one may require other versions of libraries.
	args := append([]string{"build", "-C", strings.TrimSpace(string(source)), "-o", binary}, flags...)
	if out, err := exec.Command("go", append(args, ".")...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return binary, nil
}

// Program is the program, built once for all tests of a package. The zero value is
// ready for use.
type Program struct {
	once         sync.Once
	folder, path string
	err          error
}

// Run runs the tests, and then removes what was built. It returns the exit code
// for TestMain.
func (p *Program) Run(m *testing.M) (code int) {
	code = m.Run()
	if p.folder != "" {
		os.RemoveAll(p.folder)
	}
	return code
}

// RunInFolder is Run in a temporary folder of its own, because browsers that are killed
// leave files in it.
func (p *Program) RunInFolder(m *testing.M) (code int) {
	folder, err := os.MkdirTemp("", "presence-browser-")
	if err == nil {
		err = os.Chmod(folder, 0o711) // PostgreSQL runs as another user than root
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	os.Setenv("TMPDIR", folder)
	code = p.Run(m)
	if err := os.RemoveAll(folder); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// Path returns where the program is. The first call builds it, unless the
// environment variable PRESENCE_BINARY names one.
func (p *Program) Path(t testing.TB) string {
	t.Helper()
	p.once.Do(func() {
		if p.path = os.Getenv("PRESENCE_BINARY"); p.path != "" {
			return
		}
		if p.folder, p.err = os.MkdirTemp("", "presence-test-"); p.err == nil {
			p.path, p.err = Build(p.folder)
		}
	})
	if p.err != nil {
		t.Fatal(p.err)
	}
	return p.path
}
