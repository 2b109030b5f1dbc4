package sse

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"
)

// wire is where a stream leaves: net/http's response, or a connection taken
// from it.
type wire interface {
	// write sends an event, and what must come before it. Where it can send
	// without waiting it returns what is left for flush; elsewhere it waits, and
	// nothing is left. It fails once the client has accepted nothing for the
	// timeout. Zero means no timeout.
	write(event frame, timeout time.Duration) (rest []byte, err error)

	// flush sends what write or conclude has left.
	flush(rest []byte, timeout time.Duration) error

	// conclude sends what shows the client that the response is complete. It
	// returns as write does.
	conclude(timeout time.Duration) (rest []byte, err error)

	// wait returns when the client has gone, or after close, and why.
	wait() error

	close()
}

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
// a stream of HTTP/2. A response that can't have a deadline goes without.
func (l *lent) write(event frame, timeout time.Duration) ([]byte, error) {
	l.writing.Lock()
	defer l.writing.Unlock()
	if timeout > 0 {
		defer l.control.SetWriteDeadline(time.Time{})
	}
	if l.failed = send(l, event.event(), timeout, l.control.SetWriteDeadline); l.failed == nil {
		renew(timeout, l.control.SetWriteDeadline)
		l.failed = l.control.Flush()
	}
	return nil, l.failed
}

// conclude sends nothing: net/http ends the response when the handler returns.
func (l *lent) conclude(time.Duration) ([]byte, error) { return nil, nil }

func (l *lent) flush([]byte, time.Duration) error { return nil }

// wait has the error of a write first: HTTP/2 takes a write that takes too long
// for the client's end, too.
func (l *lent) wait() error {
	<-l.ctx.Done()
	l.writing.Lock()
	defer l.writing.Unlock()
	return l.failed
}

func (l *lent) close() { l.cancel() }

// taken is a connection of HTTP/1 that was taken over from net/http. Its
// response has no length and ends with the connection, or properly with the last
// chunk. HTTP/1.0 has no chunks.
type taken struct {
	conn    net.Conn
	raw     syscall.RawConn // nil if it can't be written without waiting
	chunked bool
	head    []byte // until it is sent: it leaves together with READY
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
	c.head = c.begin(header)
	return c
}

func (c *taken) begin(header http.Header) []byte {
	protocol := "HTTP/1.0"
	if c.chunked {
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

func (c *taken) write(event frame, timeout time.Duration) ([]byte, error) {
	text := event.event()
	if c.chunked {
		text = event.chunk()
	}
	if c.head != nil {
		text = append(c.head, text...)
		c.head = nil
	}
	return c.send(text, timeout)
}

func (c *taken) conclude(timeout time.Duration) ([]byte, error) {
	if !c.chunked || c.head != nil { // without a head nothing has begun
		return nil, nil
	}
	return c.send([]byte(lastChunk), timeout)
}

func (c *taken) send(text []byte, timeout time.Duration) (rest []byte, err error) {
	if c.raw == nil {
		return nil, c.flush(text, timeout)
	}
	n, err := try(c.raw, text)
	return text[n:], err
}

func (c *taken) flush(rest []byte, timeout time.Duration) error {
	if timeout > 0 {
		defer c.conn.SetWriteDeadline(time.Time{})
	}
	return send(c.conn, rest, timeout, c.conn.SetWriteDeadline)
}

// maxPiece is the number of bytes that are written with one deadline. TLS and
// HTTP/2 don't show how much of a piece the client has accepted.
const maxPiece = 4 << 10

// send writes text in pieces. It fails once nothing has been accepted for the
// timeout, however long the whole takes.
func send(w io.Writer, text []byte, timeout time.Duration, setDeadline func(time.Time) error) error {
	for len(text) > 0 {
		renew(timeout, setDeadline)
		n, err := w.Write(text[:min(len(text), maxPiece)])
		if err != nil && (n == 0 || !errors.Is(err, os.ErrDeadlineExceeded)) {
			return err
		}
		text = text[n:]
	}
	return nil
}

func renew(timeout time.Duration, setDeadline func(time.Time) error) {
	if timeout > 0 {
		setDeadline(time.Now().Add(timeout))
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
