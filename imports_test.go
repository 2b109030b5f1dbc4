package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/presence-server/presence"

// mayImport is the architecture: data flows in one direction, and each heavy library
// is used by one package. A package that is not listed here is for tests and
// measurements, and no other may import it.
var mayImport = map[string][]string{
	"":                {"httpapi", "httpapi/webhook", "pglog", "presence", "presence/store"},
	"httpapi":         {"httpapi/webhook", "sse", "presence", "sdk"},
	"httpapi/webhook": {"presence"},
	"sse":             {"presence"},
	"pglog":           {"presence"},
	"presence":        {"presence/store"},
	"presence/store":  {},
	"sdk":             {},
}

// ownedBy maps a library to the only package that may import it.
var ownedBy = map[string]string{
	"modernc.org/sqlite":                     "presence/store",
	"github.com/jackc/pgx/v5":                "pglog",
	"github.com/gofrs/flock":                 "presence/store",
	"github.com/r3labs/sse/v2":               "sse",
	"github.com/golang-jwt/jwt/v5":           "httpapi",
	"github.com/rs/cors":                     "httpapi",
	"github.com/tdewolff/minify/v2":          "sdk",
	"github.com/prometheus/client_golang":    "httpapi",
	"github.com/knadh/koanf/v2":              "",
	"github.com/knadh/koanf/parsers/toml/v2": "",
}

// TestImports checks that the packages import one another in one direction only, and
// that each heavy library is imported by one of them.
func TestImports(t *testing.T) {
	seen := make(map[string]bool)
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		folder := strings.TrimSuffix(filepath.ToSlash(filepath.Dir(path)), ".")
		allowed, listed := mayImport[folder]
		if !listed {
			return nil
		}
		seen[folder] = true
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, one := range file.Imports {
			name, _ := strconv.Unquote(one.Path.Value)
			if ours, ok := strings.CutPrefix(name, module+"/"); ok && !slices.Contains(allowed, ours) {
				t.Errorf("%s imports %s: the package may import only %q of this module", path, ours, allowed)
			}
			for library, owner := range ownedBy {
				if (name == library || strings.HasPrefix(name, library+"/")) && owner != folder {
					t.Errorf("%s imports %s, which belongs to the package %q", path, name, owner)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for folder := range mayImport {
		if !seen[folder] {
			t.Errorf("there is no package in %q", folder)
		}
	}
}
