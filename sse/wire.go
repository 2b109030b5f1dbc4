package sse

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"
)

// wire is where a stream leaves: net/http's response, or a connection taken
// from it.
//
// A timeout is for how long the client may accept nothing; one that accepts
// little at a time is waited for. Zero means forever.
type wire interface {
	// write sends an event, and what must come before it. Where it can send
	// without waiting it returns what is left for flush; elsewhere it waits,
	// and nothing is left.
	write(f frame, timeout time.Duration) (rest []byte, err error)

	// flush sends what write has left.
	flush(rest []byte, timeout time.Duration) error

	// finish says to the client that the response is complete. An error has no
	// consequence: the stream ends anyway.
	finish(timeout time.Duration)

	// wait returns when the client has gone, or after close, and why.
	wait() error

	close()
}

// pieceBytes is how much is written with one deadline where a write that has
// passed its deadline can't be continued.
const pieceBytes = 2 << 10

// lent is a response of net/http, which ends when its handler returns.
type lent struct {
	http.ResponseWriter
	control *http.ResponseController
	ctx     context.Context
	cancel  context.CancelFunc

	writing sync.Mutex
	failed  error // why the last write did
}

func lend(w http.ResponseWriter, r *http.Request) *lent {
	l := &lent{ResponseWriter: w, control: http.NewResponseController(w)}
	l.ctx, l.cancel = context.WithCancel(r.Context())
	l.control.SetReadDeadline(time.Time{}) // the server's own are for requests
	l.control.SetWriteDeadline(time.Time{})
	return l
}

// write leaves no deadline behind: one that passes between two events would end
// a stream of HTTP/2.
func (l *lent) write(f frame, timeout time.Duration) ([]byte, error) {
	l.writing.Lock()
	defer l.writing.Unlock()
	if timeout > 0 {
		defer l.control.SetWriteDeadline(time.Time{})
	}
	for rest := f.event; len(rest) > 0 && l.failed == nil; {
		piece := rest[:min(len(rest), pieceBytes)]
		rest = rest[len(piece):]
		if timeout > 0 {
			l.control.SetWriteDeadline(time.Now().Add(timeout)) // a response that can't have one goes without
		}
		if _, l.failed = l.Write(piece); l.failed == nil {
			l.failed = l.control.Flush()
		}
	}
	return nil, l.failed
}

func (l *lent) flush([]byte, time.Duration) error { return nil }
func (l *lent) finish(time.Duration)              {} // see Server.Serve

// wait has the error of a write first: HTTP/2 takes a write that takes too long
// for the client's end, too.
func (l *lent) wait() error {
	<-l.ctx.Done()
	l.writing.Lock()
	defer l.writing.Unlock()
	return l.failed
}

func (l *lent) close() { l.cancel() }

// taken is a connection of HTTP/1 that was taken over from net/http.
type taken struct {
	conn    net.Conn
	raw     syscall.RawConn // nil: it can't be written without waiting
	chunked bool            // since HTTP/1.1: the client can see that a response is cut short
	head    []byte          // until it is sent: it leaves together with READY
}

// takeOver returns the connection of a request, or nil if it can't be taken.
func takeOver(w http.ResponseWriter, r *http.Request) *taken {
	if r.ProtoMajor != 1 {
		return nil
	}
	header := w.Header().Clone()
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil
	}
	conn.SetDeadline(time.Time{}) // the server's own are for requests
	c := &taken{conn: conn, raw: rawOf(conn), chunked: r.ProtoAtLeast(1, 1)}
	c.head = head(header, c.chunked)
	return c
}

func head(header http.Header, chunked bool) []byte {
	protocol := "HTTP/1.0"
	if chunked {
		protocol = "HTTP/1.1"
		header.Set("Transfer-Encoding", "chunked")
	}
	header.Set("Connection", "close")
	header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	var text bytes.Buffer
	text.WriteString(protocol + " 200 OK\r\n")
	header.Write(&text)
	text.WriteString("\r\n")
	return text.Bytes()
}

// rawOf returns what gives access to the descriptor. Only for the types that
// send bytes as they are: others may well have a descriptor below.
func rawOf(conn net.Conn) syscall.RawConn {
	if !canTry {
		return nil
	}
	var raw syscall.RawConn
	switch conn := conn.(type) {
	case *net.TCPConn:
		raw, _ = conn.SyscallConn()
	case *net.UnixConn:
		raw, _ = conn.SyscallConn()
	}
	return raw
}

func (c *taken) write(f frame, timeout time.Duration) ([]byte, error) {
	event := f.event
	if c.chunked {
		event = f.chunk
	}
	if c.head != nil {
		event = append(c.head, event...)
		c.head = nil
	}
	if c.raw == nil {
		return nil, c.flush(event, timeout)
	}
	n, err := try(c.raw, event)
	return event[n:], err
}

// flush goes on after a deadline that has passed if a part was accepted. TLS
// can't, which is why the pieces are small.
func (c *taken) flush(rest []byte, timeout time.Duration) error {
	if timeout > 0 {
		defer c.conn.SetWriteDeadline(time.Time{})
	}
	for len(rest) > 0 {
		if timeout > 0 {
			c.conn.SetWriteDeadline(time.Now().Add(timeout))
		}
		n, err := c.conn.Write(rest[:min(len(rest), pieceBytes)])
		if err != nil && (n == 0 || !errors.Is(err, os.ErrDeadlineExceeded)) {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

func (c *taken) finish(timeout time.Duration) {
	switch {
	case !c.chunked || c.head != nil: // without a head nothing has begun
	case c.raw != nil:
		try(c.raw, []byte(lastChunk)) // the connection takes it, or is stuck and ends
	default:
		c.flush([]byte(lastChunk), timeout)
	}
}

// wait reads what never comes, to see the end of the client's side.
func (c *taken) wait() error {
	n, err := c.conn.Read(make([]byte, 1))
	if n > 0 {
		return errors.New("the client has sent more than its request")
	}
	return err
}

func (c *taken) close() { c.conn.Close() }
