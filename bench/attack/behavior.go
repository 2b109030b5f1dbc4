//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// shout has the loud users change all the time, each status 64 KiB long.
func (s *siege) shout(ctx context.Context) {
	every := time.NewTicker(20 * time.Millisecond)
	defer every.Stop()
	for i := 0; ; i++ {
		text := strings.Repeat(string(rune('a'+i%26)), 65536)
		if _, err := s.v.set(ctx, s.louds[i%loudUsers], text); err != nil {
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

// stopReading opens a stream and never reads of it.
func stopReading(c *client, begun func()) error {
	if err := c.openStream(); err != nil {
		return err
	}
	begun()
	return nil
}

// readSlowly reads a byte of its stream each second.
func readSlowly(c *client, begun func()) error {
	if err := c.openStream(); err != nil {
		return err
	}
	begun()
	every := time.NewTicker(time.Second)
	defer every.Stop()
	for buffer := make([]byte, 1); ; <-every.C {
		if _, err := c.Read(buffer); err != nil {
			return err
		}
	}
}

// leave opens a stream and goes at once, by turns before and after it has begun,
// and by turns with and without saying so.
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

// sendHeaders sends one header after the other, slowly, for ever.
func sendHeaders(c *client, begun func()) error {
	if _, err := io.WriteString(c, "GET /livez HTTP/1.1\r\nHost: x\r\n"); err != nil {
		return err
	}
	begun()
	every := time.NewTicker(100 * time.Millisecond)
	defer every.Stop()
	for i := 0; ; i++ {
		if _, err := fmt.Fprintf(c, "X-Header-%d: forever\r\n", i); err != nil {
			return err
		}
		<-every.C
	}
}

// sendBody sends a body that has no end, as fast as it is taken.
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

// idle says nothing.
func idle(_ *client, begun func()) error {
	begun()
	return nil
}

// sendGarbage sends requests without waiting for answers, and then what is no
// request, and reads until it is cut.
func sendGarbage(c *client, begun func()) error {
	garbage := []string{
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", // TLS
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"GET / HTTP/9.9\r\n\r\n",
		"POST /v1/setSelfStatus HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
		"GET /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \x00\r\n\r\n",
		strings.Repeat("\x00", 4096),
	}
	bytes := make([]byte, 256)
	for i := range bytes {
		bytes[i] = byte(c.random.Uint32())
	}
	garbage = append(garbage, string(bytes))
	text := strings.Repeat("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", c.random.IntN(20)) + garbage[c.random.IntN(len(garbage))]
	if _, err := io.WriteString(c, text); err != nil {
		return err
	}
	begun()
	c.SetReadDeadline(time.Now().Add(time.Second)) // not all of it is cut at once: some may go on
	_, err := io.Copy(io.Discard, bufio.NewReader(c))
	return err
}
