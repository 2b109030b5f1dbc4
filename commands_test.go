package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	server "github.com/presence-server/presence/deploy/testserver"
	"github.com/presence-server/presence/presence"
)

// calls runs a command of the program, in the server's folder and with its
// configuration, and returns what it prints. It checks that an error is printed as one
// line.
func (c *child) calls(wantCode int, args ...string) (out, complaint string) {
	c.t.Helper()
	command := c.Command(args...)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	command.Run()
	out, complaint = stdout.String(), stderr.String()
	if code := command.ProcessState.ExitCode(); code != wantCode {
		c.t.Errorf("presence %q: exit code %d, want %d\n%s%s", args, code, wantCode, out, complaint)
	}
	failed := strings.Contains("\n"+strings.ReplaceAll(complaint, "presence: warning: ", ""), "\npresence: ")
	if failed != (wantCode != 0) {
		c.t.Errorf("presence %q: the error is %q with exit code %d", args, complaint, wantCode)
	}
	return out, complaint
}

// mentions checks that a text contains the given parts.
func (c *child) mentions(text string, parts ...string) {
	c.t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			c.t.Errorf("missing: %q, in:\n%s", part, text)
		}
	}
}

func TestCommandsMisused(t *testing.T) {
	c := newChild(t)
	for _, args := range [][]string{
		{"nonsense"}, {"-nonsense"}, {"-dev", "check"}, {"-check", "token", "alice"}, {"check", "more"},
		{"token"}, {"token", "alice", "bob"}, {"token", "alice", "-nonsense"}, {"token", " alice"},
		{"token", "alice", "-expires", "0s"}, {"token", "-expires", "soon", "alice"},
		{"backup"}, {"backup", "a", "b"}, {"restore"}, {"doctor"}, {"doctor", "chat.example.com"},
		{"doctor", c.URL, "-patience", "0s"}, {"doctor", c.URL, "-watch", "-1s"},
		{"users", "a", "b"}, {"users", ""}, {"explain"}, {"explain", "alice", "bob"}, {"explain", "alice "},
		{"kick"}, {"kick", ""}, {"kick", "alice\n"}, {"follow", "alice", ""}, {"follow", "alice", " bob"}, {"follow", "-nonsense"},
		{"webhook"}, {"webhook", "nonsense"}, {"webhook", "test"}, {"webhook", "test", "chat.example.com"}, {"webhook", "test", "ftp://a.example"},
	} {
		out, complaint := c.calls(2, args...)
		if out != "" || strings.Count(complaint, "\n") != 1 {
			t.Errorf("presence %q: prints %q and the error is %q", args, out, complaint)
		}
	}
	for _, args := range [][]string{{"-h"}, {"token", "-h"}, {"check", "-help"}, {"backup", "-h"}, {"restore", "-h"}, {"doctor", "x", "-h"},
		{"users", "-h"}, {"explain", "-h"}, {"kick", "-h"}, {"follow", "a", "b", "-h"}, {"webhook", "test", "-h"}} {
		out, _ := c.calls(0, args...)
		c.mentions(out, "Usage: presence ", "Exit code: 0 ", "-config FILE")
	}
	if found, _ := os.ReadDir(c.Folder); len(found) > 0 {
		t.Errorf("it created %v", found)
	}
}

func TestCommandToken(t *testing.T) {
	c := newChild(t, "AUTH__SECRET=")
	_, complaint := c.calls(1, "token", "alice")
	c.mentions(complaint, "there is no secret: start the server once")
	if found, _ := os.ReadDir(c.Folder); len(found) > 0 {
		t.Errorf("without a server there is %v", found)
	}
	c.Start()
	token, _ := c.calls(0, "token", "alice")
	c.Do("/v1/setSelfStatus", strings.TrimSuffix(token, "\n"), map[string]any{"customStatus": "Hi"}, nil)
	if got := c.Status("alice"); got != "3 Hi" {
		t.Errorf("alice is %s", got)
	}
	token, _ = c.calls(0, "token", "-expires", "1ns", "alice")
	for begun := time.Now(); ; {
		answer, err := c.Call(c.Ctx, "/v1/subscriptions", strings.TrimSpace(token), nil)
		if err != nil || answer.Code == 70001 {
			break
		}
		if time.Since(begun) > 5*time.Second {
			t.Fatalf("a token that is valid for a nanosecond was answered %+v 5 s later", answer)
		}
	}
	other := newChild(t)
	token, _ = other.calls(0, "token", "alice", "-expires", "720h")
	other.Start()
	other.Do("/v1/subscriptions", strings.TrimSpace(token), nil, nil)
}

