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

// Server is an HTTP server on a listener of its own, with timeouts that suit
// event streams. What it serves can be exchanged: at first it is a service that
// is starting.
type Server struct {
	http     http.Server
	listener net.Listener
	scheme   string
	serving  atomic.Pointer[http.Handler] // nil: the service is starting
	conns    *connections
	started  context.Context // done once something was shown, or the server is closed
	start    context.CancelFunc
	failed   chan error // holds one
	done     chan struct{}
}

const (
	// requestTimeout is how long a client may take to send a request.
	requestTimeout = 10 * time.Second

	// maxHeader is how many bytes of a request may come before its body, and
	// are kept meanwhile. The longest token has 8 KiB.
	maxHeader = 32 << 10

	// peerTimeout is how long the other end of HTTP/2 may not react. On
	// HTTP/1 each stream sees to that itself.
	peerTimeout = 10 * time.Second
)

// Listen starts a server: HTTPS with HTTP/2 when it is given the files of a
// certificate and its key, else HTTP/1.1. It must be closed.
//
// It bounds the connections on which no valid credential has been shown, by the
// limit of file descriptors: the one that has been idle longest is closed to
// make room for a new one, and each is closed after 10 idle seconds.
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
		ReadTimeout:    requestTimeout,   // also of a body that nobody asks for
		WriteTimeout:   30 * time.Second, // of answers; a stream has its own
		IdleTimeout:    2 * time.Minute,
		MaxHeaderBytes: maxHeader,
		ConnContext:    s.conns.accept,
		ConnState:      s.conns.follow,
		ErrorLog:       stdlog.New(serverLog{log}, "", 0),
		HTTP2: &http.HTTP2Config{ // a peer whose network is gone says nothing, and takes nothing
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

// serverLog takes what net/http logs: mostly what clients do wrong, but also
// that no more connections can be taken.
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

// ServeHTTP serves what was shown last. Before, a stream waits: an EventSource
// takes any answer but a 200 for the end, and would not come back after a
// restart.
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
		panic(http.ErrAbortHandler) // it never started: the connection is lost
	default:
		answerStarting(w, r)
	}
}

// Show has h serve all requests from now on.
func (s *Server) Show(h http.Handler) {
	s.serving.Store(&h)
	s.start()
}

// URL returns where the server listens.
func (s *Server) URL() string { return s.scheme + "://" + s.listener.Addr().String() + "/" }

// Failed gives the error because of which the server can't go on, if there is
// one.
func (s *Server) Failed() <-chan error { return s.failed }

// Close takes no more requests, lets those under way end for as long as
// patience, and cuts the rest.
func (s *Server) Close(patience time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s.start()
	if s.http.Shutdown(ctx) != nil {
		s.http.Close()
	}
	<-s.done
}

// Ops serves what an admin watches a handler by: /metrics for Prometheus, and
// the profiles. It asks for no credentials, so it is for a private address.
func Ops(h *Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/debug/pprof/", Profiles())
	mux.Handle("/metrics", h.Metrics())
	return mux
}

// Profiles serves what Go's profiler can tell.
func Profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

// answerStarting answers while there is no service yet: it lives, but is not
// ready.
func answerStarting(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(requestIDHeader, "starting")
	protect(w.Header())
	if r.URL.Path == "/livez" {
		write(w, http.StatusOK, nil)
		return
	}
	refuse(w, refusalOf(fail(presence.CodeUnavailable, "the service is starting")))
}
