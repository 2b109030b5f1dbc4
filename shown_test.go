package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/knadh/koanf/parsers/toml/v2"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"
	server "github.com/presence-server/presence/deploy/testserver"
)

// shownKeys returns what the server shows of its configuration, by key.
func (c *child) shownKeys() *koanf.Koanf {
	c.t.Helper()
	var data json.RawMessage
	c.Admin("config", nil, &data)
	for _, secret := range []string{server.AdminKey, server.Secret} {
		if strings.Contains(string(data), secret) {
			c.t.Errorf("a secret is shown: %s", data)
		}
	}
	var tables map[string]any
	k := koanf.New(".")
	if err := json.Unmarshal(data, &tables); err != nil {
		c.t.Fatal(err)
	}
	for name, table := range tables {
		if err := k.Set(name, table); err != nil {
			c.t.Fatal(err)
		}
	}
	return k
}

// TestTheConfigurationInForceIsShown checks that every key of presence.toml is shown,
// that no secret is, and that after SIGHUP only the values that have taken effect are
// new.
func TestTheConfigurationInForceIsShown(t *testing.T) {
	c := newChild(t, "CORS__ORIGINS=https://a.example")
	file := filepath.Join(c.Folder, "presence.toml")
	write(t, file, "[timing]\nkeepalive = \"20s\"\n")
	c.Start()
	defaults := koanf.New(".")
	if err := defaults.Load(rawbytes.Provider(sample), toml.Parser()); err != nil {
		t.Fatal(err)
	}
	shown := c.shownKeys()
	if got, want := fmt.Sprint(shown.Keys()), fmt.Sprint(defaults.Keys()); got != want {
		t.Errorf("the keys are %s, want those of presence.toml: %s", got, want)
	}
	check := func(want map[string]string) {
		t.Helper()
		shown := c.shownKeys()
		for key, value := range want {
			if got := fmt.Sprint(shown.Get(key)); got != value {
				t.Errorf("%s is shown as %s, want %s", key, got, value)
			}
		}
	}
	check(map[string]string{"auth.admin_key": "…", "auth.secret": "…", "auth.sdk_app_id": "0", "tls.key": "", "limits.friends": "3000",
		"timing.keepalive": "20s", "features.user_status": "true", "cors.origins": "[https://a.example]", "database.path": "presence.db"})

	write(t, file, "database.path = \"other.db\"\n[timing]\nkeepalive = \"25s\"\n[features]\nuser_status = false\n[log]\nlevel = \"debug\"\n")
	c.Signal(syscall.SIGHUP)
	c.awaitsLog("configuration changed")
	check(map[string]string{"timing.keepalive": "25s", "features.user_status": "false", "log.level": "debug", "database.path": "presence.db",
		"auth.secret": "…", "cors.origins": "[https://a.example]"})
	write(t, file, "[timing]\nkeepalive = \"never\"\n")
	c.Signal(syscall.SIGHUP)
	c.awaitsLog("configuration not changed")
	check(map[string]string{"timing.keepalive": "25s"})
}

// TestTheConfigurationOfDevIsShown checks that the database and key shown are not
// those of the file.
func TestTheConfigurationOfDevIsShown(t *testing.T) {
	t.Chdir(t.TempDir())
	c, err := flags{dev: true}.config()
	if err != nil {
		t.Fatal(err)
	}
	if before := c.shown.keys.Load(); before.Get("auth.admin_key") != "" || before.Get("auth.secret") != "" {
		t.Errorf("without a secret, shown is %v", before.Get("auth"))
	}
	_, remove, err := c.prepareDev(true)
	if err != nil {
		t.Fatal(err)
	}
	defer remove()
	if now := c.shown.keys.Load(); now.Get("auth.admin_key") != hidden || now.Get("database.path") != c.Database.Path {
		t.Errorf("shown are %v and %v", now.Get("auth"), now.Get("database"))
	}
}

func TestURLsAreShownWithoutUserAndQuery(t *testing.T) {
	for text, want := range map[string]string{
		"https://hooks.example/a%2Fb/c":                         "https://hooks.example/a%2Fb/c",
		"https://user:password@hooks.example:8443/in?token=x#y": "https://hooks.example:8443/in",
		"https://token@hooks.example/a%2Fb":                     "https://hooks.example/a%2Fb",
		"https://token@hooks.example":                           "https://hooks.example",
		"postgres://presence:password@[::1]:5432/db?sslmode=x":  "postgres://[::1]:5432/db",
		"http://hooks.example?":                                 "http://hooks.example",
		"https://hooks.example/#token":                          "https://hooks.example/",
		"https://user:%zz@hooks.example/":                       hidden,
		"https://*.example.com":                                 "https://*.example.com",
		"capacitor://localhost":                                 "capacitor://localhost",
		"*":                                                     "*", "": "", ":8080": ":8080", "unix:/run/x?y": "unix:/run/x?y",
	} {
		if got := visible("some.urls", []any{text}); fmt.Sprint(got) != "["+want+"]" {
			t.Errorf("%s is shown as %v, want %s", text, got, want)
		}
		if got := visible("some.url", text); got != want {
			t.Errorf("%s is shown as %v, want %s", text, got, want)
		}
	}
	for key, value := range map[string]any{"limits.streams": int64(7), "features.user_status": false} {
		if got := visible(key, value); got != value {
			t.Errorf("%s is shown as %v, want %v", key, got, value)
		}
	}
}
