package sdk_test

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/presence-server/presence/deploy/testserver"
	"github.com/presence-server/presence/sdk"
)

// TestNode runs the tests that are written in JavaScript, with the SDK as it is served, against the binary.
func TestNode(t *testing.T) {
	node := testserver.Require(t, "node", "Node runs the tests in sdk/test")
	path, err := testserver.Build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	writeServed(t, folder)
	if err := os.CopyFS(filepath.Join(folder, "test"), os.DirFS("test")); err != nil {
		t.Fatal(err)
	}
	tests, err := filepath.Glob(filepath.Join(folder, "test", "*.test.js"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, node, append([]string{"--test"}, tests...)...)
	command.Env = append(os.Environ(), "PRESENCE_BINARY="+path)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("node --test: %v\n%s", err, out)
	}
}

// writeServed writes what is served under /sdk/ to a folder.
func writeServed(t *testing.T, folder string) {
	t.Helper()
	for name, text := range sdk.Served() {
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTypes compiles the snippets of the original's documentation, and code that names
// the types.
func TestTypes(t *testing.T) {
	node := testserver.Require(t, "node", "Node runs the TypeScript compiler")
	compiler := filepath.Join("node_modules", "typescript", "bin", "tsc")
	if _, err := os.Stat(compiler); err != nil {
		testserver.Missing(t, "typescript is not installed: run npm install in sdk/")
	}
	for _, project := range []string{"testdata/seed", "testdata/strict"} {
		if out, err := exec.Command(node, compiler, "--project", project).CombinedOutput(); err != nil {
			t.Errorf("tsc --project %s: %v\n%s", project, err, out)
		}
	}
}

// TestSize checks that a page loads at most 9 KiB, without the modules for React and Vue.
func TestSize(t *testing.T) {
	var size counter
	zip, _ := gzip.NewWriterLevel(&size, gzip.BestCompression)
	served := sdk.Served()
	for _, name := range slices.Sorted(maps.Keys(served)) {
		if strings.HasSuffix(name, ".js") && name != "react.js" && name != "vue.js" {
			zip.Write(served[name])
		}
	}
	zip.Close()
	t.Logf("%d bytes gzipped", size)
	if size > 9*1024 {
		t.Errorf("the SDK is %d bytes gzipped, more than 9 KiB", size)
	}
}

type counter int

func (c *counter) Write(text []byte) (int, error) {
	*c += counter(len(text))
	return len(text), nil
}

// TestFiles checks that everything that the package names, and that its modules import, is embedded and served.
func TestFiles(t *testing.T) {
	var manifest struct{ Files []string }
	served := sdk.Served()
	if err := json.Unmarshal(served["package.json"], &manifest); err != nil {
		t.Fatal(err)
	}
	for name, text := range served {
		for _, match := range regexp.MustCompile(`(?:from ?|new URL\()"\./([^"]+)"`).FindAllSubmatch(text, -1) {
			if imported := string(match[1]); strings.HasSuffix(name, ".js") && !slices.Contains(manifest.Files, imported) {
				t.Errorf("%s imports %s, which the package leaves out", name, imported)
			}
		}
	}
	for _, name := range append(manifest.Files, "package.json", "README.md", "LICENSE") {
		if served[name] == nil {
			t.Errorf("%s is not served", name)
		}
	}
}

// TestMinified checks that what is served has no comments and no indentation, and that Node accepts it.
func TestMinified(t *testing.T) {
	node := testserver.Require(t, "node", "it reads JavaScript")
	folder := t.TempDir()
	writeServed(t, folder)
	for name, text := range sdk.Served() {
		if filepath.Ext(name) != ".js" {
			continue
		}
		if found := regexp.MustCompile(`(?m)^[ \t]|/\*|(^|\s)//|[ \t]$`).Find(text); found != nil {
			t.Errorf("%s is served with %q", name, found)
		}
		if out, err := exec.Command(node, "--check", filepath.Join(folder, name)).CombinedOutput(); err != nil {
			t.Errorf("%s as it is served: %v\n%s", name, err, out)
		}
	}
}

// TestPages checks that the demo page and the admin page need nothing that their policies forbid.
func TestPages(t *testing.T) {
	pages := map[string][]byte{"admin": sdk.Admin()["index.html"]}
	for _, name := range []string{"index.html", "person.html"} {
		var err error
		if pages[name], err = fs.ReadFile(sdk.Demo(), name); err != nil {
			t.Fatal(err)
		}
	}
	forbidden := regexp.MustCompile(` src="?https?:|<link[^>]* href="?https?:|<style| style=| onclick=`)
	for page, html := range pages {
		if len(html) == 0 {
			t.Errorf("the page %s is empty", page)
		}
		if found := forbidden.Find(html); found != nil {
			t.Errorf("the page %s has %q, which its Content-Security-Policy forbids", page, found)
		}
	}
}

// TestAdminImports checks that what the modules of the admin page import is served.
func TestAdminImports(t *testing.T) {
	page, served := sdk.Admin(), sdk.Served()
	for name, text := range page {
		for _, match := range regexp.MustCompile(`from "(\./|\.\./sdk/)([^"]+)"`).FindAllSubmatch(text, -1) {
			files := page
			if string(match[1]) == "../sdk/" {
				files = served
			}
			if files[string(match[2])] == nil {
				t.Errorf("%s imports %s%s, which is not served", name, match[1], match[2])
			}
		}
	}
}
