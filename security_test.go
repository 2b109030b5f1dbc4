package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestEveryThreatHasATest checks that SECURITY.md names a test for each threat, and
// that each test named there exists. A name in quotation marks is the beginning of the
// name of a test of the SDK.
func TestEveryThreatHasATest(t *testing.T) {
	text, err := os.ReadFile("SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "\n## Threats\n")
	there, threats, javascript := testNames(t), 0, javascriptTests(t)
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.Trim(line, "|\n"), "|")
		if len(cells) != 3 || strings.HasPrefix(cells[0], "---") || strings.HasPrefix(cells[2], " test") {
			continue
		}
		threats++
		names := regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(cells[2], -1)
		if len(names) == 0 {
			t.Errorf("no test of%s", cells[0])
		}
		for _, name := range names {
			if !there[name[1]] {
				t.Errorf("there is no %s, the test of%s", name[1], cells[0])
			}
		}
		for _, name := range regexp.MustCompile(`"([^"]+)"`).FindAllStringSubmatch(cells[2], -1) {
			if !strings.Contains(javascript, `test("`+name[1]) {
				t.Errorf("the SDK has no test %q, the test of%s", name[1], cells[0])
			}
		}
	}
	if threats < 30 {
		t.Errorf("only %d threats were found in SECURITY.md", threats)
	}
}

// javascriptTests returns the source of the tests of the SDK.
func javascriptTests(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob("sdk/test/*.test.js")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d test files of the SDK, %v", len(files), err)
	}
	var all strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}

// testNames returns every test and fuzz target of the module.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	names := make(map[string]bool)
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, found := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`).FindAllStringSubmatch(string(text), -1) {
			names[found[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
