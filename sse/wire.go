package sse

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// wire is where a response leaves: net/http's, or a connection taken from it.
type wire interface {
	Header() http.Header

	// writeHead sends nothing yet: the head leaves together with READY.
	writeHead()

	// write sends an event, stuck for at most the timeout, or a quarter more;
	// 0 is forever.
	write(event []byte, timeout time.Duration) error
}

// lent is a response of net/http.
type lent struct {
	http.ResponseWriter
	control *http.ResponseController
}

func newLent(w http.ResponseWriter) *lent {
	l := &lent{w, http.NewResponseController(w)}
	l.control.SetReadDeadline(time.Time{}) // the server's own are for requests
	l.control.SetWriteDeadline(time.Time{})
	return l
}

func (l *lent) writeHead() { l.WriteHeader(http.StatusOK) }

// write leaves no deadline behind: one that passes between two events would end
// a stream of HTTP/2.
func (l *lent) write(event []byte, timeout time.Duration) error {
	if timeout > 0 {
		l.control.SetWriteDeadline(time.Now().Add(timeout)) // what can't have one goes without
		defer l.control.SetWriteDeadline(time.Time{})
	}
	if _, err := l.Write(event); err != nil {
		return err
	}
	return l.control.Flush()
}

// taken is a connection of HTTP/1 that was taken over from net/http. Its
// response has no length and ends with the connection.
type taken struct {
	conn   net.Conn
	header http.Header
	head   []byte    // until it is sent
	armed  time.Time // when the write deadline was set
	ended  chan struct{}
}

// takeOver returns the connection of a request, or nil if it can't be taken.
func takeOver(w http.ResponseWriter, r *http.Request, timeout time.Duration) *taken {
	if r.ProtoMajor != 1 {
		return nil
	}
	header := w.Header().Clone()
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil
	}
	limitSilence(conn, timeout)
	return &taken{conn: conn, header: header, ended: make(chan struct{})}
}

// Header returns the head's fields.
func (c *taken) Header() http.Header { return c.header }

func (c *taken) writeHead() {
	var head bytes.Buffer
	c.header.Set("Connection", "close")
	c.header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	fmt.Fprintf(&head, "HTTP/1.1 200 OK\r\n")
	c.header.Write(&head)
	head.WriteString("\r\n")
	c.head, c.header = head.Bytes(), nil
}

// write arms a deadline only now and then, as that costs about as much as
// encoding an event; so all of them are a quarter longer.
func (c *taken) write(event []byte, timeout time.Duration) error {
	if now := time.Now(); timeout > 0 && now.Sub(c.armed) > timeout/4 {
		c.armed = now
		if err := c.conn.SetWriteDeadline(now.Add(timeout + timeout/4)); err != nil {
			return err
		}
	}
	if c.head != nil {
		event = append(c.head, event...)
		c.head = nil
	}
	_, err := c.conn.Write(event)
	return err
}

// watch reads what never comes, to see the end of the client's side.
func (c *taken) watch(cancel context.CancelCauseFunc) {
	defer close(c.ended)
	_, err := c.conn.Read(make([]byte, 1))
	if err == nil {
		cancel(errors.New("the client has sent more than its request"))
		return
	}
	cancel(nil)
}

// close ends the connection, and waits for watch.
func (c *taken) close() {
	c.conn.Close()
	<-c.ended
}
