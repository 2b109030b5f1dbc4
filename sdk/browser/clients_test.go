package browser_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	child "github.com/presence-server/presence/deploy/testserver"
)

// lineEnds are the characters that some client treats as the end of a line.
const lineEnds = "\u0085\u2028\u2029\n\r\v\f\x1c\x1d\x1e"

// received is one report of a client.
type received struct {
	Event, Data, ID string // the type and data of an event
	Failed          string // the connection failed or ended, and the client opens another one
	Ended           string // the reason why the client gave up
}

// client is a sequence of connections, opened by a program or library of another
// project.
type client struct {
	t       *testing.T
	ctx     context.Context // ends when the test has waited for too long
	reports <-chan received
	cursor  string
}

// kind is a kind of client that is tested.
type kind struct {
	name    string
	start   func(*testing.T, visit) <-chan received // opens a stream
	modules string                                  // the npm package that it needs

	// broken is how a client gives up when a connection breaks. Other clients
	// reconnect.
	broken string
}

var kinds = []kind{
	{name: "r3labs", start: startR3labs},
	{name: "eventsource2", start: startNode, modules: "eventsource2"},
	{name: "eventsource4", start: startNode, modules: "eventsource4"},
	{name: "undici", start: startNode, modules: "undici"},
	{name: "EventSource in Chromium", start: startChromium},
	{name: "event-source-polyfill in Chromium", start: startChromium, modules: "event-source-polyfill"},
	{name: "fetch-event-source in Chromium", start: startChromium, modules: "@microsoft/fetch-event-source"},
	{name: "EventSource in Firefox", start: startFirefox},
	{name: "lines.py", start: startPython},
	{name: "curl", start: startCurl, broken: "curl: exit status 18"},
}

// TestOtherClients checks that each client receives a large snapshot, each change,
// what changed while the server was killed or restarted, and KICKED_OUT, and that a
// client that was logged out or kicked doesn't come back.
func TestOtherClients(t *testing.T) {
	seed := seedSnapshot(t)
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			k.isInstalled(t)
			site := newSite(t)
			s := startSeeded(t, seed, site)
			alice := s.open(t, k, site, "0")
			alice.ready()
			alice.snapshot()
			s.Set("bob", lineEnds+"a change")
			alice.sees(lineEnds + "a change")

			s.Kill()
			alice = s.comesBack(alice, k, site, "killed")
			s.stop()
			alice = s.comesBack(alice, k, site, "restarted")

			s.Do("/v1/logout", s.TokenOf("alice"), map[string]any{}, nil)
			alice.isOut(s, "logout")
			alice = s.open(t, k, site, "")
			alice.ready()
			s.Admin("kick", map[string]any{"userID": "alice"}, nil)
			alice.isOut(s, "REST_API_Kick")
		})
	}
}

// isInstalled skips the test if an npm package is missing.
func (k kind) isInstalled(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(filepath.Join("..", "node_modules", k.modules)); err != nil && k.modules != "" {
		child.Missing(t, "%s is not installed: run npm install in sdk/", k.modules)
	}
}

// comesBack starts the server again after a change that was made while it was down.
func (s *server) comesBack(alice *client, k kind, site *site, why string) *client {
	s.t.Helper()
	s.meanwhile(lineEnds + why)
	s.Start()
	if k.broken != "" {
		if reason := alice.ends(); reason != k.broken {
			s.t.Errorf("when the server is %s, the client gives up with %q, want %q", why, reason, k.broken)
		}
		alice = s.open(s.t, k, site, alice.cursor)
	}
	alice.ready()
	alice.sees(lineEnds + why)
	s.Set("bob", "after it was "+why)
	alice.sees("after it was " + why)
	return alice
}

const friends = 3000

// friend returns the ID and the text of a friend of alice's.
func friend(i int) (userID, text string) {
	text = fmt.Sprintf("%s%d ", lineEnds, i)
	return fmt.Sprint("friend", i), text + strings.Repeat("x", 256-len(text))
}

// seedSnapshot returns the name of a backup in which alice has the maximum number of
// friends, one of whom is bob.
func seedSnapshot(t *testing.T) string {
	t.Helper()
	s := startServer(t, false, "TIMING__CUSTOM_STATUS_TTL=24h")
	s.Befriend("alice", "bob")
	var group sync.WaitGroup
	for first := 1; first < friends; first += 500 {
		group.Go(func() { s.seedFriends(first, min(first+500, friends)) })
	}
	group.Wait()
	backup := filepath.Join(t.TempDir(), "backup.db")
	if out, err := s.Command("backup", backup).CombinedOutput(); err != nil {
		t.Fatalf("backup: %v\n%s", err, out)
	}
	s.Kill()
	return backup
}

func (s *server) seedFriends(first, end int) {
	var ids []string
	for i := first; i < end; i++ {
		userID, _ := friend(i)
		ids = append(ids, userID)
	}
	s.try("importUsers", map[string]any{"userIDList": ids})
	s.try("addFriends", map[string]any{"userID": "alice", "friendIDList": ids, "mutual": false})
	for i := first; i < end; i++ {
		userID, text := friend(i)
		s.try("setUserStatus", map[string]any{"userID": userID, "customStatus": text})
	}
}

