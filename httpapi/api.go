package httpapi

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/presence-server/presence/presence"
	"github.com/presence-server/presence/sse"
	"github.com/rs/cors"
)

// Config says what a [Handler] serves, and to whom.
type Config struct {
	Service *presence.Service

	// Authenticate returns who a request comes from; nobody, with an empty
	// UserID, is answered CodeNoToken. Its errors become the answer: an
	// [*presence.Error] as it is, any other as CodeInvalidToken.
	// The handler itself refuses who was kicked since. Nil: Tokens does it.
	Authenticate func(*http.Request) (Credentials, error)

	// Tokens issues tokens for the server API, and checks them unless
	// Authenticate does. Nil: the server API issues none.
	Tokens *Tokens

	// AdminKey is the bearer token of the server API. "" switches that off.
	AdminKey string

	// Origins are those whose pages may call from elsewhere, such as
	// "https://chat.example.com", or "*" for all. Nil: only the server's own.
	Origins []string

	// Dev adds the demo page, and tokens for anyone. Never for real users.
	Dev bool

	// Version is the program's, for the metrics. "" is "unknown".
	Version string

	Limits Limits       // the zero value means [DefaultLimits]
	Logger *slog.Logger // nil discards
}

// Limits are what may be changed later with [Handler.SetLimits].
type Limits struct {
	QueryUsers     int           // IDs in one getUserStatus
	SubscribeUsers int           // IDs in one subscribeUserStatus or unsubscribeUserStatus
	CallsPerWindow int           // of a user and command
	Window         time.Duration // from the first of these calls
	Streams        int           // all together; 0: what the limit of file descriptors allows
	WriteTimeout   time.Duration // for a stream's client to read one event
	Drain          time.Duration // over which clients come back after a stop
}

// DefaultLimits returns the limits of the shipped presence.toml.
func DefaultLimits() Limits {
	return Limits{
		QueryUsers:     500,
		SubscribeUsers: 100,
		CallsPerWindow: 20,
		Window:         5 * time.Second,
		WriteTimeout:   10 * time.Second,
		Drain:          5 * time.Second,
	}
}

// Wait returns when all event streams have ended, as they do when the Service
// drains. It is to be called when no more requests come: http.Server.Shutdown
// doesn't wait for streams, whose connections are no longer the server's.
func (h *Handler) Wait() { h.writer.Wait() }

// Validate returns every impossible value joined into one error, or nil. Each
// is named as in presence.toml.
func (l Limits) Validate() error {
	var faults []error
	must := func(ok bool, key string, value any, reason string) {
		if !ok {
			faults = append(faults, fmt.Errorf("%s = %v: %s", key, value, reason))
		}
	}
	must(l.QueryUsers >= 1, "limits.query_users", l.QueryUsers, "must be at least 1")
	must(l.SubscribeUsers >= 1, "limits.subscribe_users", l.SubscribeUsers, "must be at least 1")
	must(l.CallsPerWindow >= 1, "limits.calls_per_window", l.CallsPerWindow, "must be at least 1")
	must(l.Window > 0, "limits.window", l.Window, "must be more than 0s")
	must(l.Streams >= 0, "limits.streams", l.Streams, "must not be negative")
	must(l.WriteTimeout > 0, "timing.write_timeout", l.WriteTimeout, "must be more than 0s")
	must(l.Drain >= 0, "timing.drain", l.Drain, "must not be negative")
	return errors.Join(faults...)
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

	limits   atomic.Pointer[Limits]
	calls    limiter
	requests atomic.Uint64
	streams  atomic.Int64
	writer   sse.Server                             // of the same streams
	routes   map[string]map[string]http.HandlerFunc // by path and method
	folders  map[string]http.HandlerFunc            // by prefix of the path; for GET
	serve    http.Handler
}

// New returns a handler for the configuration. It fails without a Service,
// without anything that could tell who calls, and with impossible limits.
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
	}
	if h.service == nil {
		return nil, errors.New("httpapi: no Service")
	}
	if h.authenticate == nil {
		if h.tokens == nil || len(h.tokens.Secret) == 0 {
			return nil, errors.New("httpapi: neither Authenticate nor Tokens")
		}
		h.authenticate = h.tokens.Authenticate
	}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
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
	h.serve = http.HandlerFunc(h.dispatch)
	if len(config.Origins) > 0 {
		h.serve = allowOrigins(config.Origins).Handler(h.serve)
	}
	return h, nil
}

// SetLimits changes the limits for all calls and streams that begin from now on.
func (h *Handler) SetLimits(l Limits) {
	if n := descriptors(); l.Streams == 0 && n > 0 {
		l.Streams = max(1, n-max(64, n/10)) // the rest is for calls, and for the database
	}
	h.limits.Store(&l)
}

func allowOrigins(origins []string) *cors.Cors {
	return cors.New(cors.Options{
		AllowedOrigins: origins,
		AllowedMethods: []string{http.MethodGet, http.MethodPost},
		AllowedHeaders: []string{"Authorization", "Content-Type", "Last-Event-ID", "Cache-Control"},
		ExposedHeaders: []string{"Retry-After", "X-Request-ID"},
		MaxAge:         3600,
	})
}

