package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	server "github.com/presence-server/presence/deploy/testserver"
	"github.com/presence-server/presence/httpapi"
	"github.com/presence-server/presence/presence"
)

// TestSampleHoldsTheDefaults checks that programs that import the packages and
// operators who run the program start with the same values.
func TestSampleHoldsTheDefaults(t *testing.T) {
	t.Chdir(t.TempDir())
	c, err := flags{}.config()
	if err != nil {
		t.Fatal(err)
	}
	if c.settings != presence.DefaultSettings() {
		t.Errorf("presence.toml has\n%+v\nand DefaultSettings\n%+v", c.settings, presence.DefaultSettings())
	}
	if c.limits != httpapi.DefaultLimits() {
		t.Errorf("presence.toml has\n%+v\nand DefaultLimits\n%+v", c.limits, httpapi.DefaultLimits())
	}
}

// TestSampleIsCommented checks that every key of the sample is below a comment, or
// directly below another key.
func TestSampleIsCommented(t *testing.T) {
	before := ""
	for line := range strings.Lines(string(sample)) {
		if strings.Contains(line, " = ") && !strings.HasPrefix(line, "#") && (before == "\n" || strings.HasPrefix(before, "[")) {
			t.Errorf("no comment above %s", line)
		}
		before = line
	}
}

// TestConfigTakesOver checks that each key of the file and of the environment takes
// effect.
func TestConfigTakesOver(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "presence.toml", `
		listen = ":1"
		[features]
		user_status = false
		[limits]
		streams = 7
		window = "3s"
		[timing]
		custom_status_ttl = "1h"`)
	t.Setenv("PRESENCE_LISTEN", ":2")
	t.Setenv("PRESENCE_FEATURES__FRIEND_NOTIFICATIONS", "false")
	t.Setenv("PRESENCE_LIMITS__FRIENDS", "8")
	t.Setenv("PRESENCE_CORS__ORIGINS", "https://a.example, http://b.example:81")
	t.Setenv("PRESENCE_PROXY__TRUSTED", "10.1.2.3/8, ::1")
	t.Setenv("PRESENCE_LOG__LEVEL", "debug")
	c, err := flags{}.config()
	if err != nil {
		t.Fatal(err)
	}
	for what, ok := range map[string]bool{
		"the environment takes precedence over the file": slices.Equal(c.Listen, []string{":2"}),
		"features.user_status":                           !c.settings.UserStatus,
		"features.friend_notifications":                  !c.settings.FriendNotifications,
		"limits.streams":                                 c.limits.Streams == 7,
		"limits.window":                                  c.limits.Window.Seconds() == 3,
		"limits.friends":                                 c.settings.Friends == 8,
		"timing.custom_status_ttl":                       c.settings.CustomStatusTTL.Hours() == 1,
		"cors.origins":                                   slices.Equal(c.CORS.Origins, []string{"https://a.example", "http://b.example:81"}),
		"proxy.trusted":                                  fmt.Sprint(c.proxies) == "[10.0.0.0/8 ::1/128]",
		"limits.failures":                                c.limits.Failures == 30,
		"log.level":                                      c.level == -4,
		"an absent key keeps its default":                c.settings.Subscriptions == 200,
	} {
		if !ok {
			t.Errorf("not true: %s\n%+v", what, c)
		}
	}
}

