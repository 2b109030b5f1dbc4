package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
	"time"
	"unicode"

	server "github.com/presence-server/presence/deploy/testserver"
	"github.com/presence-server/presence/presence"
)

// TestColours checks that output to a terminal is coloured, unless its user doesn't
// want colours, and that other output is not.
func TestColours(t *testing.T) {
	script := server.Require(t, "script", "script runs a command in a terminal")
	c := newChild(t)
	c.Start()
	c.Admin("importUsers", map[string]any{"userIDList": []string{"alice"}}, nil)
	const plain, coloured = "UNLOGINED  alice\n", "\x1b[90mUNLOGINED\x1b[0m  alice\n"
	for _, one := range []struct{ env, want string }{
		{"TERM=xterm", coloured}, {"NO_COLOR=", coloured}, {"NO_COLOR=1", plain}, {"TERM=dumb", plain}, {"TERM=", plain},
	} {
		like := c.Command()
		command := exec.CommandContext(c.Ctx, script, "-qec", like.Path+" users", "/dev/null")
		command.Dir, command.Env = like.Dir, append(like.Env, "TERM=xterm", "NO_COLOR=", one.env)
		out, err := command.Output()
		if got := strings.ReplaceAll(string(out), "\r", ""); err != nil || got != one.want {
			t.Errorf("in a terminal with %s: %q %v, want %q", one.env, got, err, one.want)
		}
	}
	if out, _ := c.calls(0, "users"); out != plain {
		t.Errorf("without a terminal: %q", out)
	}
}

// TestOutputIsPrintable checks that, whatever a text contains, a terminal receives
// only printable characters.
func TestOutputIsPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"alice": "alice", "日本": "日本", "a\u202eb": `"a\u202eb"`, "\x1b[0m": `"\x1b[0m"`, "a\u00a0b": `"a\u00a0b"`,
	} {
		if got := printable(text); got != want {
			t.Errorf("printable(%q) is %s, want %s", text, got, want)
		}
	}
	for text, want := range map[string]int{"": 0, "alice": 5, "日本": 4, "e\u0301": 1, "ａ": 2, "😀": 2} {
		if got := columns(text); got != want {
			t.Errorf("%q takes %d columns, want %d", text, got, want)
		}
	}
	if got, want := jsonOf(t, "a\u007f\u0085\u009b\u202e\U000e0001\U0001f600日"), `"a\u007f\u0085\u009b\u202e\udb40\udc01😀日"`+"\n"; got != want {
		t.Errorf("the line is %s, want %s", got, want)
	}
}

// jsonOf returns a text as -json prints it.
func jsonOf(t *testing.T, text string) string {
	t.Helper()
	sent, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	var printed bytes.Buffer
	out := output{Writer: bufio.NewWriter(&printed)}
	out.json(sent)
	out.Flush()
	return printed.String()
}

// FuzzOutput checks that every text is printed in printable characters, and that JSON
// keeps its meaning.
func FuzzOutput(f *testing.F) {
	f.Add(hostile)
	f.Add("a\u007f\u0085\u009b\u202e\U000e0001\U0001f600日")
	f.Fuzz(func(t *testing.T, text string) {
		text = strings.ToValidUTF8(text, "?")
		line := jsonOf(t, text)
		var back string
		if err := json.Unmarshal([]byte(line), &back); err != nil || back != text {
			t.Errorf("%q is printed as %s: %q %v", text, line, back, err)
		}
		for _, shown := range []string{strings.TrimSuffix(line, "\n"), printable(text), custom(presence.Status{CustomStatus: text})} {
			if strings.ContainsFunc(shown, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("%q is printed as %q", text, shown)
			}
		}
	})
}

func TestChange(t *testing.T) {
	at := time.Date(2026, 11, 26, 19, 41, 2, 0, time.UTC)
	ends := at.Add(time.Hour)
	type s = presence.Status
	for _, one := range []struct {
		was, now s
		want     string
	}{
		{s{StatusType: 3}, s{StatusType: 1}, "UNLOGINED → ONLINE"},
		{s{}, s{StatusType: 3, CustomStatus: "Hi"}, `UNKNOWN → UNLOGINED  "Hi"`},
		{s{StatusType: 1, CustomStatus: "Hi"}, s{StatusType: 2, CustomStatus: "Hi"}, `ONLINE → OFFLINE    "Hi"`},
		{s{StatusType: 1}, s{StatusType: 1, CustomStatus: "Hi", ExpiresAt: ends}, `ONLINE     "Hi" until 2026-11-26T20:41:02Z`},
		{s{StatusType: 1, CustomStatus: "Hi"}, s{StatusType: 1}, `ONLINE     ""`},
		{s{StatusType: 1, CustomStatus: "Hi"}, s{}, `ONLINE → UNKNOWN    ""`},
	} {
		var printed bytes.Buffer
		out := output{Writer: bufio.NewWriter(&printed)}
		one.now.UserID = "alice"
		out.change(at, one.was, one.now)
		out.Flush()
		if want := "2026-11-26 19:41:02  alice  " + one.want + "\n"; printed.String() != want {
			t.Errorf("%+v and then %+v: %q, want %q", one.was, one.now, &printed, want)
		}
	}
}