// ServeHTTP serves one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.nameRequest(w)
	protect(w.Header())
	a := &answering{ResponseWriter: w, meters: h.meters, meter: h.meterOf(r.URL.Path), began: time.Now()}
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

// route fills the tables of what is served. openapi.yaml describes the same.
func (h *Handler) route() {
	h.routes = map[string]map[string]http.HandlerFunc{
		"/livez":        get(h.livez),
		"/readyz":       get(h.readyz),
		"/openapi.yaml": get(serveOpenAPI),

		"/v1/setSelfStatus":         post(h.user(h.setSelfStatus)),
		"/v1/getUserStatus":         post(h.user(h.getUserStatus)),
		"/v1/subscribeUserStatus":   post(h.user(h.subscribeUserStatus)),
		"/v1/unsubscribeUserStatus": post(h.user(h.unsubscribeUserStatus)),
		"/v1/subscriptions":         get(h.user(h.subscriptions)),
		"/v1/logout":                post(h.user(h.logout)),
		"/v1/events":                {http.MethodGet: h.events}, // HEAD would log in

		"/v1/admin/importUsers":   post(h.admin(editUsers(h.service.Import))),
		"/v1/admin/deleteUsers":   post(h.admin(editUsers(h.service.Delete))),
		"/v1/admin/users":         get(h.admin(h.users)),
		"/v1/admin/addFriends":    post(h.admin(editFriends(h.service.AddFriends))),
		"/v1/admin/removeFriends": post(h.admin(editFriends(h.service.RemoveFriends))),
		"/v1/admin/friends":       get(h.admin(h.friends)),
		"/v1/admin/getUserStatus": post(h.admin(h.getAnyStatus)),
		"/v1/admin/setUserStatus": post(h.admin(h.setUserStatus)),
		"/v1/admin/kick":          post(h.admin(h.kick)),
		"/v1/admin/issueToken":    post(h.admin(h.issueToken)),
		"/v1/admin/explain":       get(h.admin(h.explain)),
		"/v1/admin/stats":         get(h.admin(h.stats)),
	}
	h.folders = map[string]http.HandlerFunc{"/sdk/": h.serveSDK()}
	if h.dev {
		h.routeDev()
	}
}

// measure gives each path its meter.
func (h *Handler) measure() {
	h.meters.add(otherPath)
	for path := range h.routes {
		h.meters.add(path)
	}
	for folder := range h.folders {
		h.meters.add(folder)
	}
	h.meters.registry.MustRegister(collector{h})
}

func get(serve http.HandlerFunc) map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{http.MethodGet: serve, http.MethodHead: serve}
}

func post(serve http.HandlerFunc) map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{http.MethodPost: serve}
}

func (h *Handler) dispatch(w http.ResponseWriter, r *http.Request) {
	if _, err := url.ParseQuery(r.URL.RawQuery); err != nil {
		h.respond(w, r, nil, malformed("the query is malformed"))
		return
	}
	methods := h.routes[r.URL.Path]
	for prefix, serve := range h.folders {
		if methods == nil && strings.HasPrefix(r.URL.Path, prefix) {
			methods = get(serve)
		}
	}
	switch serve := methods[r.Method]; {
	case serve != nil:
		serve(w, r)
	case methods == nil:
		h.respond(w, r, nil, errNoPath())
	default:
		w.Header().Set("Allow", allowed(methods))
		h.respond(w, r, nil, &refusal{
			err: malformed("the method must be %s", allowed(methods)), status: http.StatusMethodNotAllowed,
		})
	}
}

func errNoPath() error {
	return &refusal{err: malformed("no such path"), status: http.StatusNotFound}
}

func allowed(methods map[string]http.HandlerFunc) string {
	var names []string
	for name := range methods {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// A call answers a request with the members of the answer's data.
type call func(w http.ResponseWriter, r *http.Request, userID string) (object, error)

// user serves a call to whom the request comes from.
func (h *Handler) user(serve call) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, err := h.admit(r)
		of(w).userID = c.UserID
		if err != nil {
			h.respond(w, r, nil, err)
			return
		}
		data, err := serve(w, r, c.UserID)
		h.respond(w, r, data, err)
	}
}

// admit returns who a request comes from, registered and not kicked.
func (h *Handler) admit(r *http.Request) (Credentials, error) {
	c, err := h.identify(r)
	if err != nil {
		return c, err
	}
	return c, h.service.Admit(r.Context(), c.UserID, c.IssuedAt)
}

// identify returns who a request comes from.
func (h *Handler) identify(r *http.Request) (Credentials, error) {
	c, err := h.authenticate(r)
	if err == nil {
		if c.UserID == "" {
			return c, fail(CodeNoToken, "no credentials")
		}
		return c, nil
	}
	if _, told := errors.AsType[*presence.Error](err); !told {
		err = &presence.Error{Code: CodeInvalidToken, Message: "the credentials are not valid", Cause: err}
	}
	return Credentials{}, err
}
