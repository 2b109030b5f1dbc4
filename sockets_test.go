package main

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	server "github.com/presence-server/presence/deploy/testserver"
)

// onSocket returns a configuration that listens on a unix socket with this path.
func onSocket(path string) *config {
	return &config{Listen: []string{"unix:" + path}, ListenMode: "0620"}
}

// TestUnixSocket checks that the socket has the permissions of listen_mode, that a
// stale socket is replaced, and that a live socket or another file is left unchanged.
func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	web, err := onSocket(path).listen(false, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatalf("a stale socket prevents the start: %v", err)
	}
	defer web.close()
	if info, err := os.Stat(path); err != nil || info.Mode() != os.ModeSocket|0o620 {
		t.Errorf("the socket is %v, %v, want the permissions 0620", info.Mode(), err)
	}
	if _, err := onSocket(path).openListeners(false); err == nil || !strings.Contains(err.Error(), `listen = "unix:`+path+`": a server listens there already`) {
		t.Errorf("listening on a live socket: %v", err)
	}
	client := http.Client{Transport: onSocket(path).localTransport(nil)}
	response, err := client.Get("http://localhost/livez")
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("the live socket no longer works: %v, %v", response, err)
	}
	response.Body.Close()
	web.close()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("after the end the socket still exists: %v", err)
	}

	write(t, path, "precious")
	if _, err := onSocket(path).openListeners(false); err == nil || !strings.Contains(err.Error(), "is not a socket") {
		t.Errorf("listening on a file: %v", err)
	}
	if text, err := os.ReadFile(path); string(text) != "precious" {
		t.Errorf("the file is now %q, %v", text, err)
	}
}

// TestCommandsUseTheUnixSocket checks that commands with the same configuration reach
// the server on its socket.
func TestCommandsUseTheUnixSocket(t *testing.T) {
	c := newChild(t)
	c.Env = append(c.Env, "LISTEN=unix:"+filepath.Join(c.Folder, "s"))
	_, complaint := c.calls(1, "users")
	c.mentions(complaint, "no server runs at unix:"+c.Folder)
	if err := c.Launch(); err != nil {
		t.Fatal(err)
	}
	c.untilLogged("msg=ready url=unix:" + c.Folder)
	out, _ := c.calls(0, "health")
	c.mentions(out, "ready")
	c.calls(0, "users")
	c.calls(0, "-check") // its own socket is not an error
}

// untilLogged waits until the log of a launched server contains a text.
func (c *child) untilLogged(text string) {
	c.t.Helper()
	for !strings.Contains(c.Log(), text) {
		if c.Ctx.Err() != nil {
			c.t.Fatalf("never logged: %s\n%s", text, c.Log())
		}
		c.calls(0, "-version")
	}
}

// TestSeveralAddresses checks that the server listens on each address, and that the
// commands use the first.
func TestSeveralAddresses(t *testing.T) {
	c, socket := newChild(t), filepath.Join(t.TempDir(), "s")
	c.Env = append(c.Env, "LISTEN="+c.Address+", unix:"+socket)
	c.Start()
	c.calls(0, "health")
	client := http.Client{Transport: onSocket(socket).localTransport(nil)}
	response, err := client.Get("http://localhost/readyz")
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("the second address does not work: %v, %v", response, err)
	}
	response.Body.Close()
	c.untilLogged(fmt.Sprintf("url=\"%s/ unix:%s\"", c.URL, socket))
	if got := c.shownKeys().Get("listen"); fmt.Sprint(got) != fmt.Sprint([]any{c.Address, "unix:" + socket}) {
		t.Errorf("listen is shown as %v", got)
	}
}

