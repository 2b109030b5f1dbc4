package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/presence-server/presence/bench/server"
	"github.com/presence-server/presence/httpapi"
)

// bench is one run.
type bench struct {
	short  bool
	times  int
	folder string
	binary string
	tokens httpapi.Tokens
}

func newBench(short bool) (*bench, error) {
	b := &bench{short: short, times: 5, tokens: httpapi.Tokens{Secret: []byte(server.Secret)}}
	if short {
		b.times = 1
	}
	var err error
	if b.folder, err = os.MkdirTemp("", "presence-bench-"); err != nil {
		return nil, err
	}
	b.binary, err = server.Build(b.folder)
	return b, err
}

func (b *bench) close() { os.RemoveAll(b.folder) }

// token returns one that outlives the run.
func (b *bench) token(userID string) string {
	token, _, err := b.tokens.Issue(userID, time.Hour)
	if err != nil {
		panic(err) // only without a secret
	}
	return token
}

// target is a process under load.
type target struct {
	url string
	pid int
	end func()
}

// start starts the server on a new database. Limits are out of the way.
func (b *bench) start(env ...string) (target, error) {
	folder, err := os.MkdirTemp(b.folder, "server-")
	if err != nil {
		return target{}, err
	}
	env = append(env, "LIMITS__CALLS_PER_WINDOW=1000000000", "LOG__LEVEL=warn")
	s, err := server.New(b.binary, folder, env...)
	if err != nil {
		return target{}, err
	}
	if err := s.Start(); err != nil {
		return target{}, err
	}
	return target{s.URL, s.Pid(), s.Kill}, nil
}

// startFloor starts this program as a floor.
func (b *bench) startFloor(name string) (target, error) {
	self, err := os.Executable()
	if err != nil {
		return target{}, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return target{}, err
	}
	address := l.Addr().String()
	l.Close()
	command := exec.Command(self, "-floor", name, address)
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		return target{}, err
	}
	t := target{"http://" + address, command.Process.Pid, func() {
		command.Process.Kill()
		command.Wait()
	}}
	for deadline := time.Now().Add(10 * time.Second); ; {
		if response, err := http.Get(t.url + "/readyz"); err == nil {
			response.Body.Close()
			return t, nil
		} else if time.Now().After(deadline) {
			t.end()
			return t, err
		}
	}
}

// cost measures what work costs the target.
func (t target) cost(units int, work func() error) (cost, error) {
	before, err := cpuTime(t.pid)
	if err != nil {
		return cost{}, err
	}
	began := time.Now()
	if err := work(); err != nil {
		return cost{}, err
	}
	wall := time.Since(began)
	after, err := cpuTime(t.pid)
	return cost{units, after - before, wall}, err
}

// caller makes calls over a connection of its own, one at a time, and costs the
// machine little: the load must not take what the server needs.
type caller struct {
	conn    net.Conn
	answers *bufio.Reader
	request []byte
}

func (t target) dial() (*caller, error) {
	conn, err := net.Dial("tcp", strings.TrimPrefix(t.url, "http://"))
	if err != nil {
		return nil, err
	}
	return &caller{conn: conn, answers: bufio.NewReader(conn)}, nil
}

// post makes a call that must succeed.
func (c *caller) post(path, token string, body []byte) error {
	c.request = fmt.Appendf(c.request[:0], "POST %s HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer %s\r\n"+
		"Content-Length: %d\r\n\r\n%s", path, token, len(body), body)
	if _, err := c.conn.Write(c.request); err != nil {
		return err
	}
	status, err := c.answers.ReadSlice('\n')
	if err != nil {
		return err
	}
	ok := bytes.HasPrefix(status, []byte("HTTP/1.1 200 "))
	length := 0
	for {
		line, err := c.answers.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) == 2 {
			break
		}
		if text, found := bytes.CutPrefix(line, []byte("Content-Length: ")); found {
			if length, err = strconv.Atoi(string(text[:len(text)-2])); err != nil {
				return err
			}
		}
	}
	if _, err := c.answers.Discard(length); err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("%s does not answer 200", path)
	}
	return nil
}

// callers has many at once make the calls below n, each as soon as its last is
// answered.
func (t target) callers(n, atOnce int, call func(c *caller, i int) error) error {
	var next atomic.Int64
	return each(atOnce, atOnce, func(int) error {
		c, err := t.dial()
		if err != nil {
			return err
		}
		defer c.conn.Close()
		for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
			if err := call(c, i); err != nil {
				return err
			}
		}
		return nil
	})
}

// each does work for every number below n, many at a time.
func each(n, atOnce int, work func(i int) error) error {
	var next atomic.Int64
	var workers sync.WaitGroup
	failed := make(chan error, atOnce)
	for range atOnce {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := work(i); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	workers.Wait()
	close(failed)
	return <-failed
}

// streams are many open event streams.
type streams struct {
	conns    []net.Conn
	readers  sync.WaitGroup
	ready    sync.WaitGroup
	received atomic.Int64  // events with statuses
	news     chan struct{} // received has grown; holds one
}

// open opens one stream for each user and returns when all are READY.
func (b *bench) open(t target, users []string) (*streams, error) {
	s := &streams{news: make(chan struct{}, 1), conns: make([]net.Conn, len(users))}
	address := strings.TrimPrefix(t.url, "http://")
	err := each(len(users), 64, func(i int) error {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		s.conns[i] = conn
		_, err = fmt.Fprintf(conn, "GET /v1/events?deviceID=d HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n",
			address, b.token(users[i]))
		s.ready.Add(1)
		s.readers.Go(func() { s.read(conn) })
		return err
	})
	if err != nil {
		s.close()
		return nil, err
	}
	s.ready.Wait()
	return s, nil
}

func (s *streams) read(conn net.Conn) {
	lines := bufio.NewReaderSize(conn, 512)
	ready := false
	for {
		line, err := lines.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull {
			break
		}
		switch {
		case bytes.HasPrefix(line, []byte("event: READY")):
			ready = true
			s.ready.Done()
		case bytes.HasPrefix(line, []byte("event: USER_STATUS_UPDATED")):
			s.received.Add(1)
			select {
			case s.news <- struct{}{}:
			default:
			}
		}
	}
	if !ready {
		s.ready.Done()
	}
}

// wait returns when as many events have come in all.
func (s *streams) wait(ctx context.Context, events int64) error {
	for s.received.Load() < events {
		select {
		case <-s.news:
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(30 * time.Second):
			return fmt.Errorf("%d of %d events have come", s.received.Load(), events)
		}
	}
	return nil
}

func (s *streams) close() {
	for _, conn := range s.conns {
		if conn != nil {
			conn.Close()
		}
	}
	s.readers.Wait()
}

func userName(i int) string { return fmt.Sprintf("user-%06d", i) }

func userNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = userName(i)
	}
	return names
}
