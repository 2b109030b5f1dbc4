//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/presence-server/presence/bench/lab"
)

// shout makes the loud users change all the time. Each status is 64 KiB long.
func (c *crowd) shout(ctx context.Context) {
	every := time.NewTicker(20 * time.Millisecond)
	defer every.Stop()
	for i := 0; ; i++ {
		text := strings.Repeat(string(rune('a'+i%26)), 65536)
		if _, err := c.v.set(ctx, lab.Token(fmt.Sprint("loud-", i%loudUsers)), text); err != nil {
			return
		}
		select {
		case <-every.C:
		case <-ctx.Done():
			return
		}
	}
}

func (c *client) openStream() error {
	_, err := fmt.Fprintf(c, "GET /v1/events?deviceID=d HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nLast-Event-ID: 0\r\n\r\n", c.token)
	return err
}

// stopReading opens a stream and never reads from it.
func stopReading(c *client, begun func()) error {
	if err := c.openStream(); err != nil {
		return err
	}
	begun()
	return nil
}

// leave opens a stream and disconnects. It alternates between disconnecting before and
// after the stream has started, and between closing the connection properly and
// resetting it.
func leave(c *client, begun func()) error {
	if err := c.openStream(); err != nil {
		return err
	}
	begun()
	if c.random.IntN(2) == 0 {
		c.Conn.(*net.TCPConn).SetLinger(0)
	}
	if c.random.IntN(2) == 0 {
		_, err := c.Read(make([]byte, 512))
		return err
	}
	return nil
}

// sendBody sends an endless body, as fast as the server reads it.
func sendBody(c *client, begun func()) error {
	_, err := fmt.Fprintf(c, "POST /v1/setSelfStatus HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"+
		"Transfer-Encoding: chunked\r\n\r\n2\r\n{\"\r\n", c.token)
	if err != nil {
		return err
	}
	begun()
	chunk := "1000\r\n" + strings.Repeat("x", 0x1000) + "\r\n"
	for err == nil {
		_, err = io.WriteString(c, chunk)
	}
	return err
}

// idle sends nothing.
func idle(_ *client, begun func()) error {
	begun()
	return nil
}
