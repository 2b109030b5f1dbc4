package httpapi

import (
	"cmp"
	"context"
	"net/http"
	"slices"

	"github.com/presence-server/presence/presence"
)

// This file has the calls that users make.

// The calls whose rate is limited for each user.
const (
	getUserStatus         = "getUserStatus"
	subscribeUserStatus   = "subscribeUserStatus"
	unsubscribeUserStatus = "unsubscribeUserStatus"
)

func (h *Handler) setSelfStatus(w http.ResponseWriter, r *http.Request, userID string) (object, error) {
	in := body(w, r)
	text, expiresIn, expiresAt := in.text("customStatus"), in.seconds("expiresIn"), in.timestamp("expiresAt")
	if in.has("expiresIn") && in.has("expiresAt") {
		return nil, malformed("expiresIn and expiresAt can't be given together")
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	set := func() (presence.Status, error) { return h.service.Set(r.Context(), userID, text, expiresIn) }
	if in.has("expiresAt") {
		set = func() (presence.Status, error) { return h.service.SetUntil(r.Context(), userID, text, expiresAt) }
	}
	status, err := set()
	return statusObject(status), err
}

func (h *Handler) getUserStatus(w http.ResponseWriter, r *http.Request, userID string) (object, error) {
	in := body(w, r)
	ids := in.ids("userIDList", h.limits.Load().QueryUsers)
	if err := in.check(); err != nil {
		return nil, err
	}
	if slices.ContainsFunc(ids, func(id string) bool { return id != userID }) {
		if err := h.mayWatch(userID, getUserStatus); err != nil {
			return nil, err
		}
	}
	found, failed, err := h.service.Query(userID, ids)
	if err != nil {
		return nil, err
	}
	return answerStatuses(found, failed), nil
}

func (h *Handler) subscribeUserStatus(w http.ResponseWriter, r *http.Request, userID string) (object, error) {
	in := body(w, r)
	ids := in.ids("userIDList", h.limits.Load().SubscribeUsers)
	if err := in.check(); err != nil {
		return nil, err
	}
	if err := h.mayWatch(userID, subscribeUserStatus); err != nil {
		return nil, err
	}
	done, err := h.service.Subscribe(r.Context(), userID, ids)
	data := object{}.statuses("successUserList", done.Statuses)
	return list(list(data, "failureUserList", done.Failed), "evictedUserList", done.Evicted), err
}

func (h *Handler) unsubscribeUserStatus(w http.ResponseWriter, r *http.Request, userID string) (object, error) {
	in := body(w, r)
	ids := in.someIDs("userIDList", h.limits.Load().SubscribeUsers)
	if err := in.check(); err != nil {
		return nil, err
	}
	if err := h.mayWatch(userID, unsubscribeUserStatus); err != nil {
		return nil, err
	}
	if len(ids) == 0 {
		return list(object{}, "failureUserList", []string{}), h.service.UnsubscribeAll(r.Context(), userID)
	}
	failed, err := h.service.Unsubscribe(r.Context(), userID, ids)
	return list(object{}, "failureUserList", failed), err
}

// mayWatch counts a call for the rate limit. It returns an error if the limit is
// exceeded, or if features.user_status is off.
func (h *Handler) mayWatch(userID, command string) error {
	if err := h.mayList(); err != nil {
		return err
	}
	limits := h.limits.Load()
	wait := h.calls.take(callKey{userID, command}, limits.CallsPerWindow, limits.Window)
	if wait == 0 {
		return nil
	}
	h.meters.limited.WithLabelValues(command).Inc()
	return &refusal{err: fail(CodeTooOften, "at most %d calls in %s", limits.CallsPerWindow, limits.Window), after: wait}
}

// mayList returns an error if features.user_status is off, which forbids all calls
// about other users.
func (h *Handler) mayList() error {
	if !h.service.Settings().UserStatus {
		return presence.ErrSwitchedOff
	}
	return nil
}

// watched returns a call that lists statuses without receiving IDs.
func (h *Handler) watched(statuses func(ctx context.Context, userID string) ([]presence.Status, error)) call {
	return func(_ http.ResponseWriter, r *http.Request, userID string) (object, error) {
		if err := h.mayList(); err != nil {
			return nil, err
		}
		all, err := statuses(r.Context(), userID)
		return object{}.statuses("userList", all), err
	}
}

func (h *Handler) logout(w http.ResponseWriter, r *http.Request, c Credentials) (object, error) {
	in := body(w, r)
	deviceID := cmp.Or(c.DeviceID, in.deviceID())
	if err := in.check(); err != nil {
		return nil, err
	}
	return nil, h.service.Logout(r.Context(), c.UserID, deviceID)
}
