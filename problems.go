package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// problem is one configuration error.
type problem struct {
	key  string // that it concerns; "" if there is no such key
	text string // the key, its value unless it could be a secret, and the reason
}

// problems are all configuration errors. They are one error, or none if empty.
type problems []problem

// Error returns a line for each.
func (all problems) Error() string {
	text := "the configuration has errors:"
	for _, p := range all {
		text += "\n  " + p.text
	}
	return text
}

// err returns nil if there are no problems.
func (all problems) err() error {
	if len(all) == 0 {
		return nil
	}
	return all
}

// hidden is shown in place of a secret.
const hidden = "…"

// shown returns the value of a key as a problem shows it: not if it is a secret, or
// could be one in the wrong place.
func shown(key string, value any) string {
	_, isNumber := value.(int64)
	if key == "auth.jwks_url" {
		value = plainURL(fmt.Sprint(value))
	}
	text, err := json.Marshal(value)
	switch {
	case isSecret(key, value) && !isNumber, key == "cors.origins" && bytes.ContainsRune(text, '@'),
		key == "webhooks.secret", key == "webhooks.urls", key == "cluster.log", key == "cluster.log_file" && !isPath(fmt.Sprint(value)):
		return hidden
	case err != nil:
		return fmt.Sprint(value)
	}
	return string(text)
}

// isSecret reports whether a value of a key is a secret. The name of a key file isn't
// one, unless it could be the key itself in the wrong place.
func isSecret(key string, value any) bool {
	switch key {
	case "auth.jwks_url", "auth.issuer", "auth.audience", "auth.user_claim":
		return false
	}
	name, _ := value.(string)
	return strings.HasPrefix(key, "auth.") && !(strings.HasSuffix(key, "_file") && isPath(name))
}

// isPath reports whether a text names a file that exists, or one that is missing in a
// folder that exists. A key in base64 may contain slashes, and even begin with one, so
// the root and the working directory don't count as the folder of a missing file.
func isPath(text string) bool {
	if exists(text) {
		return true
	}
	folder := filepath.Dir(text)
	return filepath.Dir(folder) != folder && exists(folder)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
