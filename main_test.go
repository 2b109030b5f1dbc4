package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	server "github.com/presence-server/presence/deploy/testserver"
)

var program server.Program

func TestMain(m *testing.M) { os.Exit(program.Run(m)) }

// child is the built program, run by a test.
type child struct {
	*server.Child
	t *testing.T
}

// newChild returns a child that isn't started yet.
func newChild(t *testing.T, env ...string) *child {
	t.Helper()
	return &child{server.NewChild(t, program.Path(t), env...), t}
}

// TestReadme runs the commands of the README, word for word, on a free port.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	c := newChild(t)
	c.Flags = []string{"-dev"}
	c.Start()
	readme := strings.ReplaceAll(string(text), "localhost:8080", c.Address)
	shell := blocks(readme, "sh")
	shown := blocks(readme, "text")[1:] // after the picture
	if len(shell) != 8 || len(shown) != 3 {
		t.Fatalf("the README has %d blocks of shell and %d of output: this test knows 8 and 3", len(shell), len(shown))
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
	alice, _ := c.terminal(everyTerminal + shell[5])
	alice.awaits(t, "event: READY")
	more, moreEnds := c.terminal(everyTerminal + shell[6])
	<-moreEnds
	if got := alike(more.String()); got != alike(shown[2]) {
		t.Errorf("More than online: the third terminal shows:\n%s\nand in the README:\n%s", got, alike(shown[2]))
	}
	admin, adminEnds := c.terminal(everyTerminal + shell[7])
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

// alike replaces what differs from run to run. A version becomes its rank among the
// versions in the text, so that their order is compared.
func alike(text string) string {
	for pattern, same := range map[string]string{
		`"(expiresAt|since|setAt)":"[^"]+"`: `"$1":"then"`,
		`"deviceID":"[A-Z0-9]+"`:            `"deviceID":"random"`,
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

// terminal runs a script whose output can be read while it runs.
func (c *child) terminal(script string) (*screen, <-chan struct{}) {
	c.t.Helper()
	out := &screen{grown: make(chan struct{}, 1)}
	command := exec.CommandContext(c.Ctx, "bash", "-c", script)
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
		case <-time.After(server.Patience):
			t.Fatalf("not shown: %s\n%s", text, s)
		}
	}
}
