package httpapi

import (
	"cmp"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/presence-server/presence/presence"
	"github.com/presence-server/presence/sse"
)

// Config says what a [Handler] serves, and to whom.
type Config struct {
	Service *presence.Service

	// Authenticate returns who a request comes from; nobody, with an empty
	// UserID, is answered CodeNoToken. Its errors become the answer: an
	// [*presence.Error] as it is, any other as CodeInvalidToken.
	// The handler itself refuses users who were kicked since. Nil means that
	// Tokens does it.
	//
	// It may read cookies: [http.CrossOriginProtection] applies to every request
	// that it would be called for, GET included, and trusts Origins. Requests
	// of other origins are answered CodeForbidden. Requests without the headers
	// that browsers add (Sec-Fetch-Site, Origin) pass, and so do those with a
	// bearer token. Browsers send Sec-Fetch-Site over HTTPS and to localhost
	// only, so cookies need HTTPS.
	Authenticate func(*http.Request) (Credentials, error)

	// Tokens issues tokens for the server API, and checks them unless
	// Authenticate does. Nil: the server API issues none.
	Tokens *Tokens

	// AdminKey is the bearer token of the server API. "" switches that off.
	AdminKey string

	// Origins are those of other sites whose pages may call, in any form that
	// [CanonicalOrigin] accepts, such as "https://chat.example.com" or
	// "https://*.example.com". [AnyOrigin] admits all pages, but not with
	// cookies. Nil means only the server's own origin.
	Origins []string

	// Dev adds the demo page, and tokens for anyone. Never for real users.
	Dev bool

	// Version is the program's, for the metrics. "" is "unknown".
	Version string

	Limits Limits       // the zero value means [DefaultLimits]
	Logger *slog.Logger // nil discards
}

// Handler serves the API. Make one with [New].
type Handler struct {
	service      *presence.Service
	authenticate func(*http.Request) (Credentials, error)
	tokens       *Tokens
	adminKey     string
	dev          bool
	log          *slog.Logger
	name         string // of this handler, in the IDs of its requests
	version      string
	meters       *meters

	limits     atomic.Pointer[Limits]
	calls      limiter
	requests   atomic.Uint64
	streams    atomic.Int64
	large      slots                                  // for large bodies of users
	adminLarge slots                                  // of the server API
	writer     sse.Server                             // of the same streams
	routes     map[string]map[string]http.HandlerFunc // by path and method
	folders    map[string]http.HandlerFunc            // by prefix of the path; for GET
	serve      http.Handler
}

// New returns a handler for the configuration. It fails without a Service,
// without both Authenticate and Tokens, with impossible limits, and with an
// origin that can never match.
func New(config Config) (*Handler, error) {
	h := &Handler{
		service:      config.Service,
		authenticate: config.Authenticate,
		tokens:       config.Tokens,
		adminKey:     config.AdminKey,
		dev:          config.Dev,
		log:          config.Logger,
		name:         rand.Text()[:8],
		version:      cmp.Or(strings.ToValidUTF8(config.Version, "?"), "unknown"),
		meters:       newMeters(),
		large:        slots{most: maxLarge, each: maxLargeOfUser},
		adminLarge:   slots{most: maxLargeOfAdmin, each: maxLargeOfAdmin},
	}
	if h.service == nil {
		return nil, errors.New("httpapi: no Service")
	}
	origins, err := newCrossOrigin(config.Origins)
	if err != nil {
		return nil, err
	}
	if h.authenticate != nil {
		h.authenticate = origins.guard(h.authenticate)
	} else {
		if h.tokens == nil || len(h.tokens.Secret) == 0 {
			return nil, errors.New("httpapi: neither Authenticate nor Tokens")
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
	if err := config.Limits.Validate(); err != nil {
		return nil, err
	}
	h.SetLimits(config.Limits)
	h.route()
	h.measure()
	h.serve = origins.share(http.HandlerFunc(h.dispatch))
	return h, nil
}

// SetLimits changes the limits for all calls and streams that begin from now on.
func (h *Handler) SetLimits(l Limits) {
	if n := descriptors(); l.Streams == 0 && n > 0 {
		l.Streams = max(1, n-reserved(n))
	}
	h.limits.Store(&l)
}

// reserved returns how many of n file descriptors streams leave to calls, and to
// the database. Zero, when n isn't known, means zero.
func reserved(n int) int { return min(n, max(64, n/10)) }

// ownFiles is how many file descriptors the program has open without clients: those
// of the database and its readers, the listeners, and a few more.
const ownFiles = 24

// unproven returns how many of n file descriptors connections may have on which no
// credential has been shown: half of the reserve. The other half is for those that
// have shown one, of which half may be idle. Zero, when n isn't known, means any
// number.
func unproven(n int) int { return max(0, reserved(n)-ownFiles) / 2 }

// Wait returns when all event streams have ended, as they do when the Service
// drains. It is to be called when no more requests come: http.Server.Shutdown
// doesn't wait for streams, whose connections are no longer the server's.
func (h *Handler) Wait() { h.writer.Wait() }

// ServeHTTP serves one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.nameRequest(w)
	protect(w.Header())
	a := &answering{ResponseWriter: w, meters: h.meters, meter: h.meterOf(r.URL.Path), began: time.Now()}
	defer a.release()
	defer h.recover(a, r)
	h.serve.ServeHTTP(a, r)
	a.note(http.StatusOK) // what is written without a head has this one
}

// recover turns a panic into an answer, if none has begun.
func (h *Handler) recover(w *answering, r *http.Request) {
	what := recover()
	if what == nil {
		return
	}
	if what == http.ErrAbortHandler {
		panic(what)
	}
	h.log.Error("panic", "request", requestID(w), "user", w.userID, "path", w.meter.path, "panic", what,
		"stack", string(debug.Stack()))
	h.meters.refuse(CodeInternal)
	refuse(w, refusalOf(errors.New("panic")))
}
