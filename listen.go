package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	stdlog "log"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/presence-server/presence/httpapi"
)

// webServer is an HTTP server with a listener of its own, and with timeouts that
// suit event streams. Create one with listen.
//
// It accepts requests before there is a handler. Until the first call of show,
// /livez returns 200, event streams wait, and all other requests are rejected with
// 503.
type webServer struct {
	http     http.Server
	listener net.Listener
	scheme   string
	serving  atomic.Pointer[http.Handler] // nil until show is called
	started  context.Context              // done once show or close is called
	start    context.CancelFunc
	failed   chan error // receives the error because of which the server has stopped; nothing after close
	done     chan struct{}
}

const (
	// requestTimeout is how long a client may take to send a request.
	requestTimeout = 10 * time.Second

	// maxHeader is the maximum size of a request's header in bytes. A token has
	// up to 8 KiB.
	maxHeader = 32 << 10

	// peerTimeout is how long an HTTP/2 client may be unresponsive before its
	// connection is closed. Over HTTP/1, package sse applies a timeout to each
	// stream.
	peerTimeout = 10 * time.Second
)

// listen starts a server on address, which has the form host:port. cert and certKey
// are the files of a certificate and its private key, in PEM. With them the server
// speaks HTTPS with HTTP/2; if cert is empty, it speaks HTTP/1.1 without TLS. The
// server must be closed. Its connections are limited; see httpapi.LimitConnections.
//
// key is the key of the configuration that gives the address. An error names it, and
// says what to do about the usual causes.
func listen(key, address, cert, certKey string, log *slog.Logger) (*webServer, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, explainListen(err, key)
	}
	s := &webServer{listener: listener, scheme: "http", failed: make(chan error, 1), done: make(chan struct{})}
	s.started, s.start = context.WithCancel(context.Background())
	s.http = http.Server{
		Handler:        s,
		ReadTimeout:    requestTimeout,   // includes bodies that no handler reads
		WriteTimeout:   30 * time.Second, // for responses other than streams, which have timeouts of their own
		IdleTimeout:    2 * time.Minute,
		MaxHeaderBytes: maxHeader,
		ErrorLog:       stdlog.New(serverLog{log}, "", 0),
		HTTP2: &http.HTTP2Config{ // detects clients whose network is gone
			SendPingTimeout:  peerTimeout,
			PingTimeout:      peerTimeout,
			WriteByteTimeout: peerTimeout,
		},
	}
	httpapi.LimitConnections(&s.http)
	serve := s.http.Serve
	if cert != "" {
		s.scheme = "https"
		serve = func(l net.Listener) error { return s.http.ServeTLS(l, cert, certKey) }
	}
	go func() {
		defer close(s.done)
		if err := serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.failed <- err
		}
	}()
	return s, nil
}

// explainListen adds to an error of net.Listen what to do about it.
func explainListen(err error, key string) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%w: another program uses this port; stop it, or choose another address, such as %s=127.0.0.1:8081", err, variableOf(key))
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%w: this machine has no such address; set %s to one that it has, or to \":8080\" for all", err, key)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%w: ports below 1024 need a privilege (see deploy/README.md); choose a higher one, such as %s=:8080", err, variableOf(key))
	}
	return err
}

// serverLog receives the log lines of net/http. Most of them are about errors of
// clients and are logged at the debug level. A failure to accept connections is
// logged as an error.
type serverLog struct{ log *slog.Logger }

// Write logs one line.
func (l serverLog) Write(line []byte) (int, error) {
	level := slog.LevelDebug
	if bytes.Contains(line, []byte("Accept error")) {
		level = slog.LevelError
	}
	l.log.Log(context.Background(), level, string(bytes.TrimSpace(line)))
	return len(line), nil
}

// ServeHTTP passes the request to the handler of the last call of show. Before the
// first, an event stream waits, because an EventSource never reconnects after a
// response other than 200.
func (s *webServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	isStream := r.URL.Path == "/v1/events"
	serving := s.serving.Load()
	if serving == nil && isStream {
		select {
		case <-s.started.Done():
		case <-r.Context().Done():
		}
		serving = s.serving.Load()
	}
	switch {
	case serving != nil:
		(*serving).ServeHTTP(w, r)
	case isStream:
		panic(http.ErrAbortHandler) // close was called before show
	default:
		httpapi.Starting(w, r)
	}
}

// show makes h serve all requests from now on. It can be called again with another
// handler.
func (s *webServer) show(h http.Handler) {
	s.serving.Store(&h)
	s.start()
}

// url returns the address that the server listens on, such as
// "http://127.0.0.1:8080/".
func (s *webServer) url() string { return s.scheme + "://" + s.listener.Addr().String() + "/" }

// close closes all connections that still belong to the server, and waits until it
// no longer listens. To let requests end, call httpapi.Handler.Shutdown before.
func (s *webServer) close() {
	s.start()
	s.http.Close()
	<-s.done
}
