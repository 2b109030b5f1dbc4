package main

import (
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

const mistyped = "geheim-geheim-geheim"

// configOf returns the configuration from a file with this text and from the
// environment.
func configOf(t *testing.T, text string, variables ...string) (config, error) {
	t.Helper()
	t.Chdir(t.TempDir())
	write(t, "presence.toml", text)
	for _, v := range variables {
		if name, value, given := strings.Cut(v, "="); given {
			t.Setenv(name, value)
		}
	}
	return flags{}.config()
}

// TestAMistypedKeyShowsNoSecret checks this because the value of an unknown key may be
// a secret, and so may a line that isn't TOML.
func TestAMistypedKeyShowsNoSecret(t *testing.T) {
	for _, c := range []struct {
		text, variable string
		want           string
	}{
		{"", "PRESENCE_AUTH_ADMIN_KEY=" + mistyped, "PRESENCE_AUTH_ADMIN_KEY: there is no such key; write PRESENCE_AUTH__ADMIN_KEY"},
		{"", "PRESENCE_ADMIN_KEY=" + mistyped, "PRESENCE_ADMIN_KEY: there is no such key"},
		{"", "PRESENCE_Auth__Secrets=" + mistyped, "PRESENCE_Auth__Secrets: there is no such key"},
		{"[auth]\nsecrets = '" + mistyped + "'", "", "auth.secrets: there is no such key"},
		{"auth = '" + mistyped + "'", "", "auth: there is no such key"},
		{"[auth.secret]\nkey = '" + mistyped + "'", "", "auth.secret.key: there is no such key"},
		{"[auth]\nsecret = ['" + mistyped + "']", "", "auth.secret = …: must be a string"},
		{"[auth]\nadmin_key = ' " + mistyped + "'", "", "auth.admin_key = …: must not begin or end with white space"},
		{"", "PRESENCE_AUTH__SECRET=" + mistyped + "\n", "PRESENCE_AUTH__SECRET = …: must not begin or end with white space"},
		{"[auth]\nsecret = " + mistyped, "", "line 2"},
		{"[auth]\nsecret = '" + mistyped, "", "line 2"},
		{"[auth]\nsecret = '" + mistyped + "' '" + mistyped + "'", "", "line 2"},
		{"[auth]\nsecret = 99999999999999999999geheim", "", "line 2"},
		{"[auth]\nsecret = 99999999999999999999123456", "", "is not TOML"},
		{"[auth]\nsecret = 'x'\nsecret = '" + mistyped + "'", "", "is not TOML"},
		{"cors.origins = ['https://a:" + mistyped + "@b.example']", "", "cors.origins = …: an origin has no user"},
		{"", "PRESENCE_AUTH__SDK_APP_ID=" + mistyped, "PRESENCE_AUTH__SDK_APP_ID = …: must be a whole number"},
		{mistyped, "", "is not TOML"},
		{"'" + mistyped, "", "is not TOML"},
	} {
		t.Run(c.text+c.variable, func(t *testing.T) {
			_, err := configOf(t, c.text, c.variable)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if err != nil && (strings.Contains(err.Error(), "geheim") || strings.Contains(err.Error(), "99999")) {
				t.Errorf("a secret is shown: %v", err)
			}
		})
	}
}

// TestAReloadShowsNoSecret checks that the log of a reload contains no value of an
// unknown key.
func TestAReloadShowsNoSecret(t *testing.T) {
	c := newChild(t)
	file := filepath.Join(c.Folder, "presence.toml")
	write(t, file, "")
	c.Start()
	write(t, file, "[auth]\nadmin_keys = '"+mistyped+"'\n")
	c.Signal(syscall.SIGHUP)
	c.awaitsLog("auth.admin_keys: there is no such key")
	if strings.Contains(c.Log(), mistyped) {
		t.Errorf("a secret is shown:\n%s", c.Log())
	}
}

// TestTablesMayBeEmpty checks this because all keys of a file may be commented out. An
// unknown table is still an error, and so is a table in the place of a key.
func TestTablesMayBeEmpty(t *testing.T) {
	for _, text := range []string{"[limits]", "[auth]\n# secret = 'x'\n[features]\n[cors]\n[log]\nlevel = 'info'", "timing = {}"} {
		if _, err := configOf(t, text); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	for text, want := range map[string]string{
		"[limit]":       "limit: there is no such key",
		"[auth.secret]": "auth.secret = …: must be a string",
		"[auth.keys]":   "auth.keys: there is no such key",
		"[[limits]]":    "limits: there is no such key",
	} {
		if _, err := configOf(t, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

// TestVariablesOfServicesAreIgnored checks this because Kubernetes and Docker create
// such variables in every container near a service called presence.
func TestVariablesOfServicesAreIgnored(t *testing.T) {
	_, err := configOf(t, "",
		"PRESENCE_SERVICE_HOST=10.0.0.1", "PRESENCE_SERVICE_PORT=8080", "PRESENCE_SERVICE_PORT_HTTP=8080",
		"PRESENCE_PORT=tcp://10.0.0.1:8080", "PRESENCE_PORT_8080_TCP=tcp://10.0.0.1:8080",
		"PRESENCE_PORT_8080_TCP_PROTO=tcp", "PRESENCE_PORT_8080_TCP_PORT=8080", "PRESENCE_PORT_8080_TCP_ADDR=10.0.0.1",
		"PRESENCE_PORT_53_UDP_ADDR=10.0.0.1", "PRESENCE_PORT_9_SCTP=sctp://10.0.0.1:9",
		"PRESENCE_NAME=/web/presence", "PRESENCE_ENV_PATH=/bin", "PRESENCE_ENV_lower=x", "PRESENCE_ENV_A__B=x",
		"PRESENCE_OPS_SERVICE_HOST=10.0.0.2", "PRESENCE_OPS_PORT=tcp://10.0.0.2:9090", "PRESENCE_OPS_PORT_9090_TCP_ADDR=10.0.0.2",
		"PRESENCE_DB_2_NAME=/web/db", "PRESENCE_DB_2_ENV_USER=x",
	)
	if err != nil {
		t.Error(err)
	}
	for _, name := range []string{
		"PRESENCE_PORTS", "PRESENCE_SERVICE", "PRESENCE_LISTENS", "PRESENCE_PORT_HTTP", "PRESENCE_NAMES", "PRESENCE_ENV",
		"PRESENCE_PORT", "PRESENCE_WEB_PORT", "PRESENCE_LIMITS__NAME",
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := configOf(t, "", name+"=x"); err == nil || !strings.Contains(err.Error(), name+": there is no such key") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestOriginsAreCanonical checks this because an origin that no browser sends could
// never match.
func TestOriginsAreCanonical(t *testing.T) {
	c, err := configOf(t, `cors.origins = ["capacitor://localhost", "tauri://localhost", "app://chat", "https://Chat.Example.com:443", "https://bücher.example", "https://*.example.com"]`)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"capacitor://localhost", "tauri://localhost", "app://chat", "https://chat.example.com", "https://xn--bcher-kva.example", "https://*.example.com"}
	if !slices.Equal(c.CORS.Origins, want) {
		t.Errorf("got %q, want %q", c.CORS.Origins, want)
	}
	if _, err := configOf(t, `cors.origins = ["null"]`); err == nil || !strings.Contains(err.Error(), `cors.origins = "null": browsers send null for every page without an origin`) {
		t.Errorf("got %v", err)
	}
}

// TestTextOfOtherEditors checks that a byte order mark and the line ends of Windows
// are accepted, and that UTF-16 is reported.
func TestTextOfOtherEditors(t *testing.T) {
	c, err := configOf(t, "\xef\xbb\xbflisten = ':1'\r\n[log]\r\nlevel = 'debug'\r\n")
	if err != nil || !slices.Equal(c.Listen, []string{":1"}) || c.Log.Level != "debug" {
		t.Errorf("got %q, %q, %v", c.Listen, c.Log.Level, err)
	}
	if _, err := configOf(t, "[auth]\n# secret = ''\n[cors]\n"); err != nil {
		t.Errorf("tables in which every key is a comment: %v", err)
	}
	for _, text := range []string{"\xff\xfel\x00", "\xfe\xff\x00l", "l\x00i\x00"} {
		if _, err := configOf(t, text); err == nil || !strings.Contains(err.Error(), "presence.toml is in UTF-16: save it in UTF-8") {
			t.Errorf("got %v", err)
		}
	}
}

// TestCommandsNeedOnlyWhatTheyUse checks that an error in another key is only a
// warning.
func TestCommandsNeedOnlyWhatTheyUse(t *testing.T) {
	c := newChild(t)
	c.Start()
	write(t, filepath.Join(c.Folder, "presence.toml"), `
		limts = 4
		[tls]
		cert = "half-renewed.pem"
		[limits]
		friends = -1`)
	for _, args := range [][]string{{"token", "alice"}, {"backup", "backup.db"}} {
		out, complaint := c.calls(0, args...)
		if out == "" {
			t.Errorf("%v prints nothing", args)
		}
		c.mentions(complaint, "warning: limts: there is no such key", "warning: tls.cert", "warning: limits.friends = -1")
	}
	_, complaint := c.calls(1, "check")
	c.mentions(complaint, "limts: there is no such key", "limits.friends = -1")

	c.Env = append(c.Env, "DATABASE__PATH=", "AUTH__SECRET=short")
	_, complaint = c.calls(1, "backup", "another.db")
	c.mentions(complaint, `PRESENCE_DATABASE__PATH = "": must not be empty`)
	_, complaint = c.calls(1, "token", "alice")
	c.mentions(complaint, "PRESENCE_AUTH__SECRET = …: must have at least 16 bytes")
	if strings.Contains(complaint, "short") {
		t.Errorf("a secret is shown: %s", complaint)
	}
}
