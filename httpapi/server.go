package httpapi

import (
	"bytes"
	"context"
	"errors"
	stdlog "log"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"sync/atomic"
	"time"

	"github.com/presence-server/presence/presence"
)

// Server is an HTTP server with a listener of its own, and with timeouts that
// suit event streams. Create one with [Listen].
//
// A Server accepts requests before there is a handler. Until the first call of
// [Server.Show], /livez returns 200, event streams wait, and all other requests
// are rejected with 503.
type Server struct {
	http     http.Server
	listener net.Listener
	scheme   string
	serving  atomic.Pointer[http.Handler] // nil until Show is called
	conns    *connections
	started  context.Context // done once Show or Close is called
	start    context.CancelFunc
	failed   chan error // has room for one
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

// Listen starts a server on address, which has the form host:port. cert and key
// are the files of a certificate and its private key, in PEM. With them the
// server speaks HTTPS with HTTP/2; if cert is empty, it speaks HTTP/1.1 without
// TLS. The server must be closed.
//
// Connections on which no valid credential has been sent are limited, by the
// limit of file descriptors: the one that has been idle longest is closed to
// admit a new one, and each is closed after 10 seconds of idleness.
func Listen(address, cert, key string, log *slog.Logger) (*Server, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	s := &Server{listener: listener, scheme: "http", failed: make(chan error, 1), done: make(chan struct{})}
	s.conns = newConnections(unproven(descriptors()))
	s.started, s.start = context.WithCancel(context.Background())
	s.http = http.Server{
		Handler:        s,
		ReadTimeout:    requestTimeout,   // includes bodies that no handler reads
		WriteTimeout:   30 * time.Second, // for responses other than streams, which have timeouts of their own
		IdleTimeout:    2 * time.Minute,
		MaxHeaderBytes: maxHeader,
		ConnContext:    s.conns.accept,
		ConnState:      s.conns.follow,
		ErrorLog:       stdlog.New(serverLog{log}, "", 0),
		HTTP2: &http.HTTP2Config{ // detects clients whose network is gone
			SendPingTimeout:  peerTimeout,
			PingTimeout:      peerTimeout,
			WriteByteTimeout: peerTimeout,
		},
	}
	serve := s.http.Serve
	if cert != "" {
		s.scheme = "https"
		serve = func(l net.Listener) error { return s.http.ServeTLS(l, cert, key) }
	}
	go func() {
		defer close(s.done)
		if err := serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.failed <- err
		}
	}()
	return s, nil
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

// ServeHTTP passes the request to the handler of the last call of Show. Before
// the first, an event stream waits, because an EventSource never reconnects
// after a response other than 200.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	serving := s.serving.Load()
	if serving == nil && isStream(r) {
		select {
		case <-s.started.Done():
		case <-r.Context().Done():
		}
		serving = s.serving.Load()
	}
	switch {
	case serving != nil:
		(*serving).ServeHTTP(w, r)
	case isStream(r):
		panic(http.ErrAbortHandler) // Close was called before Show
	default:
		answerStarting(w, r)
	}
}

// Show makes h serve all requests from now on. It can be called again with another
// handler.
func (s *Server) Show(h http.Handler) {
	s.serving.Store(&h)
	s.start()
}

// URL returns the address that the server listens on, such as
// "http://127.0.0.1:8080/".
func (s *Server) URL() string { return s.scheme + "://" + s.listener.Addr().String() + "/" }

// Failed returns a channel that receives the error because of which the server
// has stopped. It receives nothing after Close.
func (s *Server) Failed() <-chan error { return s.failed }

// Close stops accepting requests, waits up to patience for those in progress,
// and then closes their connections. Event streams over HTTP/1 are not affected;
// see [Handler.Wait].
func (s *Server) Close(patience time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s.start()
	if s.http.Shutdown(ctx) != nil {
		s.http.Close()
	}
	<-s.done
}

// Ops returns a handler for monitoring h: /metrics for Prometheus, and the
// profiles of the Go runtime under /debug/pprof/. It asks for no credentials, so
// serve it on a private address only.
func Ops(h *Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/debug/pprof/", Profiles())
	mux.Handle("/metrics", h.Metrics())
	return mux
}

// Profiles returns a handler that serves the profiles of the Go runtime under
// /debug/pprof/. It asks for no credentials.
func Profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

// answerStarting responds while there is no handler yet: the process is alive,
// but not ready.
func answerStarting(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(requestIDHeader, "starting")
	protect(w.Header())
	if r.URL.Path == "/livez" {
		write(w, http.StatusOK, nil)
		return
	}
	refuse(w, refusalOf(fail(presence.CodeUnavailable, "the service is starting")))
}
