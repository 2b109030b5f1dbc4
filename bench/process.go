//go:build linux

package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	server "github.com/presence-server/presence/deploy/testserver"
	"github.com/presence-server/presence/httpapi"
)

// bench is one run.
type bench struct {
	short  bool
	times  int
	folder string
	binary string
	tokens httpapi.Tokens
	seeds  map[string]string // databases by name, each made once
}

func newBench(short bool) (*bench, error) {
	b := &bench{
		short: short, times: 5,
		tokens: httpapi.Tokens{Secret: []byte(server.Secret)},
		seeds:  make(map[string]string),
	}
	if short {
		b.times = 1
	}
	var err error
	if b.folder, err = os.MkdirTemp("", "presence-bench-"); err != nil {
		return nil, err
	}
	if b.binary, err = server.Build(b.folder); err != nil {
		b.close()
	}
	return b, err
}

func (b *bench) close() { os.RemoveAll(b.folder) }

// scale returns n, or less in a short run.
func (b *bench) scale(n int) int {
	if b.short {
		return max(1, n/10)
	}
	return n
}

func userName(i int) string { return fmt.Sprintf("user-%06d", i) }

// token returns one of a user that outlives the run.
func (b *bench) token(user int) string {
	token, _, err := b.tokens.Issue(userName(user), time.Hour)
	if err != nil {
		panic(err) // only without a secret
	}
	return token
}

func (b *bench) someTokens(n int) []string {
	tokens := make([]string, n)
	for i := range tokens {
		tokens[i] = b.token(i)
	}
	return tokens
}

// target is a process under load.
type target struct {
	address string
	pid     int
	end     func() // ends it, if it still runs

	*server.Server // ours, or nil
}

// start starts the server on a copy of a database, or on a new one if that is
// "".
func (b *bench) start(database string, env ...string) (*target, error) {
	t, err := b.prepare(database, env...)
	if err != nil {
		return nil, err
	}
	if err := t.begin(); err != nil {
		t.end()
		return nil, err
	}
	return t, nil
}

// prepare does everything for a start but the start. Limits are out of the way.
func (b *bench) prepare(database string, env ...string) (*target, error) {
	folder, err := os.MkdirTemp(b.folder, "server-")
	if err != nil {
		return nil, err
	}
	env = append(env, "LIMITS__CALLS_PER_WINDOW=1000000000", "LOG__LEVEL=warn")
	s, err := server.New(b.binary, folder, env...)
	if err != nil {
		return nil, err
	}
	t := &target{address: strings.TrimPrefix(s.URL, "http://"), Server: s, end: func() {
		s.Kill()
		os.RemoveAll(folder)
	}}
	if database != "" {
		err = copyFile(database, t.database())
	}
	return t, err
}

// database returns the path of our server's database.
func (t *target) database() string { return filepath.Join(t.Folder, "presence.db") }

// begin starts our server, also anew after Kill, and returns when it is ready.
func (t *target) begin() error {
	if err := t.Start(); err != nil {
		return err
	}
	t.pid = t.Pid()
	return nil
}

func copyFile(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	copied, err := os.Create(to)
	if err != nil {
		return err
	}
	defer copied.Close()
	if _, err := io.Copy(copied, source); err != nil {
		return err
	}
	return copied.Sync() // the server's first fsync would wait for it
}

// startFloor starts this program as a floor.
func (b *bench) startFloor(name string) (*target, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	return launch(exec.Command(self, "-floor", name, address), address)
}

// launch starts another server, and returns when it answers.
func launch(command *exec.Cmd, address string) (*target, error) {
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		return nil, err
	}
	t := &target{address: address, pid: command.Process.Pid, end: func() {
		command.Process.Signal(os.Interrupt)
		command.Wait()
	}}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if response, err := http.Get("http://" + address + "/readyz"); err == nil {
			response.Body.Close()
			return t, nil
		} else if time.Now().After(deadline) {
			t.end()
			return nil, err
		}
	}
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
