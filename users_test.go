package main

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	server "github.com/presence-server/presence/deploy/testserver"
)

// hostile is a custom status that would colour the terminal, ring its bell and reverse
// the line.
const hostile = "\x1b[31m\a\u009b1m\u202e\r\nnot a line"

func TestCommandUsers(t *testing.T) {
	c := newChild(t)
	c.Start()
	c.Admin("importUsers", map[string]any{"userIDList": []string{"alice", "bob", "日本", "ali"}}, nil)
	c.Set("bob", hostile)
	stream := c.Open("alice", "")
	defer stream.Close()

	out, _ := c.calls(0, "users")
	want := "UNLOGINED  ali\n" +
		"ONLINE     alice\n" +
		`UNLOGINED  bob    "\x1b[31m\a\u009b1m\u202e\r\nnot a line"` + "\n" +
		"UNLOGINED  日本\n"
	if out != want {
		t.Errorf("it prints\n%swant\n%s", out, want)
	}
	for prefix, want := range map[string]string{
		"al": "UNLOGINED  ali\nONLINE     alice\n", "alice": "ONLINE     alice\n", "日": "UNLOGINED  日本\n", "%": "", "alice2": "",
	} {
		if out, _ := c.calls(0, "users", prefix); out != want {
			t.Errorf("users %s prints %q, want %q", prefix, out, want)
		}
	}
	out, _ = c.calls(0, "users", "-json", "bob")
	var bob server.Status
	if err := json.Unmarshal([]byte(out), &bob); err != nil || bob.CustomStatus != hostile || bob.StatusType != 3 || bob.Version == 0 {
		t.Errorf("-json prints %q: %+v, %v", out, bob, err)
	}
	if strings.ContainsAny(out, "\x1b\a\u009b\u202e\r") || strings.Count(out, "\n") != 1 {
		t.Errorf("-json prints characters that a terminal interprets: %q", out)
	}
}

// TestCommandUsersOfSeveralPages checks that all users are listed, and that a pipe
// whose reader is gone is not an error.
func TestCommandUsersOfSeveralPages(t *testing.T) {
	c := newChild(t)
	c.Start()
	const users = 2*maxPage + 1
	var want []string
	for i := range users {
		want = append(want, fmt.Sprintf("%s%04d", strings.Repeat("long", 25), i))
	}
	for some := range slices.Chunk(want, maxPage) {
		c.Admin("importUsers", map[string]any{"userIDList": some}, nil)
	}
	out, _ := c.calls(0, "users")
	if got := strings.Fields(strings.ReplaceAll(out, "UNLOGINED", "")); !slices.Equal(got, want) {
		t.Errorf("the command lists %d users, want %d", len(got), users)
	}
	for _, args := range []string{"users", "users -json"} {
		command := exec.CommandContext(c.Ctx, "bash", "-o", "pipefail", "-c", c.Command().Path+" "+args+" | head -n 1")
		like := c.Command()
		command.Dir, command.Env = like.Dir, like.Env
		if out, err := command.CombinedOutput(); err != nil || strings.Count(string(out), "\n") != 1 {
			t.Errorf("%s: %v\n%s", command, err, out)
		}
	}
}
