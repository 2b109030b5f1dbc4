package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/presence-server/presence/presence"
	"github.com/prometheus/client_golang/prometheus"
)

// route fills the tables of routes. A test compares them with openapi.yaml.
func (h *Handler) route() {
	h.routes = map[string]map[string]http.HandlerFunc{
		"/livez":        get(h.livez),
		"/readyz":       get(h.readyz),
		"/openapi.yaml": get(serveOpenAPI),

		"/v1/setSelfStatus":         post(h.user(h.setSelfStatus)),
		"/v1/getUserStatus":         post(h.user(h.getUserStatus)),
		"/v1/subscribeUserStatus":   post(h.user(h.subscribeUserStatus)),
		"/v1/unsubscribeUserStatus": post(h.user(h.unsubscribeUserStatus)),
		"/v1/subscriptions":         get(h.user(h.watched(h.service.Subscriptions))),
		"/v1/friends":               get(h.user(h.watched(h.service.FriendStatuses))),
		"/v1/self":                  get(h.user(h.self)),
		"/v1/setIdle":               post(h.admitted(h.setIdle)),
		"/v1/setVisibility":         post(h.user(h.setVisibility)),
		"/v1/logout":                post(h.admitted(h.logout)),
		"/v1/events":                {http.MethodGet: h.events}, // no HEAD, which would log a device in

		"/v1/admin/importUsers":   post(h.admin(editUsers(h.service.Import))),
		"/v1/admin/deleteUsers":   post(h.admin(editUsers(h.service.Delete))),
		"/v1/admin/renameUser":    post(h.admin(h.renameUser)),
		"/v1/admin/users":         get(h.admin(h.users, "prefix", "after", "limit")),
		"/v1/admin/addFriends":    post(h.admin(h.addFriends)),
		"/v1/admin/removeFriends": post(h.admin(editFriends(h.service.RemoveFriends))),
		"/v1/admin/setFriends":    post(h.admin(h.setFriends)),
		"/v1/admin/friends":       get(h.admin(h.friends, "userID", "after", "limit")),
		"/v1/admin/subscriptions": get(h.admin(h.subscriptions, "userID")),
		"/v1/admin/getUserStatus": post(h.admin(h.getAnyStatus)),
		"/v1/admin/setUserStatus": post(h.admin(h.setUserStatus)),
		"/v1/admin/kick":          post(h.admin(h.kick)),
		"/v1/admin/logout":        post(h.admin(h.logoutUser)),
		"/v1/admin/issueToken":    post(h.admin(h.issueToken)),
		"/v1/admin/explain":       get(h.admin(h.explain, "userID")),
		"/v1/admin/stats":         get(h.admin(h.stats, "deliveries", "availability", "nodes")),
		"/v1/admin/webhooks":      get(h.admin(h.listWebhooks)),
		"/v1/admin/config":        get(h.admin(h.config)),
		"/v1/admin/events":        {http.MethodGet: h.adminEvents},
	}
	h.folders = map[string]http.HandlerFunc{"/sdk/": h.serveSDK()}
	h.folders["/admin/"] = h.serveAdmin()
	h.routes["/admin"] = get(toAdmin)
	if h.dev {
		h.routeDev()
	}
}

// measure creates the metrics of each path and of the service, and registers all
// metrics with the Registerer of the embedding program, which is nil if it has none.
func (h *Handler) measure(registerer prometheus.Registerer) error {
	h.meters.add(otherPath)
	for path := range h.routes {
		h.meters.add(path)
	}
	for folder := range h.folders {
		h.meters.add(folder)
	}
	h.meters.registry.MustRegister(collector{h})
	if registerer == nil {
		return nil
	}
	return registerer.Register(h.meters.registry)
}

// measureCertificate adds the metric of the certificate that the program serves, unless
// expires is nil.
func (h *Handler) measureCertificate(expires func() time.Time) {
	if expires == nil {
		return
	}
	h.meters.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "presence_tls_certificate_expires_timestamp_seconds",
		Help: "When the TLS certificate that is served expires, as a Unix time; 0 means that there is none yet.",
	}, func() float64 {
		if at := expires(); !at.IsZero() {
			return float64(at.Unix())
		}
		return 0
	}))
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
	methods := h.methodsOf(r.URL.Path)
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

// methodsOf returns the handlers of a path by method, or nil if there is no such path. The
// admin page exists only while there is an admin key.
func (h *Handler) methodsOf(path string) map[string]http.HandlerFunc {
	if isPage := path == "/admin" || strings.HasPrefix(path, "/admin/"); isPage && !h.adminKeys.any() {
		return nil
	}
	if methods := h.routes[path]; methods != nil {
		return methods
	}
	for prefix, serve := range h.folders {
		if strings.HasPrefix(path, prefix) {
			return get(serve)
		}
	}
	return nil
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

// call handles one call of a user, and returns the data of the response.
type call func(w http.ResponseWriter, r *http.Request, userID string) (object, error)

// user returns a handler that serves a call to registered users.
func (h *Handler) user(serve call) http.HandlerFunc {
	return h.admitted(func(w http.ResponseWriter, r *http.Request, c Credentials) (object, error) {
		return serve(w, r, c.UserID)
	})
}

// admitted is like user, for a call that needs all of the credentials.
func (h *Handler) admitted(serve func(http.ResponseWriter, *http.Request, Credentials) (object, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, err := h.admit(r)
		resp := responseOf(w)
		resp.userID, resp.slots = c.UserID, &h.large
		if err != nil {
			h.respond(w, r, nil, err)
			return
		}
		data, err := serve(w, r, c)
		h.showPosition(w)
		h.respond(w, r, data, err)
	}
}

// admit returns the credentials of a request. It returns an error if the user isn't
// registered, or was kicked after the credentials were issued.
func (h *Handler) admit(r *http.Request) (Credentials, error) {
	c, err := h.identify(r)
	if err != nil {
		return c, err
	}
	if err := h.catchUp(r); err != nil {
		return c, err
	}
	return c, h.service.Admit(r.Context(), c.UserID, c.IssuedAt)
}

// identify returns the credentials of a request. It doesn't check that the user is
// registered.
func (h *Handler) identify(r *http.Request) (Credentials, error) {
	c, err := h.authenticate(r)
	if err == nil {
		if c.UserID == "" {
			return c, fail(CodeNoToken, "the request has no credentials")
		}
		if c.DeviceID != "" && presence.CheckID(c.DeviceID) != nil {
			return c, fmt.Errorf("httpapi: Authenticate returned a DeviceID that is not valid: %v", presence.CheckID(c.DeviceID))
		}
		prove(r)
		return c, nil
	}
	if _, ok := errors.AsType[*presence.Error](err); !ok {
		err = &presence.Error{Code: CodeInvalidToken, Message: "the credentials are not valid", Cause: err}
	}
	return Credentials{}, h.failed(r, err)
}