// TestConfigReportsAllErrors checks that all errors are reported together, each with
// key, value and reason, and without a secret.
func TestConfigReportsAllErrors(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "presence.toml", `
		listen = "nowhere"
		limts = 4
		[limits]
		query_users = "many"
		streams = -1
		failures = 0
		window = 5
		[timing]
		drain = "soon"
		keepalive = "0s"
		[auth]
		secret = "too short"
		[tls]
		cert = "no such file"
		[cors]
		origins = ["https://a.example/path"]
		[proxy]
		trusted = ["10.0.0.0/8", "localhost", "::ffff:10.0.0.0/104"]
		[log]
		level = "loud"
		format = "xml"`)
	t.Setenv("PRESENCE_LIMITS__NONSENSE", "1")
	_, err := flags{dev: true}.config()
	if err == nil {
		t.Fatal("no error was found")
	}
	for _, want := range []string{
		`listen = "nowhere": must be host:port`,
		`limts: there is no such key`,
		`PRESENCE_LIMITS__NONSENSE: there is no such key`,
		`limits.query_users = "many": must be a whole number`,
		`limits.streams = -1: must not be negative`,
		`limits.window = 5: must be a duration`,
		`timing.drain = "soon": must be a duration`,
		`timing.keepalive = "0s": must be from 1ms`,
		`auth.secret = …: must have at least 16 bytes`,
		`tls.cert = "no such file": must go with tls.key`,
		`cors.origins = "https://a.example/path": an origin has no user, path, query or fragment; write "https://a.example"`,
		`limits.failures = 0: must be at least 1`,
		`proxy.trusted = "localhost": must be a network or an address`,
		`proxy.trusted = "::ffff:10.0.0.0/104": must be a network or an address`,
		`log.level = "loud": must be debug`,
		`log.format = "xml": must be text or json`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("not reported: %s\nbut:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "too short") {
		t.Errorf("a secret is in the report:\n%v", err)
	}
}

// FuzzConfig checks that any file and environment is either refused, with reasons that
// contain no secret, or yields a configuration with which a server can run.
func FuzzConfig(f *testing.F) {
	for _, c := range []struct{ text, name, value string }{
		{string(sample), "LISTEN", ":1"},
		{"listen = 1", "LIMITS__FRIENDS", "8"},
		{"[limits]\nwindow = \"3s\"\nstreams = -1", "LIMITS__WINDOW", "-3s"},
		{"[cors]\norigins = [\"*\", 1]", "CORS__ORIGINS", "https://a.example, http://b.example:81"},
		{"[log\nlevel = ", "FEATURES__USER_STATUS", "maybe"},
		{"[timing]\nkeepalive = \"9223372036s\"\n[timing.drain]\nx = 1", "TIMING", "1"},
		{"a.b.c = { d = [[1]], e = 1979-05-27T07:32:00Z, f = inf }", "A__B", "\xff"},
	} {
		f.Add(c.text, c.name, c.value)
	}
	f.Chdir(f.TempDir())
	const secret = "geheim-geheim-geheim"
	f.Fuzz(func(t *testing.T, text, name, value string) {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.Contains(value, "\x00") {
			t.Skip("no environment variable")
		}
		file := filepath.Join(t.TempDir(), "presence.toml")
		write(t, file, text+"\n[auth]\nsecret = '"+secret+"'\n")
		t.Setenv(envPrefix+name, value)
		t.Setenv(envPrefix+"AUTH__ADMIN_KEY", secret)
		c, err := flags{file: file}.config()
		if err != nil {
			if strings.Contains(err.Error(), "geheim") && !strings.Contains(text+name+value, "geheim") {
				t.Errorf("a secret is in the error: %v", err)
			}
			return
		}
		if err := errors.Join(c.settings.Validate(), c.limits.Validate()); err != nil || len(c.Listen) == 0 || c.Database.Path == "" {
			t.Errorf("%q and %s=%q are accepted as %+v: %v", text, name, value, c, err)
		}
	})
}

// TestDevStaysOnLoopback checks that -dev, which issues tokens for any user, refuses
// every other address.
func TestDevStaysOnLoopback(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("PRESENCE_LISTEN", ":8080")
	if _, err := (flags{dev: true}).config(); err == nil || !strings.Contains(err.Error(), "loopback") {
		t.Errorf("-dev on every address: %v", err)
	}
}

