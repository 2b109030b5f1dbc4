package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	server "github.com/presence-server/presence/deploy/testserver"
	"github.com/presence-server/presence/httpapi"
)

// TestReadmeChangesAKey follows "Change a key" in deploy/README.md, and checks its table.
func TestReadmeChangesAKey(t *testing.T) {
	const (
		oldSecret, newSecret = "the secret that was used before", "a new secret of the test"
		oldKey, newKey       = "the admin key that was used before", "a new admin key of the test"
	)
	c := newChild(t, "AUTH__SECRET=", "AUTH__ADMIN_KEY=")
	for name, key := range map[string]string{"secret": oldSecret, "secret-2": newSecret, "admin-key": oldKey, "admin-key-2": newKey} {
		write(t, filepath.Join(c.Folder, name), key+"\n")
	}
	steps := stepsOfChangingAKey(t, c.Folder)
	write(t, filepath.Join(c.Folder, "presence.toml"), steps[0])
	c.Start()
	oldToken, newToken := sign(t, oldSecret, "alice"), sign(t, newSecret, "alice")
	codes := func(want ...int) {
		t.Helper()
		var got []int
		for _, call := range [][2]string{{"friends", oldToken}, {"friends", newToken}, {"admin/stats", oldKey}, {"admin/stats", newKey}} {
			answer, err := c.Call(c.Ctx, "/v1/"+call[0], call[1], nil)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, answer.Code)
		}
		if !slices.Equal(got, want) {
			t.Errorf("the codes are %v, want %v", got, want)
		}
	}
	codes(0, 70003, 0, 70403)
	oldStream, oldFeed := c.open("/v1/events", oldToken), c.open("/v1/admin/events", oldKey)
	oldStream.next("READY")
	oldFeed.next("READY")

	c.reconfigure(steps[1])
	codes(0, 0, 0, 0)
	issued, err := c.Command("token", "alice").Output()
	if err != nil {
		t.Fatal(err)
	}
	newStream := c.open("/v1/events?deviceID=new", newToken)
	newStream.next("READY")
	c.Do("/v1/setSelfStatus", oldToken, map[string]any{"customStatus": "both"}, nil)
	oldStream.next("both")
	newStream.next("both")
	oldFeed.next("both")

	c.reconfigure(steps[2])
	codes(70003, 0, 70403, 0)
	oldStream.next("userSigExpired")
	oldStream.ends()
	oldFeed.ends()
	c.Do("/v1/setSelfStatus", strings.TrimSpace(string(issued)), map[string]any{"customStatus": "new"}, nil)
	newStream.next("new")
}

