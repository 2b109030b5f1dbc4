package deploy_test

import (
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	server "github.com/presence-server/presence/deploy/testserver"
)

// build runs a copy of the script.
func build(script string, args ...string) error {
	command := exec.Command("bash", append([]string{script}, args...)...)
	command.Env = append(os.Environ(), "GOFLAGS=-race", "GOAMD64=v3", "CGO_ENABLED=1") // the settings of the person who runs it must not matter
	out, err := command.CombinedOutput()
	if err != nil {
		return errors.Join(err, errors.New(string(out)))
	}
	return nil
}

// TestBuildsAreStatic checks that a build needs nothing that a machine may lack.
func TestBuildsAreStatic(t *testing.T) {
	folder := t.TempDir()
	if err := build("build", folder, "linux/amd64", "linux/arm64"); err != nil {
		t.Fatal(err)
	}
	for name, machine := range map[string]elf.Machine{
		"presence-linux-amd64": elf.EM_X86_64, "presence-linux-arm64": elf.EM_AARCH64,
	} {
		f, err := elf.Open(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if f.Machine != machine {
			t.Errorf("%s is for %s", name, f.Machine)
		}
		for _, p := range f.Progs {
			if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
				t.Errorf("%s is not static: it has a %s segment", name, p.Type)
			}
		}
		sum := sha256.Sum256([]byte(read(t, filepath.Join(folder, name))))
		if line := hex.EncodeToString(sum[:]) + "  " + name + "\n"; !strings.Contains(read(t, filepath.Join(folder, "SHA256SUMS")), line) {
			t.Errorf("SHA256SUMS has no line %s", line)
		}
	}
}

func TestABuildRuns(t *testing.T) {
	out, err := exec.Command(binary(t), "-version").Output()
	want := fmt.Sprintf("presence %s\n", versionInSource(t))
	if err != nil || string(out) != want {
		t.Errorf("-version prints %q, %v, want %q", out, err, want)
	}
	startServer(t)
}

func versionInSource(t *testing.T) string {
	t.Helper()
	_, behind, _ := strings.Cut(read(t, "../main.go"), "\nconst version = \"")
	version, _, ok := strings.Cut(behind, "\"\n")
	if !ok {
		t.Fatal("main.go has no const version")
	}
	return version
}

// TestTheSameBytes builds again from a copy of the source in another folder.
func TestTheSameBytes(t *testing.T) {
	git := server.Require(t, "git", "it lists the files of the source")
	elsewhere := filepath.Join(t.TempDir(), "a", "copy")
	files, err := exec.Command(git, "-C", "..", "ls-files", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.Lines(string(files)) {
		copyFile(t, filepath.Join("..", strings.TrimSpace(name)), filepath.Join(elsewhere, strings.TrimSpace(name)))
	}
	folder := t.TempDir()
	if err := build(filepath.Join(elsewhere, "deploy", "build"), folder, runtime.GOOS+"/"+runtime.GOARCH); err != nil {
		t.Fatal(err)
	}
	here := binary(t)
	for _, name := range []string{filepath.Base(here), "SHA256SUMS"} {
		if read(t, filepath.Join(folder, name)) != read(t, filepath.Join(filepath.Dir(here), name)) {
			t.Errorf("%s differs when it is built from the same source in another folder", name)
		}
	}
	if top, err := filepath.Abs(".."); err != nil || strings.Contains(read(t, here), top) {
		t.Errorf("the program contains %s, the folder it was built in (%v)", top, err)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if errors.Is(err, os.ErrNotExist) { // deleted, but not committed yet
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, text, 0o600); err != nil {
		t.Fatal(err)
	}
}