// try is admin for goroutines other than the test's.
func (s *server) try(path string, body any) {
	if err := s.Must(s.Ctx, "/v1/admin/"+path, child.AdminKey, body, nil); err != nil {
		s.t.Error(err)
	}
}

// startSeeded starts a server of its own for a client, on the database of
// seedSnapshot.
func startSeeded(t *testing.T, backup string, site *site) *server {
	t.Helper()
	s := newServer(t, "TIMING__CUSTOM_STATUS_TTL=24h", "CORS__ORIGINS="+site.URL)
	if out, err := s.Command("restore", backup).CombinedOutput(); err != nil {
		t.Fatalf("restore: %v\n%s", err, out)
	}
	s.Start()
	return s
}

// open starts a client of alice's. It sends no deviceID, so it resumes by its cursor
// alone.
func (s *server) open(t *testing.T, k kind, site *site, cursor string) *client {
	t.Helper()
	target := s.URL + "/v1/events?platform=web"
	if cursor != "" {
		target += "&lastEventId=" + cursor
	}
	return &client{t: t, ctx: withPatience(t, t.Context()), reports: k.start(t, visit{k.name, target, s.TokenOf("alice"), site})}
}

// stop stops the server as a restart does.
func (s *server) stop() {
	s.t.Helper()
	s.Signal(syscall.SIGTERM)
	if code := s.Wait(); code != 0 {
		s.t.Fatalf("exit code %d\n%s", code, s.Log())
	}
}

// meanwhile sets bob's status while the server is down for the clients: another
// process serves the same database at another address for that time.
func (s *server) meanwhile(text string) {
	s.t.Helper()
	other := newServerIn(s.t, s.Folder, s.Env...)
	other.Start()
	defer other.Kill()
	other.Set("bob", text)
}

// next returns the next report. A client that gives up ends the test.
func (c *client) next() received {
	c.t.Helper()
	select {
	case r, ok := <-c.reports:
		if !ok || r.Ended != "" {
			c.t.Fatalf("the client gave up: %s", r.Ended)
		}
		c.cursor = cmp.Or(r.ID, c.cursor)
		if r.Event == "KEEPALIVE" {
			return c.next()
		}
		return r
	case <-c.ctx.Done():
		c.t.Fatal("the client reports nothing more")
		return received{}
	}
}

// ready waits until a connection is open.
func (c *client) ready() {
	c.t.Helper()
	for c.next().Event != "READY" {
	}
}

// statuses waits for the next list. A connection that fails ends the test.
func (c *client) statuses() (all []child.Status) {
	c.t.Helper()
	r := c.next()
	all, err := child.Event{Type: r.Event, Data: r.Data}.Statuses()
	if err != nil || r.Event != "USER_STATUS_UPDATED" {
		c.t.Fatalf("want a list of statuses, got %.300q %v", r, err)
	}
	if len(all) > 1 && len(r.Data) > 33<<10 {
		c.t.Errorf("a list of %d statuses has %d bytes, want parts of about 32 KiB", len(all), len(r.Data))
	}
	return all
}

// snapshot waits for all friends.
func (c *client) snapshot() {
	c.t.Helper()
	texts := make(map[string]string)
	for len(texts) < friends {
		for _, status := range c.statuses() {
			if status.UserID != "alice" {
				texts[status.UserID] = status.CustomStatus
			}
		}
	}
	for i := 1; i < friends; i++ {
		if userID, text := friend(i); texts[userID] != text {
			c.t.Fatalf("%s has the text %q, want %q", userID, texts[userID], text)
		}
	}
}

// sees waits for bob's status with this text. Only few other statuses may arrive with
// it, because the client must send its cursor.
func (c *client) sees(text string) {
	c.t.Helper()
	for others := 0; others < 10; {
		all := c.statuses()
		others += len(all)
		for _, status := range all {
			if status.UserID == "bob" && status.CustomStatus == text && others <= 10 {
				return
			}
		}
	}
	c.t.Fatalf("bob's %q doesn't arrive, or many other statuses do", text)
}

// ends waits until the client gives up.
func (c *client) ends() (reason string) {
	c.t.Helper()
	for {
		select {
		case r := <-c.reports:
			if r.Ended != "" {
				return r.Ended
			}
			if r.Event == "READY" {
				c.t.Fatal("the client came back")
			}
		case <-c.ctx.Done():
			c.t.Fatal("the client doesn't give up")
		}
	}
}

// isOut checks that KICKED_OUT of this type arrives, that the client then gives up,
// and that alice is not ONLINE.
func (c *client) isOut(s *server, why string) {
	c.t.Helper()
	var kicked struct{ Type string }
	if r := c.next(); r.Event != "KICKED_OUT" || json.Unmarshal([]byte(r.Data), &kicked) != nil || kicked.Type != why {
		c.t.Fatalf("want KICKED_OUT of type %s, got %.300q", why, r)
	}
	c.ends()
	if devices := s.devices("alice"); len(devices) != 0 {
		c.t.Errorf("after %s, alice has the devices %v", why, devices)
	}
}