// stepsOfChangingAKey returns the configurations of the README before, during and
// after the change, with the files in folder.
func stepsOfChangingAKey(t *testing.T, folder string) (steps []string) {
	readme, err := os.ReadFile("deploy/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(readme), "### Change a key")
	section, _, _ = strings.Cut(section, "\n## ")
	for _, block := range regexp.MustCompile("(?s)```toml\n(.*?)```").FindAllStringSubmatch(section, -1) {
		steps = append(steps, strings.ReplaceAll(block[1], "/etc/presence", folder))
	}
	if len(steps) != 3 {
		t.Fatalf("the section has %d configurations", len(steps))
	}
	return steps
}

// sign returns a token that a backend signs with a secret.
func sign(t *testing.T, secret, userID string) string {
	t.Helper()
	token, _, err := (&httpapi.Tokens{Secret: []byte(secret)}).Issue(userID, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// reconfigure replaces presence.toml, sends SIGHUP, and waits until the server has read it.
func (c *child) reconfigure(text string) {
	c.t.Helper()
	write(c.t, filepath.Join(c.Folder, "presence.toml"), text)
	before := strings.Count(c.Log(), "configuration changed")
	c.Signal(syscall.SIGHUP)
	for strings.Count(c.Log(), "configuration changed") == before {
		c.Do("/livez", "", nil, nil)
	}
}

// openStream is an event stream or a feed.
type openStream struct {
	t      *testing.T
	events *server.Stream
}

func (c *child) open(path, token string) openStream {
	c.t.Helper()
	request, err := http.NewRequestWithContext(c.Ctx, http.MethodGet, c.URL+path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	if err != nil || response.StatusCode != http.StatusOK {
		c.t.Fatalf("%s: %v, %v", path, response, err)
	}
	c.t.Cleanup(func() { response.Body.Close() })
	return openStream{c.t, server.Read(response.Body)}
}

// next waits for an event that contains a text.
func (s openStream) next(text string) {
	s.t.Helper()
	for {
		event, err := s.events.Next()
		if err != nil {
			s.t.Fatalf("waiting for %s: %v", text, err)
		}
		if strings.Contains(event.Raw, text) {
			return
		}
	}
}

// ends waits for the end of the stream.
func (s openStream) ends() {
	s.t.Helper()
	for {
		if _, err := s.events.Next(); err == io.EOF {
			return
		} else if err != nil {
			s.t.Fatal(err)
		}
	}
}

// TestKeyMistakes checks that each mistake is named, and that no key is shown.
func TestKeyMistakes(t *testing.T) {
	t.Chdir(t.TempDir())
	const key = "a key that must not be shown"
	if err := os.Mkdir("keys", 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, "empty", " \n")
	write(t, "good", key+"\n")
	write(t, "presence.toml", `[auth]
secret = "`+key+`"
secret_file = "./good"
previous_secrets = ["`+key+`", "short"]
admin_key_file = "./empty"
previous_admin_keys = [" `+key+`"]
`)
	_, err := flags{}.config()
	want := `the configuration has errors:
  auth.admin_key_file = "./empty": what is in the file must have at least 16 bytes
  auth.previous_admin_keys = …: of each key: must not begin or end with white space, which no client sends
  auth.previous_secrets = …: of each key: must have at least 16 bytes
  auth.secret_file = "./good": excludes auth.secret`
	if err == nil || !sameLines(err.Error(), want) {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	write(t, "presence.toml", "[auth]\nsecret_file = \"keys/missing\"\nadmin_key_file = \""+key+"\"\n")
	want = `the configuration has errors:
  auth.admin_key_file = …: can't be read: no such file or directory
  auth.secret_file = "keys/missing": can't be read: no such file or directory`
	if _, err = (flags{}).config(); err == nil || !sameLines(err.Error(), want) {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	write(t, "presence.toml", "[auth]\nsecret_file = \"./good\"\n")
	if c, err := (flags{}).config(); err != nil || c.Auth.Secret != key || c.secretPlace() != "./good" {
		t.Errorf("a secret in a file is %q, in %s, %v", c.Auth.Secret, c.secretPlace(), err)
	}
}

func sameLines(got, want string) bool {
	x, y := strings.Split(got, "\n"), strings.Split(want, "\n")
	slices.Sort(x)
	slices.Sort(y)
	return slices.Equal(x, y)
}

// TestAKeyInPlaceOfAFileIsNotShown checks this because base64, and so a key, contains
// slashes like a path.
func TestAKeyInPlaceOfAFileIsNotShown(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, key := range []string{
		"q83vEjRWeJ/q83vEjRWeJq83vEjRWeJq83vEjRWeJqo=", "/83vEjRWeJq83vEjRWeJq83vEjRWeJq83vEjRWeJqo=", "0123456789abcdef0123456789abcdef",
	} {
		_, err := configOf(t, "[auth]\nadmin_key_file = '"+key+"'\n")
		if err == nil || !strings.Contains(err.Error(), "auth.admin_key_file = …: can't be read") {
			t.Errorf("a key is shown: %v", err)
		}
	}
}

// TestAKeyFileIsReadAgain checks that SIGHUP re-reads key files and origins. A
// configuration with errors changes neither, and all its errors are logged.
func TestAKeyFileIsReadAgain(t *testing.T) {
	const before, after = "the first secret of the test", "the second secret of the test"
	c := newChild(t, "AUTH__SECRET=")
	keyFile := filepath.Join(c.Folder, "secret")
	write(t, keyFile, before)
	write(t, filepath.Join(c.Folder, "presence.toml"), "auth.secret_file = './secret'\n")
	c.Start()
	token := sign(t, before, "alice")
	stream := c.open("/v1/events", token)
	stream.next("READY")

	write(t, keyFile, " \n")
	write(t, filepath.Join(c.Folder, "presence.toml"), "auth.secret_file = './secret'\ncors.origins = ['nonsense']\n")
	c.Signal(syscall.SIGHUP)
	c.awaitsLog("configuration not changed")
	for _, key := range []string{"auth.secret_file", "cors.origins"} {
		if !strings.Contains(c.Log(), key+" = ") {
			t.Errorf("the error of %s is not logged:\n%s", key, c.Log())
		}
	}
	c.Do("/v1/setSelfStatus", token, map[string]any{"customStatus": "still here"}, nil)
	stream.next("still here")

	const origin = "https://chat.example.com"
	write(t, keyFile, after)
	c.reconfigure("auth.secret_file = './secret'\ncors.origins = ['" + origin + "']\n")
	stream.next("userSigExpired")
	stream.ends()
	c.Do("/v1/friends", sign(t, after, "alice"), nil, nil)
	if got := c.allows(origin); got != origin {
		t.Errorf("a new origin is allowed as %q", got)
	}
}

// allows returns the origin that the server allows to a page of a given origin.
func (c *child) allows(origin string) string {
	c.t.Helper()
	request, err := http.NewRequestWithContext(c.Ctx, http.MethodGet, c.URL+"/livez", nil)
	if err != nil {
		c.t.Fatal(err)
	}
	request.Header.Set("Origin", origin)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		c.t.Fatal(err)
	}
	response.Body.Close()
	return response.Header.Get("Access-Control-Allow-Origin")
}
