package httpapi

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/rs/cors"
)

// crossOrigin decides what pages of other origins may do. CORS lets pages read
// responses; guard protects credentials that a browser sends by itself.
type crossOrigin struct {
	protection http.CrossOriginProtection
	listed     *cors.Cors   // nil means that no origin is listed
	any        bool         // AnyOrigin is listed too
	shared     http.Handler // serves all requests, with the CORS headers
}

// newCrossOrigin returns the rules for a list of origins. With cookies, pages of those
// that are listed may send cookies and read the responses.
func newCrossOrigin(origins []string, cookies bool) (*crossOrigin, error) {
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
	if len(listed) > 0 { // for package cors, an empty list means all origins
		c.listed = allowOrigins(listed, cookies)
	}
	return c, nil
}

// share adds the CORS headers to the responses of a handler.
func (c *crossOrigin) share(serve http.Handler) http.Handler {
	switch {
	case c.any:
		return allowOrigins([]string{AnyOrigin}, false).Handler(serve)
	case c.listed != nil:
		return c.listed.Handler(serve)
	}
	return serve
}

func allowOrigins(origins []string, cookies bool) *cors.Cors {
	return cors.New(cors.Options{
		AllowedOrigins: origins,
		AllowedMethods: []string{http.MethodGet, http.MethodPost},
		AllowedHeaders: slices.Concat(
			[]string{"Authorization", "Content-Type", "Last-Event-ID", "Cache-Control", versionHeader},
			[]string{"traceparent", "tracestate", "baggage", "sentry-trace"}), // tracing libraries add these to every request
		ExposedHeaders:   []string{"Retry-After", requestIDHeader, "Presence-Kicked", versionHeader},
		AllowCredentials: cookies,
		MaxAge:           3600,
	})
}

// guard wraps authenticate. It rejects requests with credentials that a browser
// may have added by itself, such as cookies, unless they come from the program's
// own pages or from a listed origin.
func (h *Handler) guard(authenticate func(*http.Request) (Credentials, error)) func(*http.Request) (Credentials, error) {
	return func(r *http.Request) (Credentials, error) {
		if !h.origins.Load().trusts(r) {
			return Credentials{}, fail(CodeForbidden, "requests from pages of another origin are rejected, unless Origins lists that origin")
		}
		return authenticate(r)
	}
}

// trusts reports whether the credentials of a request may be used. A GET is
// checked as if it were a POST, because http.CrossOriginProtection lets all GETs
// pass, and a GET that opens a stream logs a device in.
func (c *crossOrigin) trusts(r *http.Request) bool {
	judged := *r
	judged.Method = http.MethodPost
	switch {
	case c.protection.Check(&judged) == nil:
		return true
	case bearer(r) != "": // no browser adds a bearer token by itself
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