func TestCommandCheck(t *testing.T) {
	c := newChild(t, "AUTH__SECRET=")
	out, _ := c.calls(0, "check")
	c.mentions(out, "the configuration is good", "the next start creates presence.db")
	c.Start()
	c.Befriend("alice", "bob")
	out, _ = c.calls(0, "check")
	c.mentions(out, "the configuration is good", "presence.db is good: schema ", ", 2 users")
	c.Kill()
	out, _ = c.calls(0, "check")
	c.mentions(out, ", 2 users")

	half := filepath.Join(c.Folder, "half")
	c.calls(0, "backup", half)
	if err := os.Truncate(half, 5*1024); err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(c.Folder, "presence.db.secret")
	if err := os.Remove(secret); err != nil {
		t.Fatal(err)
	}
	out, _ = c.calls(0, "check")
	c.mentions(out, "the next start creates presence.db.secret")
	write(t, secret, "short")
	_, complaint := c.calls(1, "check")
	c.mentions(complaint, "presence.db.secret must have at least 16 bytes")

	write(t, filepath.Join(c.Folder, "presence.toml"), "nonsense = 1\n[log]\nlevel = \"loud\"\n")
	database := filepath.Join(c.Folder, "presence.db")
	if err := errors.Join(os.Remove(database+"-wal"), os.Rename(half, database)); err != nil {
		t.Fatal(err)
	}
	_, complaint = c.calls(1, "check")
	c.mentions(complaint, "nonsense: there is no such key", `log.level = "loud": must be`, "presence.db is damaged: restore a backup")
	file := filepath.Join(t.TempDir(), "other.toml")
	write(t, file, "database.path = \"elsewhere.db\"")
	for _, args := range [][]string{{"-config", file, "check"}, {"check", "-config", file}} {
		out, _ := c.calls(0, args...)
		c.mentions(out, "the next start creates elsewhere.db")
	}
}

// TestCommandsBackupAndRestore checks a backup under load, and the return to it.
// Clients that have received what is lost end up with what is stored.
func TestCommandsBackupAndRestore(t *testing.T) {
	c := newChild(t, "AUTH__SECRET=")
	c.Start()
	c.Befriend("alice", "bob")
	c.Befriend("alice", "carol")
	c.Set("bob", "kept")
	bob := c.Open("bob", "")
	alice := c.Open("alice", "")

	stop := make(chan struct{})
	var load sync.WaitGroup
	token := c.TokenOf("dave")
	load.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				c.Must(c.Ctx, "/v1/setSelfStatus", token, map[string]any{"customStatus": fmt.Sprint(i)}, nil)
			}
		}
	})
	out, _ := c.calls(0, "backup", "backup.db")
	c.mentions(out, "presence.db is backed up to backup.db", "keep presence.db.secret too")
	if file, err := os.Stat(filepath.Join(c.Folder, "backup.db")); err != nil || file.Mode().Perm() != 0o600 {
		t.Errorf("the backup: %v %v", file, err)
	}
	_, complaint := c.calls(1, "backup", "backup.db")
	c.mentions(complaint, "backup.db: file already exists")
	close(stop)
	load.Wait()

	c.Set("bob", "lost")
	c.Awaits(alice, "bob", "1 lost")
	c.Set("carol", "lost too")
	c.Awaits(alice, "carol", "3 lost too")
	_, complaint = c.calls(1, "restore", "backup.db")
	c.mentions(complaint, "presence.db is in use by another process")
	if got := c.Status("bob"); got != "1 lost" {
		t.Errorf("a restore that was refused changed bob to %s", got)
	}

	c.Kill()
	out, _ = c.calls(0, "restore", "backup.db")
	c.mentions(out, "presence.db is restored from backup.db", "the database that was there is now "+c.Folder+"/presence.db.before-restore-")
	c.Start()
	alice = c.Open("alice", alice.Cursor())
	got := c.snapshot(alice)
	if want := []string{"alice 1", "bob 1 kept", "carol 3"}; !slices.Equal(got, want) {
		t.Errorf("a client that received what is lost then receives %q, want %q", got, want)
	}
	c.Open("bob", bob.Cursor())
	c.Set("bob", "after")
	c.Awaits(alice, "bob", "1 after")
}

