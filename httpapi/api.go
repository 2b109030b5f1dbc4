package httpapi

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/presence-server/presence/httpapi/webhook"
	"github.com/presence-server/presence/presence"
	"github.com/presence-server/presence/sse"
	"github.com/prometheus/client_golang/prometheus"
)

// Config is the configuration of a [Handler]. Service is required, and so is
// Authenticate or Tokens. All other fields are optional.
type Config struct {
	// Service is the presence service that the Handler serves. The caller opens
	// and closes it.
	Service *presence.Service

	// Authenticate returns the credentials of a request. Nil means that Tokens
	// verifies requests.
	//
	// If the credentials have no UserID, the request is rejected with
	// CodeNoToken. If Authenticate returns an [*presence.Error], the client
	// receives its code and message; any other error is logged, and the client
	// receives CodeInvalidToken. The Handler itself rejects users who were
	// kicked, renamed or deleted after the credentials were issued.
	//
	// Authenticate may read cookies. [http.CrossOriginProtection] applies to
	// every request before Authenticate is called, GET included; requests from
	// other origins than Origins are rejected with CodeForbidden. Requests with
	// a bearer token pass, and so do requests without the headers that browsers
	// add (Sec-Fetch-Site, Origin). Browsers send Sec-Fetch-Site over HTTPS and
	// to localhost only, so cookies require HTTPS.
	Authenticate func(*http.Request) (Credentials, error)

	// Tokens issues tokens for the server API. It also verifies the tokens of
	// users, unless Authenticate is set. Nil means that the server API issues no
	// tokens.
	Tokens *Tokens

	// AdminKey is the bearer token of the server API (/v1/admin/), which can act
	// as any user. Empty, the default, means that the server API is off, unless there
	// are PreviousAdminKeys, which are accepted too. Both can be changed; see
	// [Handler.SetAdminKeys].
	AdminKey          string
	PreviousAdminKeys []string

	// Origins are the origins of other sites whose pages may call the API, in
	// any form that [CanonicalOrigin] accepts, such as
	// "https://chat.example.com" or "https://*.example.com". If Authenticate is
	// set, their pages may send cookies too. [AnyOrigin] admits all pages, but not
	// with cookies; if it is in the list, no page of another site can read a response
	// to a request with cookies. Nil, the default, means that only pages
	// from the server's own origin may call it.
	Origins []string

	// Dev adds the demo page, and a call that issues tokens to anyone. It must
	// be false for a server with real users.
	Dev bool

	// Version is the version of the program, for the metrics. Empty means
	// "unknown".
	Version string

	// ShownConfig returns what GET /v1/admin/config returns: the tables of the
	// program's configuration, by name. It must contain no secrets, and URLs only
	// without user and query. It may be called by several goroutines at once. The
	// map must marshal to JSON, and the caller doesn't change it. Nil means the
	// Service's settings and the Handler's limits.
	ShownConfig func() map[string]any

	// Limits bound calls and streams. The zero value means [DefaultLimits];
	// otherwise all fields must be valid.
	Limits Limits

	// TrustedProxies are the networks of the proxies through which clients connect.
	// If the peer of a connection is in one of them, or has no address because the
	// connection is over a Unix socket, the client is the last address in
	// X-Forwarded-For or, without that header, in Forwarded that is in none of them.
	// A proxy must therefore add the client to X-Forwarded-For, or add it to
	// Forwarded and remove X-Forwarded-For. Nil, the default, means that both headers
	// are ignored and the peer is the client. Limits.Failures counts by the address
	// of the client, and the log of changes shows it.
	TrustedProxies []netip.Prefix

	// Webhooks are URLs that receive the changes of all users; see package webhook.
	// The zero value means none. They can be changed; see [Handler.SetWebhooks].
	// [Handler.Shutdown] ends the deliveries. If a Service has several Handlers, none
	// of them may have webhooks.
	Webhooks webhook.Config

	// Registerer is where New registers the metrics of the service and of its calls,
	// which all begin with presence_. It makes them part of the /metrics of a program
	// that has metrics of its own, as with [prometheus.DefaultRegisterer]. Each Handler
	// needs another one; see [prometheus.WrapRegistererWith]. Nil, the default, means
	// that the metrics are not registered, and are served by [Handler.Metrics] alone.
	Registerer prometheus.Registerer

	// CertificateExpires returns when the TLS certificate expires that the program
	// serves, for a metric; the zero time means that there is none yet. It must be
	// safe for concurrent use. Nil, the default, means that there is no such metric.
	CertificateExpires func() time.Time

	// Logger receives the log. Nil means that nothing is logged.
	Logger *slog.Logger
}

