package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	server "github.com/presence-server/presence/deploy/testserver"
	"github.com/presence-server/presence/presence"
)

// following is a running presence follow.
type following struct {
	command  *exec.Cmd
	out, err *screen
	ended    chan struct{}
}

// follows starts the command, and returns when it shows new changes.
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

// stops ends the command as Ctrl+C does, which is not an error.
func (f *following) stops(t *testing.T) {
	t.Helper()
	f.command.Process.Signal(syscall.SIGINT)
	<-f.ended
	if code := f.command.ProcessState.ExitCode(); code != 0 {
		t.Errorf("the command ends with the exit code %d\n%s", code, f.err)
	}
}

// shown returns the lines without their times, and with one space between columns.
func (f *following) shown() string {
	text := regexp.MustCompile(`(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d +`).ReplaceAllString(f.out.String(), "")
	return regexp.MustCompile(` +`).ReplaceAllString(text, " ")
}

func TestCommandFollow(t *testing.T) {
	c := newChild(t, "TIMING__BATCH_WINDOW=1ms")
	c.Start()
	c.Befriend("alice", "bob")
	c.Set("bob", "before")
	all, some, asJSON := c.follows(), c.follows("bob", "carol"), c.follows("-json", "bob")
	some.err.awaits(t, `there is no user "carol" yet`)

	stream := c.Open("alice", "")
	all.out.awaits(t, "UNLOGINED → ONLINE")
	c.Do("/v1/logout", c.TokenOf("alice"), map[string]any{}, nil)
	stream.Close()
	all.out.awaits(t, "ONLINE → UNLOGINED")
	c.Set("bob", hostile)
	for _, f := range []*following{all, some, asJSON} { // a slower one would only see the next status
		f.out.awaits(t, "not a line")
	}
	c.Set("bob", "")
	all.out.awaits(t, `UNLOGINED  ""`)
	some.out.awaits(t, `UNLOGINED  ""`)
	asJSON.out.awaits(t, `"customStatus":""`)
	c.Admin("importUsers", map[string]any{"userIDList": []string{"carol"}}, nil)
	all.out.awaits(t, "carol")
	c.Admin("deleteUsers", map[string]any{"userIDList": []string{"bob"}}, nil)
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
		texts = append(texts, s.String())
	}
	if want := []string{"3 " + hostile, "3", "0"}; !slices.Equal(texts, want) {
		t.Errorf("-json shows %q, want %q", texts, want)
	}
}

// TestCommandFollowAfterAnOutage checks that changes made while there is no stream are
// shown when there is one again, and that nothing is shown twice.
func TestCommandFollowAfterAnOutage(t *testing.T) {
	c := newChild(t)
	c.Start()
	c.Befriend("alice", "bob")
	f := c.follows()
	c.Set("alice", "one")
	f.out.awaits(t, "one")
	c.Kill()
	f.err.awaits(t, "presence: warning: the stream of "+c.URL+" has ended: ")
	c.Start()
	c.Set("bob", "two")
	f.out.awaits(t, "two")
	f.err.awaits(t, "presence: warning: connected again")
	c.Signal(syscall.SIGTERM)
	c.Wait()
	c.Start()
	c.Set("alice", "three")
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

// TestCommandFollowAfterARestore checks that, although the feed sends all users again,
// only those whose status differs are shown.
func TestCommandFollowAfterARestore(t *testing.T) {
	c := newChild(t)
	c.Start()
	c.Befriend("alice", "bob")
	c.Set("alice", "kept")
	c.calls(0, "backup", "backup.db")
	f := c.follows()
	c.Set("alice", "lost")
	f.out.awaits(t, "lost")
	c.Kill()
	c.calls(0, "restore", "backup.db")
	c.Start()
	f.out.awaits(t, "kept")
	c.Set("bob", "after")
	f.out.awaits(t, "after")
	want := "alice UNLOGINED \"lost\"\nalice UNLOGINED \"kept\"\nbob UNLOGINED \"after\"\n"
	if got := f.shown(); got != want {
		t.Errorf("it shows\n%swant\n%s", got, want)
	}
}

// TestCommandFollowEnds checks that the exit code reports the reason.
func TestCommandFollowEnds(t *testing.T) {
	c := newChild(t)
	c.Start()
	c.Befriend("alice", "bob")
	f := c.follows()
	c.Set("alice", "seen")
	f.out.awaits(t, "seen")
	c.Signal(syscall.SIGTERM)
	c.Wait()
	f.err.awaits(t, "has ended")
	c.Env = append(c.Env, "AUTH__ADMIN_KEY=another key of 16 bytes or more")
	c.Start()
	<-f.ended
	if code := f.command.ProcessState.ExitCode(); code != 1 || !strings.Contains(f.err.String(), "the admin key is wrong") {
		t.Errorf("with a key that is no longer valid: exit code %d\n%s", code, f.err)
	}
}

// TestCommandFollowIntoAPipe checks that the command ends without an error when the
// reader of the pipe is gone.
func TestCommandFollowIntoAPipe(t *testing.T) {
	c := newChild(t)
	c.Start()
	c.Befriend("alice", "bob")
	like := c.Command()
	command := exec.CommandContext(c.Ctx, "bash", "-o", "pipefail", "-c", like.Path+" follow | head -n 1")
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
				t.Errorf("the command ends with %v\n%s", err, complaints)
			}
			return
		default:
			c.Set("alice", fmt.Sprint(i))
		}
	}
}

