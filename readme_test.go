package main

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/knadh/koanf/v2"
	server "github.com/presence-server/presence/deploy/testserver"
)

// TestReadmeTokens runs each program of the README that creates a token, and makes a
// call with the token.
func TestReadmeTokens(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	c := newChild(t, "AUTH__SECRET=")
	c.Start()
	key := filepath.Join(c.Folder, "presence.db.secret")
	for language, run := range map[string][]string{
		"node": {"node", "program.js"}, "python": {"python3", "program.py"}, "php": {"php", "program.php"}, "golang": {"go", "run"},
	} {
		t.Run(language, func(t *testing.T) {
			server.Require(t, run[0], "this runs the program in "+language+" of the README")
			found := blocks(string(text), language)
			if len(found) != 1 {
				t.Fatalf("the README has %d blocks of %s, want 1", len(found), language)
			}
			command := tokenProgram(t, language, run, found[0], key)
			out, err := command.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if err := c.Must(c.Ctx, "/v1/subscriptions", strings.TrimSpace(string(out)), nil, nil); err != nil {
				t.Error(err)
			}
		})
	}
}

// tokenProgram returns the command that runs a program of the README in a folder with
// the server's key.
func tokenProgram(t *testing.T, language string, run []string, text, key string) *exec.Cmd {
	t.Helper()
	folder := t.TempDir()
	if language == "golang" { // in this module, because it imports golang-jwt
		text = "package main\n\nimport (\n\"bytes\"\n\"errors\"\n\"fmt\"\n\"os\"\n\"time\"\n\n\"github.com/golang-jwt/jwt/v5\"\n)\n\nfunc main() {\n" + text + "}\n"
		path := filepath.Join(folder, "program.go")
		write(t, path, strings.ReplaceAll(text, "presence.db.secret", key))
		return exec.CommandContext(t.Context(), "go", "run", path)
	}
	secret, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(folder, "presence.db.secret"), string(secret))
	if language == "php" {
		text = "<?php\n" + text
	}
	write(t, filepath.Join(folder, run[1]), text)
	command := exec.CommandContext(t.Context(), run[0], run[1:]...)
	command.Dir = folder
	return command
}

// TestDevPrintsWhatToTry checks that -dev prints the pages of two demo users and a
// call of the server API, and that it prints no configured key.
func TestDevPrintsWhatToTry(t *testing.T) {
	var out bytes.Buffer
	greetDev(&out, "http://127.0.0.1:8080/", "key of this run")
	for _, want := range []string{"    http://127.0.0.1:8080/\n", "    http://127.0.0.1:8080/person.html#alice\n",
		`curl -H "Authorization: Bearer key of this run" http://127.0.0.1:8080/v1/admin/stats`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("-dev doesn't print %q, but:\n%s", want, &out)
		}
	}
	for _, key := range []string{"", "a key that is configured"} {
		c := config{shown: newShownConfig(koanf.New("."))}
		c.Auth.AdminKey = key
		shown, remove, err := c.prepareDev(true)
		if err != nil {
			t.Fatal(err)
		}
		remove()
		if _, err := os.Stat(filepath.Dir(c.Database.Path)); !os.IsNotExist(err) {
			t.Errorf("the folder of the database still exists: %v", err)
		}
		if len(c.Auth.AdminKey) < 16 || (shown == c.Auth.AdminKey) != (key == "") {
			t.Errorf("with the key %q configured -dev prints %q", key, shown)
		}
	}
}

// TestPortInUse checks that the error for an address in use says what to do.
func TestPortInUse(t *testing.T) {
	first := newChild(t)
	first.Start()
	response, err := http.Get(first.URL + "/livez")
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, response.Body)
	response.Body.Close()
	var out bytes.Buffer
	command := exec.CommandContext(t.Context(), program.Path(t), "-dev")
	command.Env = append(os.Environ(), "PRESENCE_LISTEN="+first.Address)
	command.Stderr = &out
	if err := command.Run(); err == nil || !strings.Contains(out.String(), "choose another address") {
		t.Errorf("the server ends with %v and prints %s", err, &out)
	}
}
