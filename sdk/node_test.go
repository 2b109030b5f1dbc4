package sdk_test

import (
	"compress/gzip"
	"context"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/presence-server/presence/deploy/testserver"
	"github.com/presence-server/presence/sdk"
)

// TestNode runs the tests that are written in JavaScript, against the binary.
func TestNode(t *testing.T) {
	node := testserver.Require(t, "node", "it runs the tests in sdk/test")
	path, err := testserver.Build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	tests, err := filepath.Glob("test/*.test.js")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, node, append([]string{"--test"}, tests...)...)
	command.Env = append(os.Environ(), "PRESENCE_BINARY="+path)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("node --test: %v\n%s", err, out)
	}
}

// TestTypes compiles the snippets of the original's documentation, and code with the types spelled out.
func TestTypes(t *testing.T) {
	node := testserver.Require(t, "node", "it runs the TypeScript compiler")
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

// TestSize keeps what a page loads, comments included, within 6 KiB.
func TestSize(t *testing.T) {
	var size counter
	zip, _ := gzip.NewWriterLevel(&size, gzip.BestCompression)
	for _, name := range []string{"presence.js", "session.js", "stream.js"} {
		text, err := fs.ReadFile(sdk.Files(), name)
		if err != nil {
			t.Fatal(err)
		}
		zip.Write(text)
	}
	zip.Close()
	t.Logf("%d bytes gzipped", size)
	if size > 6*1024 {
		t.Errorf("the SDK is %d bytes gzipped, more than 6 KiB", size)
	}
}

type counter int

func (c *counter) Write(text []byte) (int, error) {
	*c += counter(len(text))
	return len(text), nil
}

// TestFiles tells that what the package names is what is embedded, and that the page needs nothing else.
func TestFiles(t *testing.T) {
	for _, name := range []string{"presence.js", "session.js", "stream.js", "index.d.ts", "package.json", "README.md", "LICENSE"} {
		if _, err := fs.Stat(sdk.Files(), name); err != nil {
			t.Error(err)
		}
	}
	page, err := sdk.Demo().Open("index.html")
	if err != nil {
		t.Fatal(err)
	}
	html, err := io.ReadAll(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, forbidden := range []string{"http://", "https://", "<style", " style=", " onclick="} {
		if strings.Contains(string(html), forbidden) {
			t.Errorf("index.html has %q, which the Content-Security-Policy forbids", forbidden)
		}
	}
}