// TestFollowerConnectsAgain checks that keepalives keep a stream open for any time,
// and that a silent stream is replaced although its connection isn't closed. An outage
// is reported once, however many attempts fail.
func TestFollowerConnectsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var notes bytes.Buffer
		var opened []time.Duration // when each stream was opened, since the beginning
		began, dials := time.Now(), 0
		serve := func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/v1/admin/events" {
				io.WriteString(w, `{"code":0,"data":{"version":7,"userList":[]}}`)
				return
			}
			opened = append(opened, time.Since(began).Truncate(time.Second))
			if cursor := r.URL.Query().Get("since"); cursor != map[int]string{1: "7", 2: "9"}[len(opened)] {
				t.Errorf("stream %d begins after %q", len(opened), cursor)
				cancel()
			}
			fmt.Fprint(w, "id: 8\nevent: READY\ndata: {}\n\n")
			for range 10 {
				http.NewResponseController(w).Flush()
				<-time.After(15 * time.Second)
				fmt.Fprint(w, "id: 9\nevent: KEEPALIVE\ndata: {}\n\n")
			}
			if len(opened) == 2 {
				cancel()
			}
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}
		f := follower{out: &output{Writer: bufio.NewWriter(io.Discard)}, notes: &notes, patience: 50 * time.Second, known: make(map[string]presence.Status)}
		f.client = &client{base: "http://in.memory", name: "http://in.memory", http: http.Client{Transport: &http.Transport{
			DialContext: func(context.Context, string, string) (net.Conn, error) {
				if dials++; len(opened) > 0 && dials < 6 {
					return nil, syscall.ECONNREFUSED
				}
				return dialInMemory(t, http.HandlerFunc(serve)), nil
			},
		}}}
		if err := f.run(ctx); ctx.Err() == nil {
			t.Errorf("the command ends with %v", err)
		}
		f.client.http.CloseIdleConnections()
		silent := 10*15*time.Second + f.patience
		if len(opened) != 2 || opened[1] < silent+7*time.Second || opened[1] > silent+16*time.Second {
			t.Errorf("the streams were opened at %v; the second should follow %v and the pauses of 4 failures, which are 7 to 16 s", opened, silent)
		}
		want := "following http://in.memory; press Ctrl+C to stop\n" +
			"presence: warning: nothing has arrived from http://in.memory for 50s; connecting again until this works\n" +
			"presence: warning: connected again\n"
		if notes.String() != want {
			t.Errorf("it notes\n%swant\n%s", &notes, want)
		}
	})
}

// dialInMemory returns a connection to a server of its own. Unlike with a socket, time
// in a synctest bubble advances while a goroutine waits for the other end.
func dialInMemory(t *testing.T, handler http.Handler) net.Conn {
	here, there := net.Pipe()
	host := &http.Server{Handler: handler}
	served := make(chan struct{})
	go func() {
		defer close(served)
		host.Serve(&oneConn{conn: there, closed: make(chan struct{})})
	}()
	t.Cleanup(func() {
		host.Close()
		<-served
	})
	return here
}

// oneConn is a listener that accepts one connection.
type oneConn struct {
	conn   net.Conn
	closed chan struct{}
}

func (l *oneConn) Accept() (conn net.Conn, err error) {
	if conn, l.conn = l.conn, nil; conn != nil {
		return conn, nil
	}
	<-l.closed
	return nil, net.ErrClosed
}

func (l *oneConn) Close() error {
	select {
	case <-l.closed:
	default:
		close(l.closed)
	}
	return nil
}

func (l *oneConn) Addr() net.Addr { return &net.TCPAddr{} }

// TestEvents reads a stream whose parts arrive in pieces of any size.
func TestEvents(t *testing.T) {
	long := strings.Repeat("x", 400<<10)
	text := "event: READY\nid: 0\ndata: {}\n\nretry: 100\n\nid: 12\nretry: 250\nevent: USER_STATUS_UPDATED\ndata: [" + long + "]\n\nevent: cut\nid: 13\n"
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) }))
	defer host.Close()
	response, err := http.Get(host.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var got []string
	for e, err := range events(response.Body) {
		got = append(got, fmt.Sprintf("%q %q %q %d %v", e.id, e.name, e.retry, len(e.data), err))
	}
	if want := []string{`"0" "READY" "" 2 <nil>`, `"12" "USER_STATUS_UPDATED" "250" 409602 <nil>`, `"" "" "" 0 EOF`}; !slices.Equal(got, want) {
		t.Errorf("the events are %q, want %q", got, want)
	}
}
