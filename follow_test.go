package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	server "github.com/presence-server/presence/deploy/testserver"
)

// following is a running presence follow.
type following struct {
	command  *exec.Cmd
	out, err *screen
	ended    chan struct{}
}

// follows starts the command, and returns when it shows what changes from then on.
func (c *child) follows(args ...string) *following {
	c.t.Helper()
	f := &following{
		command: c.Command(append([]string{"follow"}, args...)...), ended: make(chan struct{}),
		out: &screen{grown: make(chan struct{}, 1)}, err: &screen{grown: make(chan struct{}, 1)},
	}
	f.command.Stdout, f.command.Stderr = f.out, f.err
	if err := f.command.Start(); err != nil {
		c.t.Fatal(err)
	}
	go func() {
		f.command.Wait()
		close(f.ended)
	}()
	c.t.Cleanup(func() {
		f.command.Process.Kill()
		<-f.ended
	})
	f.err.awaits(c.t, "following http://")
	return f
}

// stops ends it as Ctrl+C does, which is no error.
func (f *following) stops(t *testing.T) {
	t.Helper()
	f.command.Process.Signal(syscall.SIGINT)
	<-f.ended
	if code := f.command.ProcessState.ExitCode(); code != 0 {
		t.Errorf("it ends with the exit code %d\n%s", code, f.err)
	}
}

// shown returns the lines without their times, and with one space between columns.
func (f *following) shown() string {
	text := regexp.MustCompile(`(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d +`).ReplaceAllString(f.out.String(), "")
	return regexp.MustCompile(` +`).ReplaceAllString(text, " ")
}

func TestCommandFollow(t *testing.T) {
	c := newChild(t, "TIMING__BATCH_WINDOW=1ms")
	c.start()
	c.befriend("alice", "bob")
	c.set("bob", "before")
	all, some, asJSON := c.follows(), c.follows("bob", "carol"), c.follows("-json", "bob")
	some.err.awaits(t, `there is no user "carol" yet`)

	stream := c.follow("alice", "")
	all.out.awaits(t, "UNLOGINED → ONLINE")
	c.call("/v1/logout", c.token("alice"), map[string]any{}, nil)
	stream.Close()
	all.out.awaits(t, "ONLINE → UNLOGINED")
	c.set("bob", hostile)
	all.out.awaits(t, "not a line")
	c.set("bob", "")
	all.out.awaits(t, `UNLOGINED  ""`)
	c.admin("importUsers", map[string]any{"userIDList": []string{"carol"}}, nil)
	all.out.awaits(t, "carol")
	c.admin("deleteUsers", map[string]any{"userIDList": []string{"bob"}}, nil)
	ofBob := `bob UNLOGINED "\x1b[31m\a\u009b1m\u202e\r\nnot a line"` + "\n" + `bob UNLOGINED ""` + "\n"
	deleted := "bob UNLOGINED → UNKNOWN\n"
	for f, want := range map[*following]string{
		all:  "alice UNLOGINED → ONLINE\nalice ONLINE → UNLOGINED\n" + ofBob + "carol UNKNOWN → UNLOGINED\n" + deleted,
		some: ofBob + "carol UNKNOWN → UNLOGINED\n" + deleted,
	} {
		f.out.awaits(t, "→ UNKNOWN")
		if got := f.shown(); got != want {
			t.Errorf("it shows\n%swant\n%s", got, want)
		}
		f.stops(t)
	}
	asJSON.out.awaits(t, `"statusType":0`)
	asJSON.stops(t)
	var texts []string
	for line := range strings.Lines(asJSON.out.String()) {
		var s server.Status
		if err := json.Unmarshal([]byte(line), &s); err != nil || s.UserID != "bob" || s.Version == 0 {
			t.Errorf("-json prints %q: %v", line, err)
		}
		texts = append(texts, told(s))
	}
	if want := []string{"3 " + hostile, "3", "0"}; !slices.Equal(texts, want) {
		t.Errorf("-json shows %q, want %q", texts, want)
	}
}

