//go:build linux

package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// caller makes calls over a connection of its own, one at a time, without a goroutine.
// The load must not use CPU time that the server needs.
type caller struct {
	conn    net.Conn
	answers *bufio.Reader
	request []byte
	answer  []byte // body of the last call
}

func (t *target) dial() (*caller, error) {
	conn, err := net.Dial("tcp", t.address)
	if err != nil {
		return nil, err
	}
	return &caller{conn: conn, answers: bufio.NewReader(conn)}, nil
}

func (c *caller) close() { c.conn.Close() }

// post makes a call that must succeed.
func (c *caller) post(path, token string, body []byte) error {
	c.request = fmt.Appendf(c.request[:0], "POST %s HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer %s\r\n"+
		"Content-Length: %d\r\n\r\n%s", path, token, len(body), body)
	if _, err := c.conn.Write(c.request); err != nil {
		return err
	}
	response, err := http.ReadResponse(c.answers, nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if c.answer, err = io.ReadAll(response.Body); err == nil && response.StatusCode/100 != 2 {
		err = fmt.Errorf("%s was not answered 200: %s", path, c.answer)
	}
	return err
}

// callers makes the calls 0 to n-1 and returns how long each took. Client i%clients
// makes call i. With a pace of zero, each client makes its next call as soon as the
// last is answered; otherwise call i waits until i*pace after the start.
func (t *target) callers(n, clients int, pace time.Duration, call func(c *caller, i int) error) ([]time.Duration, error) {
	delays := make([]time.Duration, n)
	start := time.Now()
	var running sync.WaitGroup
	failed := make(chan error, clients)
	for first := range clients {
		running.Go(func() {
			c, err := t.dial()
			if err != nil {
				failed <- err
				return
			}
			defer c.close()
			for i := first; i < n; i += clients {
				time.Sleep(time.Until(start.Add(time.Duration(i) * pace)))
				began := time.Now()
				if err := call(c, i); err != nil {
					failed <- err
					return
				}
				delays[i] = time.Since(began)
			}
		})
	}
	running.Wait()
	close(failed)
	return delays, <-failed
}

// setStatus sets a status that the user has never had before.
func (c *caller) setStatus(token string, i int) error {
	return c.post("/v1/setSelfStatus", token, fmt.Appendf(nil, `{"customStatus":"In call %d"}`, i))
}
