package httpapi

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
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

// admin serves a call to who has the admin key.
func (h *Handler) admin(serve adminCall) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := h.checkAdminKey(r); err != nil {
			h.respond(w, r, nil, err)
			return
		}
		data, err := serve(w, r)
		h.respond(w, r, data, err)
	}
}

func (h *Handler) checkAdminKey(r *http.Request) error {
	if h.adminKey == "" {
		return fail(CodeForbidden, "the server API is off: no admin key is set")
	}
	given, want := sha256.Sum256([]byte(bearer(r))), sha256.Sum256([]byte(h.adminKey))
	if subtle.ConstantTimeCompare(given[:], want[:]) != 1 {
		return fail(CodeForbidden, "the admin key is wrong or missing")
	}
	return nil
}

// editUsers serves what is done to a list of users.
func editUsers(edit func(ctx context.Context, userIDs []string) ([]presence.Failure, error)) adminCall {
	return func(w http.ResponseWriter, r *http.Request) (object, error) {
		in := body(w, r)
		ids := in.ids("userIDList", adminUsers)
		if in.err != nil {
			return nil, in.err
		}
		failed, err := edit(r.Context(), ids)
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
		in := body(w, r)
		userID, friends, mutual := in.userID("userID"), in.ids("friendIDList", adminUsers), in.flag("mutual", true)
		if in.err != nil {
			return nil, in.err
		}
		failed, err := edit(r.Context(), userID, friends, mutual)
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
	in := body(w, r)
	ids := in.ids("userIDList", adminUsers)
	if in.err != nil {
		return nil, in.err
	}
	found, failed := h.service.Get(ids...)
	return answerStatuses(found, failed), nil
}

func (h *Handler) setUserStatus(w http.ResponseWriter, r *http.Request) (object, error) {
	in := body(w, r)
	userID, text, expiresIn := in.userID("userID"), in.text("customStatus"), in.seconds("expiresIn")
	if in.err != nil {
		return nil, in.err
	}
	status, err := h.service.Set(r.Context(), userID, text, expiresIn)
	return statusObject(status), err
}

func (h *Handler) kick(w http.ResponseWriter, r *http.Request) (object, error) {
	in := body(w, r)
	userID := in.userID("userID")
	if in.err != nil {
		return nil, in.err
	}
	return nil, h.service.Kick(r.Context(), userID)
}

func (h *Handler) issueToken(w http.ResponseWriter, r *http.Request) (object, error) {
	in := body(w, r)
	userID, lifetime := in.userID("userID"), in.seconds("expiresIn")
	if in.err != nil {
		return nil, in.err
	}
	return h.issue(userID, lifetime)
}

// issue makes a token; a lifetime of 0 is the default one.
func (h *Handler) issue(userID string, lifetime time.Duration) (object, error) {
	if h.tokens == nil {
		return nil, fail(CodeForbidden, "tokens are made elsewhere")
	}
	if lifetime == 0 {
		lifetime = defaultLifetime
	}
	token, expires, err := h.tokens.Issue(userID, lifetime)
	if err != nil {
		return nil, err
	}
	return object{}.text("token", token).text("expiresAt", rfc3339(expires)), nil
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
