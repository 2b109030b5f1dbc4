package main

import (
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
)

// listenOps starts the server for metrics and profiles, or returns nil if no address
// is given. At first it serves profiles only, which cover the start too. It asks for
// no credentials, so its address should be private.
func listenOps(address string, log *slog.Logger) (*webServer, error) {
	if address == "" {
		return nil, nil
	}
	listener, err := listenTCP("ops.listen", address)
	if err != nil {
		return nil, err
	}
	ops := serveOn([]net.Listener{listener}, nil, log)
	ops.show(profiles())
	return ops, nil
}

// metricsAndProfiles returns a handler that serves metrics under /metrics, and the
// profiles of the Go runtime under /debug/pprof/.
func metricsAndProfiles(metrics http.Handler) http.Handler {
	mux := profiles()
	mux.Handle("/metrics", metrics)
	return mux
}

// profiles returns a mux that serves the profiles of the Go runtime under
// /debug/pprof/.
func profiles() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}