// snapshot returns the first list of statuses.
func (c *child) snapshot(stream *server.Stream) (all []string) {
	c.t.Helper()
	statuses, err := c.Next(stream).Statuses()
	if err != nil {
		c.t.Fatal(err)
	}
	for _, s := range statuses {
		all = append(all, s.UserID+" "+s.String())
	}
	slices.Sort(all)
	return all
}

// TestRestoreElsewhere restores on a new machine, where the secret is easily
// forgotten, and on a node, where the log would win over the backup.
func TestRestoreElsewhere(t *testing.T) {
	old := newChild(t)
	old.Start()
	backup := filepath.Join(t.TempDir(), "backup.db")
	out, _ := old.calls(0, "backup", backup)
	old.mentions(out, "keep auth.secret too")
	c := newChild(t, "AUTH__SECRET=")
	out, _ = c.calls(0, "restore", backup)
	c.mentions(out, "put presence.db.secret back too")
	node := newChild(t, "CLUSTER__LOG=postgres://node@db.invalid/presence")
	out, _ = node.calls(0, "restore", backup)
	node.mentions(out, "run presence cluster accept before the next start")
}

// TestBackupKilled checks that after kill -9 a backup is complete or absent, however
// much of it had been written.
func TestBackupKilled(t *testing.T) {
	c := newChild(t)
	c.Start()
	var ids []string
	for i := range 1000 {
		ids = append(ids, fmt.Sprint("user", i))
	}
	c.Admin("importUsers", map[string]any{"userIDList": ids}, nil)
	c.calls(0, "backup", "whole")
	whole, err := os.Stat(filepath.Join(c.Folder, "whole"))
	if err != nil {
		t.Fatal(err)
	}
	made := 0
	const kills = 20
	for i := range int64(kills) {
		file := filepath.Join(c.Folder, fmt.Sprint("backup", i))
		command := c.Command("backup", file)
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		c.writes(file, whole.Size()*i/(kills-5)) // the last few are killed when the backup has its final name
		command.Process.Kill()
		command.Wait()
		if _, err := os.Stat(file); err == nil {
			made++
			if found, err := presence.Check(c.Ctx, file); err != nil || found.Users != 1000 {
				t.Errorf("a backup that was killed: %+v %v", found, err)
			}
		}
	}
	if made < 4 || made == kills {
		t.Errorf("%d of %d backups were complete: some must be complete, and some must not", made, kills)
	}
	c.Set("user0", "goes on")
}

// writes waits until a file that is written under a temporary name has reached a size,
// or has its final name.
func (c *child) writes(file string, size int64) {
	c.t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if _, err := os.Stat(file); err == nil {
			return
		}
		found, _ := filepath.Glob(file + ".*.partial")
		if len(found) == 0 {
			continue
		}
		if partial, err := os.Stat(found[0]); err == nil && partial.Size() >= size {
			return
		}
	}
	c.t.Fatalf("%s never has %d bytes", file, size)
}

func TestCommandDoctor(t *testing.T) {
	c := newChild(t, "AUTH__SECRET=", "TIMING__KEEPALIVE=300ms")
	_, complaint := c.calls(2, "doctor", c.URL)
	c.mentions(complaint, "connection refused")
	c.Start()
	out, _ := c.calls(0, "doctor", c.URL, "-patience", "10s")
	c.mentions(out, ", a change of status after ", "ok      silence", "ok      Last-Event-ID")
	if got := c.Status("presence-doctor"); got != "3" {
		t.Errorf("afterwards its user is %s", got)
	}
	out, _ = c.calls(0, "doctor", c.URL, "-patience", "10s", "-watch", "1s", "-token", c.TokenOf("alice"))
	c.mentions(out, "watched for 1s")

	upstream, err := url.Parse(c.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(upstream)
		r.Out.Header.Del("Last-Event-ID")
	}})
	defer proxy.Close()
	out, complaint = c.calls(1, "doctor", proxy.URL, "-patience", "10s", "-origin", "https://www.example.com")
	c.mentions(out, "PROBLEM Last-Event-ID", "proxy_set_header Last-Event-ID $http_last_event_id;", "PROBLEM CORS", `origins = ["https://www.example.com"]`)
	c.mentions(complaint, "there are problems")

	away := newChild(t, "AUTH__SECRET=") // on a machine without the secret
	out, complaint = away.calls(2, "doctor", c.URL)
	c.mentions(out, "?       stream")
	c.mentions(complaint, "not everything could be measured")
}
