package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	stdlog "log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/presence-server/presence/httpapi"
)

// webServer is an HTTP server with listeners of its own, and with timeouts that
// suit event streams. Create one with serveOn.
//
// It accepts requests before there is a handler. Until the first call of show,
// /livez returns 200, event streams wait, and all other requests are rejected with
// 503.
type webServer struct {
	http      http.Server
	listeners []net.Listener
	scheme    string
	certs     certificates                 // nil without TLS
	stopCerts func()                       // nil without TLS
	serving   atomic.Pointer[http.Handler] // nil until show is called
	started   context.Context              // done once show or close is called
	start     context.CancelFunc
	arrivals  *arrivals
	deaf      atomic.Bool // the listeners are closed on purpose
	stopping  atomic.Bool // requests arrive on old connections only
	failed    chan error  // receives the error because of which the server has stopped; nothing after closeListeners
	running   sync.WaitGroup
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

// serveOn starts a server that serves the listeners, which it closes. With secure it
// speaks HTTPS with HTTP/2; if that is nil, it speaks HTTP/1.1 without TLS. The server
// must be closed. Its connections are limited; see httpapi.LimitConnections. Those on
// unix sockets are limited in the same way, as a proxy's are: the first request with
// valid credentials proves the connection.
func serveOn(listeners []net.Listener, secure *tls.Config, log *slog.Logger) *webServer {
	s := &webServer{listeners: listeners, scheme: "http", failed: make(chan error, len(listeners)), arrivals: newArrivals()}
	s.started, s.start = context.WithCancel(context.Background())
	s.http = http.Server{
		Handler:        s,
		TLSConfig:      secure,
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
	limit := s.http.ConnState
	s.http.ConnState = func(conn net.Conn, state http.ConnState) {
		s.arrivals.follow(conn, state)
		limit(conn, state)
	}
	serve := s.http.Serve
	if secure != nil {
		s.scheme = "https"
		serve = func(l net.Listener) error { return s.http.ServeTLS(l, "", "") }
	}
	for _, l := range listeners {
		s.running.Go(func() {
			if err := serve(l); !errors.Is(err, http.ErrServerClosed) && !s.deaf.Load() {
				s.failed <- err
			}
		})
	}
	return s
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

// ServeHTTP passes the request to the handler of the last call of show. An event stream
// waits for the first call, and breaks off after stopListening, because an EventSource
// never reconnects after a response other than 200.
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
	case isStream && s.stopping.Load():
		panic(http.ErrAbortHandler) // a new connection leads to the next run
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

// url returns the first address that the server listens on, such as
// "http://127.0.0.1:8080/".
func (s *webServer) url() string { return s.urlOf(s.listeners[0]) }

// urls returns all addresses that the server listens on, with spaces between them. That
// of a unix socket is unix: and its path.
func (s *webServer) urls() string {
	var all []string
	for _, l := range s.listeners {
		all = append(all, s.urlOf(l))
	}
	return strings.Join(all, " ")
}

func (s *webServer) urlOf(l net.Listener) string {
	if address := l.Addr(); address.Network() == "unix" {
		return "unix:" + address.String()
	}
	return s.scheme + "://" + l.Addr().String() + "/"
}

// stopListening closes the listeners, and waits for the first response to the
// connections that have arrived. If systemd holds the socket, those that arrive
// afterwards wait for the next run of the server.
func (s *webServer) stopListening() {
	s.closeListeners()
	s.arrivals.wait()
	s.stopping.Store(true)
}

func (s *webServer) closeListeners() {
	s.deaf.Store(true)
	for _, l := range s.listeners {
		l.Close()
	}
	s.running.Wait()
}

// close closes all connections that still belong to the server, and waits until it
// no longer listens. To let requests end, call httpapi.Handler.Shutdown before.
func (s *webServer) close() {
	s.start()
	s.closeListeners()
	s.http.Close()
	if s.stopCerts != nil {
		s.stopCerts()
	}
}