// TestCommandFollowAfterAnOutage: what changes while there is no stream is shown when
// there is one again, and nothing is shown twice.
func TestCommandFollowAfterAnOutage(t *testing.T) {
	c := newChild(t)
	c.start()
	c.befriend("alice", "bob")
	f := c.follows()
	c.set("alice", "one")
	f.out.awaits(t, "one")
	c.Kill()
	f.err.awaits(t, "presence: warning: the stream of "+c.URL+" has ended: ")
	c.start()
	c.set("bob", "two")
	f.out.awaits(t, "two")
	f.err.awaits(t, "presence: warning: connected again")
	c.Signal(syscall.SIGTERM)
	c.Wait()
	c.start()
	c.set("alice", "three")
	f.out.awaits(t, "three")
	want := "alice UNLOGINED \"one\"\nbob UNLOGINED \"two\"\nalice UNLOGINED \"three\"\n"
	if got := f.shown(); got != want {
		t.Errorf("it shows\n%swant\n%s", got, want)
	}
	if n := strings.Count(f.err.String(), "has ended"); n != 2 {
		t.Errorf("two outages are reported %d times:\n%s", n, f.err)
	}
	f.stops(t)
}

// TestCommandFollowEnds: with an exit code that says why.
func TestCommandFollowEnds(t *testing.T) {
	c := newChild(t)
	c.start()
	c.befriend("alice", "bob")
	f := c.follows()
	c.set("alice", "seen")
	f.out.awaits(t, "seen")
	c.Signal(syscall.SIGTERM)
	c.Wait()
	f.err.awaits(t, "has ended")
	c.Env = append(c.Env, "AUTH__ADMIN_KEY=another key of 16 bytes or more")
	c.start()
	<-f.ended
	if code := f.command.ProcessState.ExitCode(); code != 1 || !strings.Contains(f.err.String(), "the admin key is wrong") {
		t.Errorf("with a key that has become wrong: exit code %d\n%s", code, f.err)
	}
}

// TestCommandFollowIntoAPipe: it ends without an error when nobody reads any further.
func TestCommandFollowIntoAPipe(t *testing.T) {
	c := newChild(t)
	c.start()
	c.befriend("alice", "bob")
	like := c.Command()
	command := exec.CommandContext(c.ctx, "bash", "-o", "pipefail", "-c", like.Path+" follow | head -n 1")
	command.Dir, command.Env = like.Dir, like.Env
	complaints := &screen{grown: make(chan struct{}, 1)}
	command.Stderr = complaints
	ended := make(chan error, 1)
	go func() { ended <- command.Run() }()
	complaints.awaits(t, "following")
	for i := 0; ; i++ {
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("it ends with %v\n%s", err, complaints)
			}
			return
		default:
			c.set("alice", fmt.Sprint(i))
		}
	}
}

// TestCommandFollowNoticesSilence: a stream on which nothing arrives any more is
// opened again, although the connection isn't closed.
func TestCommandFollowNoticesSilence(t *testing.T) {
	c := newChild(t, "TIMING__KEEPALIVE=100ms")
	c.start()
	c.befriend("alice", "bob")
	f := c.follows()
	if err := c.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	f.err.awaits(t, "nothing has arrived from "+c.URL+" for 5.3s; connecting again")
	if err := c.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	f.err.awaits(t, "connected again")
	c.set("alice", "after")
	f.out.awaits(t, "after")
}

// TestEvents reads a stream of which the parts arrive in pieces of any size.
func TestEvents(t *testing.T) {
	long := strings.Repeat("x", 400<<10)
	text := "event: READY\nid: 0\ndata: {}\n\nretry: 100\n\nid: 12\nevent: USER_STATUS_UPDATED\ndata: [" + long + "]\n\nevent: cut\nid: 13\n"
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) }))
	defer host.Close()
	response, err := http.Get(host.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var got []string
	for e, err := range events(response.Body) {
		got = append(got, fmt.Sprintf("%s %s %d %v", e.id, e.name, len(e.data), err))
	}
	if want := []string{"0 READY 2 <nil>", "12 USER_STATUS_UPDATED 409602 <nil>", "  0 EOF"}; !slices.Equal(got, want) {
		t.Errorf("it reads %q, want %q", got, want)
	}
}