// TestReload checks that SIGHUP changes what can change while the server runs, and
// reports what can't.
func TestReload(t *testing.T) {
	c := newChild(t)
	file := filepath.Join(c.Folder, "presence.toml")
	write(t, file, "")
	c.Start()
	c.Befriend("alice", "bob")
	token := c.TokenOf("alice")
	ask := map[string]any{"userIDList": []string{"bob"}}
	c.Do("/v1/getUserStatus", token, ask, nil)

	write(t, file, "database.path = \"other.db\"\n[features]\nuser_status = false\n[limits]\ncustom_status_bytes = 4\n")
	c.Signal(syscall.SIGHUP)
	c.awaitsLog("configuration changed")
	if answer, _ := c.Call(c.Ctx, "/v1/getUserStatus", token, ask); answer.Code != 72001 || answer.Status != 403 {
		t.Errorf("with the switch off, a query was answered %+v", answer)
	}
	if answer, _ := c.Call(c.Ctx, "/v1/setSelfStatus", token, map[string]any{"customStatus": "12345"}); answer.Code != 70402 {
		t.Errorf("setting a status over the new limit was answered %+v", answer)
	}
	if !strings.Contains(c.Log(), "key=database") {
		t.Errorf("the log doesn't say that the database stays the same:\n%s", c.Log())
	}

	write(t, file, "[features]\nuser_status = 3\n")
	c.Signal(syscall.SIGHUP)
	c.awaitsLog("configuration not changed")
	if answer, _ := c.Call(c.Ctx, "/v1/getUserStatus", token, ask); answer.Code != 72001 {
		t.Errorf("an invalid configuration changed something: %+v", answer)
	}
}

// awaitsLog calls the server until its log contains a text.
func (c *child) awaitsLog(text string) {
	c.t.Helper()
	for !strings.Contains(c.Log(), text) {
		c.Do("/livez", "", nil, nil)
	}
}

// TestStartRefused checks that the reason why the server can't start is printed in one
// line, and that the file is left unchanged.
func TestStartRefused(t *testing.T) {
	folder := t.TempDir()
	foreign := filepath.Join(folder, "foreign.db")
	write(t, foreign, strings.Repeat("not a database\n", 100))
	running := newChild(t)
	running.Start()
	for name, test := range map[string]struct{ path, want string }{
		"foreign":     {foreign, "not a presence database"},
		"in use":      {filepath.Join(running.Folder, "presence.db"), "in use by another process"},
		"no folder":   {filepath.Join(folder, "missing", "presence.db"), "no such file or directory"},
		"is a folder": {folder, "is a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newChild(t, "DATABASE__PATH="+test.path)
			if err := c.Launch(); err != nil {
				t.Fatal(err)
			}
			if code := c.Wait(); code != 1 {
				t.Errorf("exit code %d, want 1", code)
			}
			if lines := strings.Split(strings.TrimSpace(c.Log()), "\n"); len(lines) != 1 || !strings.Contains(lines[0], test.want) {
				t.Errorf("it prints\n%s\nwant one line with %q", c.Log(), test.want)
			}
		})
	}
	if text, _ := os.ReadFile(foreign); !strings.HasPrefix(string(text), "not a database\n") {
		t.Error("the foreign file was changed")
	}
}

// TestSecretFile checks that without a secret one is created, and that the next start
// reads it.
func TestSecretFile(t *testing.T) {
	c := newChild(t, "AUTH__SECRET=")
	c.Start()
	token := c.TokenOf("alice")
	file, err := os.Stat(filepath.Join(c.Folder, "presence.db.secret"))
	if err != nil || file.Mode().Perm() != 0o600 {
		t.Errorf("the secret's file: %v %v", file, err)
	}
	c.Kill()
	c.Start()
	c.Do("/v1/setSelfStatus", token, map[string]any{"customStatus": "still me"}, nil)
	if strings.Contains(c.Log(), server.AdminKey) || strings.Contains(c.Log(), token) {
		t.Error("the log contains secrets")
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
