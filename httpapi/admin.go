package httpapi

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/presence-server/presence/presence"
)

// This file has the calls of the server API (/v1/admin/), which a backend makes
// with the admin key.

// adminUsers is the maximum number of distinct IDs in one of these calls.
const adminUsers = 1000

// defaultLifetime is the lifetime of a token for which none is requested.
const defaultLifetime = 24 * time.Hour

// adminCall handles one call of the server API, and returns the data of the
// response.
type adminCall func(w http.ResponseWriter, r *http.Request) (object, error)

// admin returns a handler that serves a call to clients with the admin key. The
// query may have the named parameters, each once; any other is an error, because
// it could be meant to restrict what the call does.
//
// The call is completed even if the client disconnects, so that the log states
// correctly what has changed.
func (h *Handler) admin(serve adminCall, parameters ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := h.checkAdmin(r, parameters...)
		if err == nil {
			err = h.catchUp(r)
		}
		if err != nil {
			h.respond(w, r, nil, err)
			return
		}
		responseOf(w).slots = &h.adminLarge
		data, err := serve(w, r.WithContext(context.WithoutCancel(r.Context())))
		if err == nil {
			h.logChange(w, r)
		}
		h.showPosition(w)
		h.respond(w, r, data, err)
	}
}

// checkAdmin returns an error unless the request has the admin key, and a query with
// only the named parameters.
func (h *Handler) checkAdmin(r *http.Request, parameters ...string) error {
	if err := h.checkAdminKey(r); err != nil {
		return err
	}
	return checkQuery(r.URL.Query(), parameters)
}

func checkQuery(query url.Values, parameters []string) error {
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if !slices.Contains(parameters, name) {
			return malformed("unknown query parameter%s", shown(name))
		}
		if len(query[name]) > 1 {
			return malformed("%s must be given once", name)
		}
	}
	return nil
}

func (h *Handler) checkAdminKey(r *http.Request) error {
	if !h.adminKeys.any() {
		return fail(CodeForbidden, "the server API is off: no admin key is set")
	}
	if !h.adminKeys.accept(bearer(r)) {
		return h.failed(r, fail(CodeForbidden, "the admin key is wrong or missing"))
	}
	prove(r)
	return nil
}

// editUsers returns a call that edits a list of users.
func editUsers(edit func(ctx context.Context, userIDs []string) ([]presence.Failure, error)) adminCall {
	return func(w http.ResponseWriter, r *http.Request) (object, error) {
		in := strictBody(w, r)
		ids := in.ids("userIDList", adminUsers)
		if err := in.check(); err != nil {
			return nil, err
		}
		failed, err := edit(r.Context(), ids)
		responseOf(w).changed("user", ids, failed)
		return list(object{}, "failureUserList", failed), err
	}
}

func (h *Handler) users(_ http.ResponseWriter, r *http.Request) (object, error) {
	after, limit, err := pageOf(r.URL.Query())
	if err != nil {
		return nil, err
	}
	users, next, err := h.service.Users(r.Context(), r.URL.Query().Get("prefix"), after, limit)
	return object{}.statuses("userList", users).next(next), err
}

func (h *Handler) subscriptions(_ http.ResponseWriter, r *http.Request) (object, error) {
	userID, err := userIDOf(r)
	if err != nil {
		return nil, err
	}
	all, err := h.service.Subscriptions(r.Context(), userID)
	if err != nil {
		return nil, err
	}
	found, _ := h.service.Get(userIDs(all)...) // as the server side sees them
	return object{}.statuses("userList", found), nil
}

func userIDs(all []presence.Status) (ids []string) {
	for _, status := range all {
		ids = append(ids, status.UserID)
	}
	return ids
}

func (h *Handler) getAnyStatus(w http.ResponseWriter, r *http.Request) (object, error) {
	in := strictBody(w, r)
	ids := in.ids("userIDList", adminUsers)
	if err := in.check(); err != nil {
		return nil, err
	}
	found, failed := h.service.Get(ids...)
	return answerStatuses(found, failed), nil
}