// TestListenMistakes checks that mistakes are reported with the wrong value.
func TestListenMistakes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, "")
	for text, want := range map[string]string{
		`listen = ["127.0.0.1:1", "nowhere"]`: `listen = "nowhere": must be host:port`,
		`listen = []`:                         `listen = []: must name an address`,
		`listen = 1`:                          `listen = 1: must be a list of strings`,
		`listen = [1]`:                        `listen = [1]: must be a list of strings`,
		`listen = "unix:presence.sock"`:       `listen = "unix:presence.sock": must be unix: and an absolute path`,
		`listen = "unix:/` + strings.Repeat("x", 107) + `"`: `at most 107 bytes`,
		`listen = "unix:` + file + `"`:                      `this file exists and is not a socket`,
		`listen_mode = "0999"`:                              `listen_mode = "0999": must be permissions in octal digits`,
		`listen_mode = "rw"`:                                `listen_mode = "rw": must be permissions in octal digits`,
		`listen_mode = "0"`:                                 `listen_mode = "0": must be permissions in octal digits`,
	} {
		if _, err := configOf(t, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
	if _, err := configOf(t, `listen = ["127.0.0.1:1", "[::1]:1", "unix:/run/s"]`, "PRESENCE_LISTEN=:1"); err != nil {
		t.Error(err)
	}
}

// passed returns a server that is passed a socket, as by a systemd socket unit.
func passed(t *testing.T) *child {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	socket, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	c := newChild(t)
	c.Address = l.Addr().String()
	c.URL = "http://" + c.Address
	c.Env, c.Sockets = append(c.Env, "LISTEN=nowhere.invalid:1"), []*os.File{socket}
	return c
}

// TestARestartLosesNothing makes users change their statuses over new connections while
// the server is stopped and started again. It checks that each request receives a
// response, and that the stream of each user, resumed from its cursor, sends each change
// once.
func TestARestartLosesNothing(t *testing.T) {
	c := passed(t)
	c.Start()
	var changes atomic.Int64
	var stop atomic.Bool
	ended := make(chan error)
	const users = 40
	for i := range users {
		u := user{c: c, token: c.TokenOf(fmt.Sprint("user", i)), http: http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
		go func() { ended <- u.change(&changes, &stop) }()
	}
	for range 3 {
		for want := changes.Load() + 5*users; changes.Load() < want && c.Ctx.Err() == nil; {
			status(t, c.URL+"/livez")
		}
		c.Signal(syscall.SIGTERM)
		if code := c.Wait(); code != 0 {
			t.Errorf("exit code %d\n%s", code, c.Log())
		}
		c.Start() // returns when the new run has answered
	}
	stop.Store(true)
	for range users {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// user changes its own status, and reads its own stream.
type user struct {
	c      *child
	token  string
	http   http.Client
	stream *server.Stream
}

// change changes the status again and again until stop is true, and counts the changes.
// After each, it waits until the stream has sent it.
func (u *user) change(changes *atomic.Int64, stop *atomic.Bool) error {
	if err := u.open(""); err != nil {
		return err
	}
	for n := 1; ; n++ {
		want := fmt.Sprint(n)
		if err := u.set(want); err != nil {
			return fmt.Errorf("change %s: %w", want, err)
		}
		switch got, err := u.next(); {
		case err != nil:
			return fmt.Errorf("after change %s: %w", want, err)
		case got != want:
			return fmt.Errorf("the stream sent change %q, want %q", got, want)
		case stop.Load():
			u.stream.Close()
			return nil
		}
		changes.Add(1)
	}
}

func (u *user) open(cursor string) (err error) {
	u.stream, err = u.c.Follow(u.c.Ctx, u.token, "deviceID=d", cursor)
	return err
}

// set repeats the request while the server starts.
func (u *user) set(text string) error {
	for {
		request, err := http.NewRequestWithContext(u.c.Ctx, http.MethodPost, u.c.URL+"/v1/setSelfStatus", strings.NewReader(`{"customStatus":"`+text+`"}`))
		if err != nil {
			return err
		}
		request.Header.Set("Authorization", "Bearer "+u.token)
		response, err := u.http.Do(request)
		if err != nil {
			return err
		}
		response.Body.Close()
		switch response.StatusCode {
		case http.StatusOK:
			return nil
		case http.StatusServiceUnavailable:
		default:
			return fmt.Errorf("it was answered %s", response.Status)
		}
	}
}

// next returns the next custom status that the stream sends, and resumes the stream when it
// breaks off.
func (u *user) next() (string, error) {
	for {
		e, err := u.stream.Next()
		if err != nil {
			if err := u.open(u.stream.Cursor()); err != nil {
				return "", err
			}
			continue
		}
		if e.Type == "USER_STATUS_UPDATED" {
			statuses, err := e.Statuses()
			if err != nil {
				return "", err
			}
			return statuses[0].CustomStatus, nil
		}
	}
}

// TestASilentConnectionDelaysNoStop checks that the server stops without waiting for a
// request on a connection that a browser has opened in advance. net/http alone would
// wait 5 s for it.
func TestASilentConnectionDelaysNoStop(t *testing.T) {
	c := newChild(t)
	c.Start()
	conn, err := net.Dial("tcp", c.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	status(t, c.URL+"/livez") // was accepted later
	began := time.Now()
	c.Signal(syscall.SIGTERM)
	c.Wait()
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("the stop took %s", took)
	}
}

// TestSystemdStartsTheServerAtTheFirstConnection uses the program of systemd that does
// what a socket unit does.
func TestSystemdStartsTheServerAtTheFirstConnection(t *testing.T) {
	activate := server.Require(t, "systemd-socket-activate", "systemd-socket-activate passes the socket")
	c := newChild(t)
	serving := c.Command()
	command := exec.CommandContext(c.Ctx, activate, append([]string{"--listen=" + c.Address, "--setenv=PATH"}, serving.Args...)...)
	for _, variable := range serving.Env {
		if strings.HasPrefix(variable, envPrefix) || strings.HasPrefix(variable, "TMPDIR=") {
			command.Args = append(command.Args[:1:1], append([]string{"--setenv=" + variable}, command.Args[1:]...)...)
		}
	}
	command.Dir, command.Env = serving.Dir, serving.Env
	out := &screen{grown: make(chan struct{}, 1)}
	command.Stdout, command.Stderr = out, out
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		command.Process.Kill()
		command.Wait()
	})
	out.awaits(t, "Listening on")
	if got := status(t, c.URL+"/livez"); got != http.StatusOK {
		t.Errorf("the first connection was answered %d", got)
	}
	out.awaits(t, "msg=ready url="+c.URL)
}

// TestDevTakesNoPassedSocket checks this because a passed socket may be public.
func TestDevTakesNoPassedSocket(t *testing.T) {
	c := passed(t)
	c.Flags = []string{"-dev"}
	c.Env = []string{"LISTEN=127.0.0.1:0"}
	if err := c.Launch(); err != nil {
		t.Fatal(err)
	}
	if code := c.Wait(); code != 1 || !strings.Contains(c.Log(), "-dev takes no sockets from systemd") {
		t.Errorf("exit code %d\n%s", code, c.Log())
	}
}
