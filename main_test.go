package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	server "github.com/presence-server/presence/deploy/testserver"
)

// patience bounds a whole test; every wait inside is for the event itself.
const patience = time.Minute

var binary = sync.OnceValues(func() (string, error) {
	folder, err := os.MkdirTemp("", "presence-main-")
	if err != nil {
		return "", err
	}
	return server.Build(folder)
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := binary(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// child is the built program in a test.
type child struct {
	*server.Server
	t   *testing.T
	ctx context.Context
}

// newChild makes one that isn't started yet.
func newChild(t *testing.T, env ...string) *child {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	s, err := server.New(path, t.TempDir(), env...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	t.Cleanup(s.Kill)
	return &child{s, t, ctx}
}

func (c *child) start() {
	c.t.Helper()
	if err := c.Start(); err != nil {
		c.t.Fatal(err)
	}
}

func (c *child) token(userID string) string {
	c.t.Helper()
	token, err := c.Token(c.ctx, userID, 3600)
	if err != nil {
		c.t.Fatal(err)
	}
	return token
}

// call makes a call that must succeed.
func (c *child) call(path, token string, body, data any) {
	c.t.Helper()
	if err := c.Must(c.ctx, path, token, body, data); err != nil {
		c.t.Fatal(err)
	}
}

func (c *child) admin(path string, body, data any) {
	c.t.Helper()
	c.call("/v1/admin/"+path, server.AdminKey, body, data)
}

func (c *child) set(userID, text string) {
	c.t.Helper()
	c.admin("setUserStatus", map[string]any{"userID": userID, "customStatus": text}, nil)
}

// status returns a user's status as "1 In a call".
func (c *child) status(userID string) string {
	c.t.Helper()
	var data struct{ SuccessUserList []server.Status }
	c.admin("getUserStatus", map[string]any{"userIDList": []string{userID}}, &data)
	if len(data.SuccessUserList) != 1 {
		c.t.Fatalf("%s is not known", userID)
	}
	return told(data.SuccessUserList[0])
}

func told(s server.Status) string {
	return strings.TrimSpace(fmt.Sprint(s.StatusType, " ", s.CustomStatus))
}

// follow opens a stream of the user's device "d", and returns it after READY.
func (c *child) follow(userID, lastEventID string) *server.Stream {
	c.t.Helper()
	stream, err := c.Follow(c.ctx, c.token(userID), "deviceID=d", lastEventID)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(stream.Close)
	if e := c.next(stream); e.Type != "READY" {
		c.t.Fatalf("the first event is %v, not READY", e)
	}
	return stream
}

func (c *child) next(stream *server.Stream) server.Event {
	c.t.Helper()
	e, err := stream.Next()
	if err != nil {
		c.t.Fatalf("the stream ended: %v\n%s", err, c.Log())
	}
	return e
}

// awaits reads until a status comes, and returns all that the user had on the
// way there.
func (c *child) awaits(stream *server.Stream, userID, status string) (seen []string) {
	c.t.Helper()
	for {
		statuses, err := c.next(stream).Statuses()
		if err != nil {
			c.t.Fatal(err)
		}
		for _, s := range statuses {
			if s.UserID != userID {
				continue
			}
			if seen = append(seen, told(s)); told(s) == status {
				return seen
			}
		}
	}
}

// TestReadme does what the README says, word for word, on a free port.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	c := newChild(t)
	c.Flags = []string{"-dev"}
	c.start()
	readme := strings.ReplaceAll(string(text), "localhost:8080", strings.TrimPrefix(c.URL, "http://"))
	shell := blocks(readme, "sh")
	shown := blocks(readme, "text")[1:] // behind the picture
	if len(shell) != 6 || len(shown) != 2 {
		t.Fatalf("the README has %d blocks of shell and %d of output: this test knows 6 and 2", len(shell), len(shown))
	}
	everyTerminal := "export ADMIN_KEY='" + server.AdminKey + "'\n" + shell[0]

	bob, bobEnds := c.terminal(everyTerminal + shell[1])
	bob.awaits(t, "event: READY")
	dave, _ := c.terminal(everyTerminal + shell[2])
	dave.awaits(t, "event: READY")
	third, thirdEnds := c.terminal(everyTerminal + shell[3])
	<-thirdEnds
	cleared := `"userID":"alice","statusType":3,"customStatus":"","version"`
	dave.awaits(t, cleared)
	bob.awaits(t, cleared)
	c.terminal(everyTerminal + shell[4])
	<-bobEnds
	if got := alike(third.String()); got != alike(shown[0]) {
		t.Errorf("the third terminal shows:\n%s\nand in the README:\n%s", got, alike(shown[0]))
	}
	if got := alike(bob.String()); got != alike(shown[1]) {
		t.Errorf("the first terminal shows:\n%s\nand in the README:\n%s", got, alike(shown[1]))
	}
	admin, adminEnds := c.terminal(everyTerminal + shell[5])
	<-adminEnds
	if n := strings.Count(admin.String(), `{"code":0,`); n != 4 {
		t.Errorf("of the 4 calls of the server API %d succeed:\n%s", n, admin)
	}
}

// blocks returns the fenced blocks of one language.
func blocks(markdown, language string) (all []string) {
	for _, found := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```").FindAllStringSubmatch(markdown, -1) {
		all = append(all, found[1])
	}
	return all
}

// alike replaces what differs from run to run. A version becomes its rank among
// the versions of the text, so that their order is compared.
func alike(text string) string {
	for pattern, same := range map[string]string{
		`"expiresAt":"[^"]+"`:    `"expiresAt":"then"`,
		`"deviceID":"[A-Z0-9]+"`: `"deviceID":"random"`,
	} {
		text = regexp.MustCompile(pattern).ReplaceAllString(text, same)
	}
	number := regexp.MustCompile(`\b\d{10,}\b`)
	versions := number.FindAllString(text, -1)
	slices.Sort(versions)
	versions = slices.Compact(versions)
	return number.ReplaceAllStringFunc(text, func(version string) string {
		return fmt.Sprint("version ", slices.Index(versions, version))
	})
}

// terminal runs a script, whose output can be read while it runs.
func (c *child) terminal(script string) (*screen, <-chan struct{}) {
	c.t.Helper()
	out := &screen{grown: make(chan struct{}, 1)}
	command := exec.CommandContext(c.ctx, "bash", "-c", script)
	command.Stdout, command.Stderr = out, out
	if err := command.Start(); err != nil {
		c.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		command.Wait()
		close(ended)
	}()
	c.t.Cleanup(func() {
		command.Process.Kill()
		<-ended
	})
	return out, ended
}

type screen struct {
	mu    sync.Mutex
	text  bytes.Buffer
	grown chan struct{}
}

func (s *screen) Write(text []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case s.grown <- struct{}{}:
	default:
	}
	return s.text.Write(text)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func (s *screen) awaits(t *testing.T, text string) {
	t.Helper()
	for !strings.Contains(s.String(), text) {
		select {
		case <-s.grown:
		case <-time.After(patience):
			t.Fatalf("never shown: %s\n%s", text, s)
		}
	}
}
