package sse

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

const writeTimeout = 10 * time.Second

// TestASlowClientIsNotCut checks that a client that reads some of an event within each
// write timeout receives all of it, however long that takes, and that a client that
// reads nothing is cut after the timeout.
func TestASlowClientIsNotCut(t *testing.T) {
	event := bytes.Repeat([]byte("0123456789abcdef"), 2<<10)
	for name, c := range map[string]struct {
		limit int64 // bytes that the client reads
		want  error
	}{"reads all": {1 << 20, nil}, "stops reading": {10_000, os.ErrDeadlineExceeded}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, client := net.Pipe()
				wire := &connWire{conn: server}
				began := time.Now()
				read := make(chan int64)
				go func() {
					var n int64
					for n < c.limit {
						<-time.After(writeTimeout - time.Second)
						piece, err := io.CopyN(io.Discard, client, 1000)
						if n += piece; err != nil {
							break
						}
					}
					read <- n
				}()
				_, err := wire.write(frame{event: event}, writeTimeout)
				took := time.Since(began)
				server.Close()
				if n := <-read; !errors.Is(err, c.want) || c.want == nil && n != int64(len(event)) {
					t.Errorf("%d of %d bytes were read, and the write ended with %v, want %v", n, len(event), err, c.want)
				}
				if last := 10 * (writeTimeout - time.Second); c.want != nil && (took < last+writeTimeout || took > last+2*writeTimeout) {
					t.Errorf("cut after %v, want a timeout after the last byte was read, at %v", took, last)
				}
			})
		})
	}
}

// oneConn is a listener that accepts one connection, in memory.
type oneConn struct{ conn net.Conn }

func (l *oneConn) Accept() (net.Conn, error) {
	conn := l.conn
	if l.conn = nil; conn == nil {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (l *oneConn) Close() error   { return nil }
func (l *oneConn) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }

// TestALentResponseIsNotCut checks the same for a response that net/http writes, of
// which a client must read a part within each timeout.
func TestALentResponseIsNotCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		event := bytes.Repeat([]byte("0123456789abcdef"), 2<<10)
		server, client := net.Pipe()
		written := make(chan error, 1)
		handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, err := newHTTPWire(w, r).write(frame{event: event}, writeTimeout)
			written <- err
		})
		go http.Serve(&oneConn{conn: server}, handler)
		io.WriteString(client, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		var got bytes.Buffer
		for {
			<-time.After(writeTimeout - time.Second)
			if _, err := io.CopyN(&got, client, pieceBytes+1000); err != nil {
				break
			}
		}
		if err := <-written; err != nil || bytes.Count(got.Bytes(), []byte("0")) < len(event)/16 {
			t.Errorf("%d bytes were read of %d, and the write ended with %v", got.Len(), len(event), err)
		}
	})
}