func (h *Handler) setUserStatus(w http.ResponseWriter, r *http.Request) (object, error) {
	in := strictBody(w, r)
	userID, entry := in.userID("userID"), in.entry()
	if err := in.check(); err != nil {
		return nil, err
	}
	status, err := h.service.SetEntry(r.Context(), userID, entry)
	responseOf(w).change = []slog.Attr{slog.String("user", userID)}
	return statusObject(status), err
}

func (h *Handler) kick(w http.ResponseWriter, r *http.Request) (object, error) {
	in := strictBody(w, r)
	userID := in.userID("userID")
	if err := in.check(); err != nil {
		return nil, err
	}
	responseOf(w).change = []slog.Attr{slog.String("user", userID)}
	return nil, h.service.Kick(r.Context(), userID)
}

func (h *Handler) renameUser(w http.ResponseWriter, r *http.Request) (object, error) {
	in := strictBody(w, r)
	userID, to := in.userID("userID"), in.userID("to")
	if err := in.check(); err != nil {
		return nil, err
	}
	status, err := h.service.Rename(r.Context(), userID, to)
	responseOf(w).change = []slog.Attr{slog.String("user", userID), slog.String("to", to)}
	return statusObject(status), err
}

func (h *Handler) logoutUser(w http.ResponseWriter, r *http.Request) (object, error) {
	in := strictBody(w, r)
	userID, deviceID := in.userID("userID"), in.deviceID()
	if err := in.check(); err != nil {
		return nil, err
	}
	responseOf(w).change = []slog.Attr{slog.String("user", userID), slog.String("device", deviceID)}
	return nil, h.service.Logout(r.Context(), userID, deviceID)
}

func (h *Handler) issueToken(w http.ResponseWriter, r *http.Request) (object, error) {
	in := strictBody(w, r)
	userID, lifetime := in.userID("userID"), in.seconds("expiresIn")
	if err := in.check(); err != nil {
		return nil, err
	}
	data, expires, err := h.issue(userID, lifetime)
	responseOf(w).change = []slog.Attr{slog.String("user", userID), slog.Time("expiresAt", expires)}
	return data, err
}

// issue returns a new token. A lifetime of zero means defaultLifetime.
func (h *Handler) issue(userID string, lifetime time.Duration) (data object, expires time.Time, err error) {
	if h.tokens == nil {
		return nil, expires, fail(CodeForbidden, "this server issues no tokens: the program that embeds it uses its own credentials")
	}
	if lifetime == 0 {
		lifetime = defaultLifetime
	}
	token, expires, err := h.tokens.Issue(userID, lifetime)
	if err != nil {
		return nil, expires, err
	}
	return object{}.text("token", token).text("expiresAt", rfc3339(expires)), expires, nil
}

func (h *Handler) explain(_ http.ResponseWriter, r *http.Request) (object, error) {
	userID, err := userIDOf(r)
	if err != nil {
		return nil, err
	}
	explanation, err := h.service.Explain(r.Context(), userID)
	if err != nil {
		return nil, err
	}
	return members(explanation)
}

func (h *Handler) stats(_ http.ResponseWriter, r *http.Request) (object, error) {
	stats, err := h.service.Stats(r.Context())
	if err != nil {
		return nil, err
	}
	deliveries, err := flagOf(r, "deliveries")
	if err != nil {
		return nil, err
	}
	availability, err := flagOf(r, "availability")
	if err != nil {
		return nil, err
	}
	nodes, err := flagOf(r, "nodes")
	if err != nil {
		return nil, err
	}
	if !deliveries {
		stats.Deliveries = 0 // left out
	}
	if !availability {
		stats.Availability = presence.AvailabilityCounts{} // left out
	}
	data, err := members(stats)
	if err == nil && nodes {
		data = h.nodes(data)
	}
	return data, err
}

// flagOf returns a boolean parameter of a query. Absent means false.
func flagOf(r *http.Request, name string) (bool, error) {
	switch r.URL.Query().Get(name) {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	}
	return false, malformed("%s must be true or false", name)
}

// config returns the configuration that the embedding program shows, or what the
// Handler itself knows of it.
func (h *Handler) config(http.ResponseWriter, *http.Request) (object, error) {
	if h.shownConfig != nil {
		return members(h.shownConfig())
	}
	return members(tables(h.service.Settings(), *h.limits.Load()))
}
