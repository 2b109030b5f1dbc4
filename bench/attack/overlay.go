//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/presence-server/presence/deploy/testserver"
)

// edit is a change of one file of the source that a build is made from. The file itself
// stays as it is.
type edit struct {
	file     string // below the folder
	old, new string
}

// build builds the server from its source in which some files of a folder are edited. It
// returns an error if an edit doesn't fit, because the file has changed since.
func (a *attacker) build(name, folder string, edits ...edit) (binary string, err error) {
	to := filepath.Join(a.Folder, name)
	if err := os.Mkdir(to, 0o700); err != nil {
		return "", err
	}
	texts, replace := make(map[string]string), make(map[string]string)
	for i, e := range edits {
		file := filepath.Join(folder, e.file)
		if _, read := texts[file]; !read {
			text, err := os.ReadFile(file)
			if err != nil {
				return "", err
			}
			texts[file], replace[file] = string(text), filepath.Join(to, fmt.Sprintf("%d.go", i))
		}
		if n := strings.Count(texts[file], e.old); n != 1 {
			return "", fmt.Errorf("an edit doesn't fit %s any more: the file has %d times instead of once:\n%s", file, n, e.old)
		}
		texts[file] = strings.Replace(texts[file], e.old, e.new, 1)
	}
	for file, text := range texts {
		if err := os.WriteFile(replace[file], []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path := filepath.Join(to, "overlay.json")
	if err := os.WriteFile(path, overlay, 0o600); err != nil {
		return "", err
	}
	return testserver.Build(to, "-overlay", path)
}

// goPrints returns what a command of go prints as one line.
func goPrints(args ...string) (string, error) {
	out, err := exec.Command("go", args...).Output()
	return strings.TrimSpace(string(out)), err
}
