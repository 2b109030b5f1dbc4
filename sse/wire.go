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

// wire is what a stream is written to. There are two: an httpWire is a response of
// net/http, and a connWire is a connection that was taken over from net/http.
//
// A timeout is how long the client may accept no bytes. Zero means no timeout.
type wire interface {
	// write writes an event, after the header of the response if that isn't
	// written yet. If the wire can be written without waiting, write returns the
	// bytes that were not accepted immediately, and the caller must pass them to
	// flush. Otherwise write waits until all bytes are written, and rest is empty.
	write(f frame, timeout time.Duration) (rest []byte, err error)

	// flush writes the rest that write has returned, and waits until it is written.
	flush(rest []byte, timeout time.Duration) error

	// finish ends the response properly, so that the client doesn't reconnect. It
	// returns no error, because the stream ends in any case.
	finish(timeout time.Duration)

	// wait waits until the client disconnects or close is called, and returns the
	// reason.
	wait() error

	// close closes the wire. wait and writes in progress then return.
	close()
}

// pieceBytes is how many bytes are written with one deadline. Over TLS and HTTP/2 a
// write can't be continued after its deadline, so the pieces must be small enough
// for a slow client.
const pieceBytes = 2 << 10

// httpWire is a response of net/http. It ends when its handler returns.
type httpWire struct {
	http.ResponseWriter
	control *http.ResponseController
	ctx     context.Context
	cancel  context.CancelFunc

	writing sync.Mutex
	failed  error // the error of the last write
}

func newHTTPWire(rw http.ResponseWriter, r *http.Request) *httpWire {
	w := &httpWire{ResponseWriter: rw, control: http.NewResponseController(rw)}
	w.ctx, w.cancel = context.WithCancel(r.Context())
	w.control.SetReadDeadline(time.Time{}) // the server's deadlines are for requests and short responses
	w.control.SetWriteDeadline(time.Time{})
	return w
}

// write removes its deadline afterwards. A deadline that passes between two events
// would end a stream over HTTP/2.
func (w *httpWire) write(f frame, timeout time.Duration) ([]byte, error) {
	w.writing.Lock()
	defer w.writing.Unlock()
	if timeout > 0 {
		defer w.control.SetWriteDeadline(time.Time{})
	}
	for rest := f.event; len(rest) > 0 && w.failed == nil; {
		piece := rest[:min(len(rest), pieceBytes)]
		rest = rest[len(piece):]
		if timeout > 0 {
			w.control.SetWriteDeadline(time.Now().Add(timeout)) // not all ResponseWriters support deadlines
		}
		if _, w.failed = w.Write(piece); w.failed == nil {
			w.failed = w.control.Flush()
		}
	}
	return nil, w.failed
}

func (w *httpWire) flush([]byte, time.Duration) error { return nil }
func (w *httpWire) finish(time.Duration)              {} // see Server.Serve

// wait returns the error of the last write, if there is one. Over HTTP/2, a write
// that exceeds its deadline also cancels the context.
func (w *httpWire) wait() error {
	<-w.ctx.Done()
	w.writing.Lock()
	defer w.writing.Unlock()
	return w.failed
}

func (w *httpWire) close() { w.cancel() }

// connWire is an HTTP/1 connection that was taken over from net/http.
type connWire struct {
	conn    net.Conn
	raw     syscall.RawConn // nil means that it can't be written without waiting
	chunked bool            // for HTTP/1.1: clients can detect that a response was aborted
	head    []byte          // the header; nil once it is written, together with the first event
}

// takeOver takes the connection of a request over from net/http. It returns nil if
// that isn't possible.
func takeOver(w http.ResponseWriter, r *http.Request) *connWire {
	if r.ProtoMajor != 1 {
		return nil
	}
	header := w.Header().Clone()
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil
	}
	conn.SetDeadline(time.Time{}) // the server's deadlines are for requests and short responses
	c := &connWire{conn: conn, raw: rawOf(conn), chunked: r.ProtoAtLeast(1, 1)}
	c.head = head(header, c.chunked)
	return c
}

// head returns the status line and the header of the response.
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

// rawOf returns access to the file descriptor of a connection, or nil if writing to
// it directly isn't possible. It does so for known types only: another type may
// have a file descriptor, but transform what is written, as TLS does.
func rawOf(conn net.Conn) syscall.RawConn {
	if !canTryWrite {
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

func (c *connWire) write(f frame, timeout time.Duration) ([]byte, error) {
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
	n, err := tryWrite(c.raw, event)
	return event[n:], err
}

// flush continues after a deadline has passed if some bytes were accepted. TLS
// connections can't continue, which is why the pieces are small.
func (c *connWire) flush(rest []byte, timeout time.Duration) error {
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

func (c *connWire) finish(timeout time.Duration) {
	switch {
	case !c.chunked || c.head != nil: // HTTP/1.0 has no end mark, and without a header no response has begun
	case c.raw != nil:
		tryWrite(c.raw, []byte(lastChunk)) // if the connection doesn't accept it, the response is aborted
	default:
		c.flush([]byte(lastChunk), timeout)
	}
}

// wait reads from the connection to detect that the client disconnects. A client
// must not send anything after its request.
func (c *connWire) wait() error {
	n, err := c.conn.Read(make([]byte, 1))
	if n > 0 {
		return errors.New("the client has sent more than its request")
	}
	return err
}

func (c *connWire) close() { c.conn.Close() }
