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
	entry := in.entry()
	if err := in.check(); err != nil {
		return nil, err
	}
	status, err := h.service.SetEntry(r.Context(), userID, entry)
	return statusObject(status), err
}

// entry returns the entry of the members of setSelfStatus and admin/setUserStatus. Of
// several wrong members, the error is that of the one that is read first.
func (f *fields) entry() presence.Entry {
	if f.has("expiresIn") && f.has("expiresAt") && f.err == nil {
		f.err = malformed("expiresIn and expiresAt can't be given together")
	}
	e := presence.Entry{Source: f.someText("source"), Availability: f.availability()}
	if f.has("customStatus") || e.Source == "" && e.Availability == presence.Available {
		e.CustomStatus = f.text("customStatus")
	}
	e.ExpiresIn, e.ExpiresAt = f.seconds("expiresIn"), f.timestamp("expiresAt")
	e.StartsAt, e.Priority = f.timestamp("startsAt"), f.priority()
	return e
}

func (h *Handler) self(_ http.ResponseWriter, _ *http.Request, userID string) (object, error) {
	self, err := h.service.Self(userID)
	if err != nil {
		return nil, err
	}
	return members(self)
}

func (h *Handler) setIdle(w http.ResponseWriter, r *http.Request, c Credentials) (object, error) {
	in := body(w, r)
	deviceID, idle := c.DeviceID, in.bool("idle")
	if deviceID == "" {
		deviceID = in.text("deviceID")
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	return nil, h.service.SetIdle(r.Context(), c.UserID, deviceID, idle)
}

func (h *Handler) setVisibility(w http.ResponseWriter, r *http.Request, userID string) (object, error) {
	in := body(w, r)
	invisible := in.bool("invisible")
	if err := in.check(); err != nil {
		return nil, err
	}
	return nil, h.service.SetVisibility(r.Context(), userID, invisible)
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
