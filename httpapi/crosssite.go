package httpapi

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/rs/cors"
)

// crossOrigin decides what pages of other origins may do.
type crossOrigin struct {
	protection http.CrossOriginProtection
	listed     *cors.Cors // nil: no origin is listed
	any        bool       // AnyOrigin is listed too
}

func newCrossOrigin(origins []string) (*crossOrigin, error) {
	c := new(crossOrigin)
	var listed []string
	for _, origin := range origins {
		canonical, err := CanonicalOrigin(origin)
		if err != nil {
			return nil, fmt.Errorf("httpapi: origin %q: %w", origin, err)
		}
		if canonical == AnyOrigin {
			c.any = true
		} else {
			listed = append(listed, canonical)
		}
	}
	if len(listed) > 0 { // package cors takes an empty list for all origins
		c.listed = allowOrigins(listed)
	}
	return c, nil
}

// share adds the CORS headers to the answers of a handler.
func (c *crossOrigin) share(serve http.Handler) http.Handler {
	switch {
	case c.any:
		return allowOrigins([]string{AnyOrigin}).Handler(serve)
	case c.listed != nil:
		return c.listed.Handler(serve)
	}
	return serve
}

func allowOrigins(origins []string) *cors.Cors {
	return cors.New(cors.Options{
		AllowedOrigins: origins,
		AllowedMethods: []string{http.MethodGet, http.MethodPost},
		AllowedHeaders: slices.Concat(
			[]string{"Authorization", "Content-Type", "Last-Event-ID", "Cache-Control", versionHeader},
			[]string{"traceparent", "tracestate", "baggage", "sentry-trace"}), // tracing libraries add these to every request
		ExposedHeaders: []string{"Retry-After", requestIDHeader, "Presence-Kicked", versionHeader},
		MaxAge:         3600,
	})
}

// versionHeader names the version that a client has seen, and that an answer
// includes.
const versionHeader = "Presence-Version"

// guard makes credentials that a browser may send by itself, such as cookies,
// count only for requests that the program's own pages and the listed origins
// make.
func (c *crossOrigin) guard(authenticate func(*http.Request) (Credentials, error)) func(*http.Request) (Credentials, error) {
	return func(r *http.Request) (Credentials, error) {
		if !c.trusts(r) {
			return Credentials{}, fail(CodeForbidden, "requests of pages of another origin are refused unless it is listed in Origins")
		}
		return authenticate(r)
	}
}

// trusts reports whether a request's credentials may count. A GET is judged as
// if it were a POST, which http.CrossOriginProtection alone protects: to open a
// stream is to log in.
func (c *crossOrigin) trusts(r *http.Request) bool {
	judged := *r
	judged.Method = http.MethodPost
	switch {
	case c.protection.Check(&judged) == nil:
		return true
	case bearer(r) != "": // which no browser adds by itself
		return true
	case c.listed != nil && c.listed.OriginAllowed(r):
		return true
	}
	return c.any && !isAmbient(r)
}

// isAmbient reports whether a request carries credentials that a browser may
// have added by itself.
func isAmbient(r *http.Request) bool {
	return r.Header.Get("Cookie") != "" || r.Header.Get("Authorization") != "" || r.TLS != nil && len(r.TLS.PeerCertificates) > 0
}