// Handler serves the API. Create one with [New]. It is safe for concurrent use.
type Handler struct {
	service      *presence.Service
	hasLog       bool // the service shares a log with others
	authenticate func(*http.Request) (Credentials, error)
	cookies      bool // authenticate may read cookies
	tokens       *Tokens
	adminKeys    adminKeys
	shownConfig  func() map[string]any
	dev          bool
	log          *slog.Logger
	name         string // a random prefix of the request IDs
	version      string
	meters       *meters

	webhooks   *webhook.Senders
	limits     atomic.Pointer[Limits]
	calls      limiter
	failures   failures
	proxies    proxies
	requests   atomic.Uint64
	streams    atomic.Int64
	large      slots                                  // for large bodies of users
	adminLarge slots                                  // of the server API
	writer     sse.Server                             // writes the event streams
	routes     map[string]map[string]http.HandlerFunc // by path and method
	folders    map[string]http.HandlerFunc            // by prefix of the path; for GET and HEAD
	origins    atomic.Pointer[crossOrigin]
}

// New returns a Handler. It returns an error if Service is missing, if both
// Authenticate and Tokens are missing, if a limit or a webhook is invalid, if an origin
// can never match, or if Registerer already has the metrics of a Handler.
func New(config Config) (*Handler, error) {
	h := &Handler{
		service:      config.Service,
		authenticate: config.Authenticate,
		cookies:      config.Authenticate != nil,
		tokens:       config.Tokens,
		shownConfig:  config.ShownConfig,
		dev:          config.Dev,
		log:          config.Logger,
		name:         rand.Text()[:8],
		proxies:      config.TrustedProxies,
		version:      cmp.Or(strings.ToValidUTF8(config.Version, "?"), "unknown"),
		meters:       newMeters(),
		large:        slots{most: maxLarge, each: maxLargeOfUser},
		adminLarge:   slots{most: maxLargeOfAdmin, each: maxLargeOfAdmin},
	}
	if h.service == nil {
		return nil, errors.New("httpapi: Config.Service is missing")
	}
	h.hasLog = h.service.LogMetrics() != nil
	if err := h.SetOrigins(config.Origins); err != nil {
		return nil, err
	}
	if h.authenticate != nil {
		h.authenticate = h.guard(h.authenticate)
	} else {
		if h.tokens == nil || len(h.tokens.Secret) == 0 {
			return nil, errors.New("httpapi: Config needs Authenticate, or Tokens with a Secret")
		}
		h.authenticate = h.tokens.Authenticate
	}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	if h.tokens != nil && h.tokens.Logger == nil {
		h.tokens.Logger = h.log
	}
	if config.Limits == (Limits{}) {
		config.Limits = DefaultLimits()
	}
	if err := errors.Join(config.Limits.Validate(), config.Webhooks.Validate()); err != nil {
		return nil, err
	}
	h.SetLimits(config.Limits)
	h.SetAdminKeys(append([]string{config.AdminKey}, config.PreviousAdminKeys...)...)
	h.webhooks = webhook.New(h.service, h.log)
	h.route()
	h.measureCertificate(config.CertificateExpires)
	if err := h.measure(config.Registerer); err != nil {
		return nil, fmt.Errorf("httpapi: registering the metrics: %w", err)
	}
	h.SetWebhooks(config.Webhooks)
	return h, nil
}

