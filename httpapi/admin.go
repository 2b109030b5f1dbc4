package httpapi

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/presence-server/presence/presence"
)

// The calls of the server side.

// adminUsers is how many IDs one of them may have.
const adminUsers = 1000

// defaultLifetime is how long a token lives if nothing else is asked for.
const defaultLifetime = 24 * time.Hour

// adminCall answers a request of the server side.
type adminCall func(w http.ResponseWriter, r *http.Request) (object, error)

// admin serves a call to a client that has the admin key. Its query may have
// the parameters named, once each; any other is an error, because it could be
// meant to restrict what the call does.
//
// What the call changes is logged, so a client that goes away doesn't keep it
// from being finished.
func (h *Handler) admin(serve adminCall, parameters ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := h.checkAdminKey(r)
		if err == nil {
			err = checkQuery(r.URL.Query(), parameters)
		}
		if err != nil {
			h.respond(w, r, nil, err)
			return
		}
		of(w).slots = &h.adminLarge
		data, err := serve(w, r.WithContext(context.WithoutCancel(r.Context())))
		if err == nil {
			h.logChange(w, r)
		}
		h.respond(w, r, data, err)
	}
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
	if h.adminKey == "" {
		return fail(CodeForbidden, "the server API is off: no admin key is set")
	}
	given, want := sha256.Sum256([]byte(bearer(r))), sha256.Sum256([]byte(h.adminKey))
	if subtle.ConstantTimeCompare(given[:], want[:]) != 1 {
		return fail(CodeForbidden, "the admin key is wrong or missing")
	}
	prove(r)
	return nil
}

// editUsers serves what is done to a list of users.
func editUsers(edit func(ctx context.Context, userIDs []string) ([]presence.Failure, error)) adminCall {
	return func(w http.ResponseWriter, r *http.Request) (object, error) {
		in := strictBody(w, r)
		ids := in.ids("userIDList", adminUsers)
		if err := in.check(); err != nil {
			return nil, err
		}
		failed, err := edit(r.Context(), ids)
		of(w).changed("user", ids, failed)
		return list(object{}, "failureUserList", failed), err
	}
}

func (h *Handler) users(_ http.ResponseWriter, r *http.Request) (object, error) {
	after, limit, err := pageOf(r.URL.Query())
	if err != nil {
		return nil, err
	}
	users, next, err := h.service.Users(r.Context(), after, limit)
	return object{}.statuses("userList", users).next(next), err
}

// editFriends serves what is done to a friend list.
func editFriends(edit func(ctx context.Context, userID string, friends []string, mutual bool) ([]presence.Failure, error)) adminCall {
	return func(w http.ResponseWriter, r *http.Request) (object, error) {
		in := strictBody(w, r)
		userID, friends, mutual := in.userID("userID"), in.ids("friendIDList", adminUsers), in.flag("mutual", true)
		if err := in.check(); err != nil {
			return nil, err
		}
		failed, err := edit(r.Context(), userID, friends, mutual)
		of(w).changed("friend", friends, failed, slog.String("user", userID), slog.Bool("mutual", mutual))
		return list(object{}, "failureUserList", failed), err
	}
}

func (h *Handler) friends(_ http.ResponseWriter, r *http.Request) (object, error) {
	userID, err := userIDOf(r)
	if err != nil {
		return nil, err
	}
	after, limit, err := pageOf(r.URL.Query())
	if err != nil {
		return nil, err
	}
	friends, next, err := h.service.Friends(r.Context(), userID, after, limit)
	return list(object{}, "friendIDList", friends).next(next), err
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
	userID, text, expiresIn := in.userID("userID"), in.text("customStatus"), in.seconds("expiresIn")
	if err := in.check(); err != nil {
		return nil, err
	}
	status, err := h.service.Set(r.Context(), userID, text, expiresIn)
	of(w).change = []slog.Attr{slog.String("user", userID)}
	return statusObject(status), err
}

func (h *Handler) kick(w http.ResponseWriter, r *http.Request) (object, error) {
	in := strictBody(w, r)
	userID := in.userID("userID")
	if err := in.check(); err != nil {
		return nil, err
	}
	of(w).change = []slog.Attr{slog.String("user", userID)}
	return nil, h.service.Kick(r.Context(), userID)
}

func (h *Handler) issueToken(w http.ResponseWriter, r *http.Request) (object, error) {
	in := strictBody(w, r)
	userID, lifetime := in.userID("userID"), in.seconds("expiresIn")
	if err := in.check(); err != nil {
		return nil, err
	}
	data, expires, err := h.issue(userID, lifetime)
	of(w).change = []slog.Attr{slog.String("user", userID), slog.Time("expiresAt", expires)}
	return data, err
}

// issue creates a token; a lifetime of zero means the default one.
func (h *Handler) issue(userID string, lifetime time.Duration) (data object, expires time.Time, err error) {
	if h.tokens == nil {
		return nil, expires, fail(CodeForbidden, "this server issues no tokens: the program that embeds it has its own credentials")
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
	return members(stats)
}
