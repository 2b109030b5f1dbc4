package httpapi_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/presence-server/presence/deploy/testserver"
)

// required are the modules that go.mod of a program lists when the program imports
// only this package.
const required = `
github.com/MicahParks/jwkset
github.com/beorn7/perks
github.com/cespare/xxhash/v2
github.com/dustin/go-humanize
github.com/fxamacker/cbor/v2
github.com/go-json-experiment/json
github.com/gofrs/flock
github.com/golang-jwt/jwt/v5
github.com/google/uuid
github.com/mattn/go-isatty
github.com/munnerz/goautoneg
github.com/ncruces/go-strftime
github.com/presence-server/presence
github.com/prometheus/client_golang
github.com/prometheus/client_model
github.com/prometheus/common
github.com/prometheus/procfs
github.com/r3labs/sse/v2
github.com/remyoudompheng/bigfft
github.com/rs/cors
github.com/tdewolff/minify/v2
github.com/tdewolff/parse/v2
github.com/x448/float16
golang.org/x/net
golang.org/x/sys
golang.org/x/text
golang.org/x/time
google.golang.org/protobuf
gopkg.in/cenkalti/backoff.v1
modernc.org/libc
modernc.org/mathutil
modernc.org/memory
modernc.org/sqlite
`

// TestModulesOfAnEmbeddingProgram runs go mod tidy in a program that imports this package. It lists what the package
// needs. Our tests add nothing: go mod tidy reads the tests of each imported package, and downloads what they import.
func TestModulesOfAnEmbeddingProgram(t *testing.T) {
	top, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	listed, downloaded := tidy(t, top)
	if want := strings.Fields(required); !slices.Equal(listed, want) {
		t.Errorf("go.mod of the program lists\n%s\nwant\n%s", strings.Join(listed, "\n"), strings.Join(want, "\n"))
	}
	if _, want := tidy(t, top, "-overlay="+withoutTests(t, top)); !slices.Equal(downloaded, want) {
		t.Errorf("go.sum of the program lists\n%s\nwithout our tests only\n%s", strings.Join(downloaded, "\n"), strings.Join(want, "\n"))
	}
}

// tidy returns the modules in go.mod and in go.sum of a program that imports this package from the folder top.
func tidy(t *testing.T, top string, flags ...string) (listed, downloaded []string) {
	t.Helper()
	folder := t.TempDir()
	goMod := "module example.com/program\n\nrequire github.com/presence-server/presence v0.0.0\n\n" +
		"replace github.com/presence-server/presence => " + top + "\n"
	sums, err := os.ReadFile(filepath.Join(top, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"go.mod":     goMod,
		"go.sum":     string(sums), // remove what isn't needed, and use no network
		"program.go": "package program\n\nimport _ \"github.com/presence-server/presence/httpapi\"\n",
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	command := exec.CommandContext(t.Context(), "go", append([]string{"-C", folder, "mod", "tidy"}, flags...)...)
	if out, err := command.CombinedOutput(); err != nil {
		testserver.Missing(t, "go mod tidy can't download what it needs: %v\n%s", err, out)
	}
	return requirements(t, folder), firstWords(t, filepath.Join(folder, "go.sum"))
}

func requirements(t *testing.T, folder string) (paths []string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "-C", folder, "mod", "edit", "-json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Require []struct{ Path string } }
	if err := json.Unmarshal(out, &file); err != nil {
		t.Fatal(err)
	}
	for _, module := range file.Require {
		paths = append(paths, module.Path)
	}
	slices.Sort(paths)
	return paths
}

func firstWords(t *testing.T, name string) (words []string) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		word, _, _ := strings.Cut(line, " ")
		words = append(words, word)
	}
	slices.Sort(words)
	return slices.Compact(words)
}

// withoutTests returns the name of a file which makes the go command ignore the tests of this module.
func withoutTests(t *testing.T, top string) string {
	t.Helper()
	var overlay struct{ Replace map[string]string }
	overlay.Replace = make(map[string]string)
	for _, pattern := range []string{"*_test.go", "*/*_test.go", "*/*/*_test.go"} {
		tests, err := filepath.Glob(filepath.Join(top, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range tests {
			overlay.Replace[name] = ""
		}
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "overlay.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