// SetOrigins replaces Config.Origins. It returns an error, and changes nothing, if an
// origin can never match.
func (h *Handler) SetOrigins(origins []string) error {
	c, err := newCrossOrigin(origins, h.cookies)
	if err != nil {
		return err
	}
	c.shared = c.share(http.HandlerFunc(h.dispatch))
	h.origins.Store(c)
	return nil
}

// SetLimits changes the limits. They apply to calls and streams that begin from
// now on. l must be valid; see [Limits.Validate].
func (h *Handler) SetLimits(l Limits) {
	if n := descriptors(); l.Streams == 0 && n > 0 {
		l.Streams = max(1, n-reserved(n))
	}
	h.limits.Store(&l)
}

// SetWebhooks changes the webhooks. A URL that stays continues with the message that it
// is being sent; one that is removed is forgotten. c must be valid; see
// [webhook.Config.Validate].
func (h *Handler) SetWebhooks(c webhook.Config) {
	if err := h.webhooks.Configure(context.Background(), c); err != nil && !errors.Is(err, presence.ErrClosed) {
		h.log.Error("removed webhooks can't be forgotten until the next start", "error", err)
	}
}

// reserved returns how many of n file descriptors are kept for calls and for the
// database, so that streams can't use them. If n is zero, the result is zero.
func reserved(n int) int { return min(n, max(64, n/10)) }

// ownFiles is how many file descriptors the program has open without clients: those
// of the database and its readers, the listeners, and a few more.
const ownFiles = 24

// unproven returns how many of n file descriptors connections may have on which no
// credential has been shown: half of the reserve. The other half is for those that
// have shown one, of which half may be idle. Zero, when n isn't known, means any
// number.
func unproven(n int) int { return max(0, reserved(n)-ownFiles) / 2 }

// Shutdown ends the service for its clients, without showing users as offline. In
// this order, it drains the Service, which ends all event streams so that their
// clients reconnect to the next run; ends the webhooks; shuts the servers down, which
// are those that serve h; and waits for the requests in progress and for the end of the
// streams. Without servers it waits for the streams only.
//
// When ctx is done, Shutdown closes the connections of the remaining requests, and
// returns the error of ctx. A stream that has not ended by then ends by itself when
// its client reads on, disconnects, or exceeds Limits.WriteTimeout. The Service can
// be closed after Shutdown in either case.
//
// An http.Server.Shutdown alone is not enough: the connections of HTTP/1 streams no
// longer belong to the http.Server, and those of HTTP/2 streams stay open until the
// Service is drained.
func (h *Handler) Shutdown(ctx context.Context, servers ...*http.Server) error {
	h.service.Drain()
	h.webhooks.Close()
	var errs []error
	for _, server := range servers {
		if err := server.Shutdown(ctx); err != nil {
			errs = append(errs, err, server.Close())
		}
	}
	return errors.Join(append(errs, h.writer.Wait(ctx))...)
}

// ServeHTTP serves one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.nameRequest(w)
	protect(w.Header())
	resp := &response{ResponseWriter: w, meters: h.meters, meter: h.meterOf(r.URL.Path), began: time.Now()}
	defer resp.release()
	defer h.recover(resp, r)
	h.origins.Load().shared.ServeHTTP(resp, r)
	resp.note(http.StatusOK) // a body without a header has status 200
}

// recover logs a panic of a handler, and responds with an internal error if no
// response has begun.
func (h *Handler) recover(w *response, r *http.Request) {
	what := recover()
	if what == nil {
		return
	}
	if what == http.ErrAbortHandler {
		panic(what)
	}
	h.log.Error("a handler panicked", "request", requestID(w), "user", w.userID, "path", w.meter.path, "panic", what,
		"stack", string(debug.Stack()))
	h.meters.refuse(CodeInternal)
	refuse(w, refusalOf(errors.New("panic")))
}
