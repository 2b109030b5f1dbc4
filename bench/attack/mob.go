//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/presence-server/presence/bench/lab"
	"golang.org/x/sys/unix"
)

// mob is a process that acts as a crowd. It is a process of its own because in this
// one the healthy stream would wait for the crowd's goroutines. It has a lower
// priority than the server, as if it ran on another machine.
type mob struct {
	command *exec.Cmd
	in      io.WriteCloser
}

// gather starts the process, and returns when all clients of the crowd are there.
func (c *crowd) gather(ctx context.Context, address string) (*mob, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	m := &mob{command: exec.CommandContext(ctx, "nice", self, "-seed", fmt.Sprint(c.a.seed), "-crowd", c.name, address)}
	m.command.Stderr = os.Stderr
	out, err := m.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if m.in, err = m.command.StdinPipe(); err != nil {
		return nil, err
	}
	if err := m.command.Start(); err != nil {
		return nil, err
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "all in\n" {
		return nil, fmt.Errorf("the crowd did not start: %q, %w", line, err)
	}
	return m, nil
}

// leave stops the crowd.
func (m *mob) leave() error {
	m.in.Close()
	return m.command.Wait()
}

// beCrowd is what the process does until its input ends.
func (a *attacker) beCrowd(name, address string) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for _, c := range a.crowds() {
		if c.name != name {
			continue
		}
		var running sync.WaitGroup
		var in atomic.Int64
		for i := range c.n {
			running.Go(func() {
				c.be(ctx, i, address, sync.OnceFunc(func() {
					if in.Add(1) == int64(c.n) {
						fmt.Println("all in")
					}
				}))
			})
		}
		io.Copy(io.Discard, os.Stdin)
		cancel()
		running.Wait()
	}
	return nil
}

// be acts as one client of the crowd until ctx is done.
func (c *crowd) be(ctx context.Context, i int, address string, begun func()) {
	random, token := c.a.random(fmt.Sprint(c.name, i)), lab.Token(fmt.Sprint("bad-", i%badUsers))
	dialer := net.Dialer{Control: smallSegments}
	for ctx.Err() == nil {
		conn, err := dialer.DialContext(ctx, "tcp", address)
		if err != nil {
			continue
		}
		stop := context.AfterFunc(ctx, func() { conn.Close() })
		c.one(&client{conn, token, random}, begun)
		if !c.again {
			<-ctx.Done()
		}
		stop()
		conn.Close()
	}
}

// smallSegments makes the kernel buffer little of what a client doesn't read. How much
// the other end may send before it blocks grows with the size of a segment.
func smallSegments(_, _ string, raw syscall.RawConn) error {
	return raw.Control(func(fd uintptr) {
		unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG, 536)
		unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 4096)
	})
}
