package httpapi

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/presence-server/presence/presence"
	"github.com/presence-server/presence/sse"
)

func isStream(r *http.Request) bool { return r.URL.Path == "/v1/events" }

// events serves the event stream.
func (h *Handler) events(w http.ResponseWriter, r *http.Request) {
	c, err := h.identify(r) // Connect admits, and has more to look at
	of(w).userID = c.UserID
	if err != nil {
		h.respond(w, r, nil, err)
		return
	}
	limits := h.limits.Load()
	if n := h.streams.Add(1); limits.Streams > 0 && n > int64(limits.Streams) {
		h.streams.Add(-1)
		h.respond(w, r, nil, fail(presence.CodeUnavailable, "too many streams are open"))
		return
	}
	session, err := h.service.Connect(r.Context(), deviceOf(r, c))
	if err != nil {
		h.streams.Add(-1)
		h.refuseStream(w, r, err)
		return
	}
	request := requestID(w)
	h.log.Debug("stream opened", "request", request, "user", c.UserID, "device", session.DeviceID())
	of(w).note(http.StatusOK)
	h.writer.Serve(w, r, session, sse.Timing{WriteTimeout: limits.WriteTimeout, Drain: limits.Drain}, func(err error) {
		h.meters.cut(err)
		h.log.Debug("stream ended", "request", request, "user", c.UserID, "device", session.DeviceID(), "error", err)
		h.streams.Add(-1)
	})
}

// refuseStream answers a stream that can't be opened. A kicked device that only
// reconnects receives a 204, after which an EventSource gives up.
func (h *Handler) refuseStream(w http.ResponseWriter, r *http.Request, err error) {
	if kicked, ok := errors.AsType[*presence.KickedError](err); ok {
		w.Header().Set("Presence-Kicked", string(kicked.Kick))
		w.WriteHeader(http.StatusNoContent)
		return
	}
	h.respond(w, r, nil, err)
}

// deviceOf returns the device that a request for a stream comes from.
func deviceOf(r *http.Request, c Credentials) presence.Device {
	query := r.URL.Query()
	d := presence.Device{
		UserID:    c.UserID,
		ID:        query.Get("deviceID"),
		Platform:  presence.Platform(query.Get("platform")),
		IssuedAt:  c.IssuedAt,
		ExpiresAt: c.ExpiresAt,
	}
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		d.Resume = true
		d.Cursor, _ = strconv.ParseInt(last, 10, 64) // what we never issued counts as 0
	}
	return d
}

// userIDOf returns the userID of a query.
func userIDOf(r *http.Request) (string, error) {
	id := r.URL.Query().Get("userID")
	if err := presence.CheckID(id); err != nil {
		return "", malformed("userID: %s", err)
	}
	return id, nil
}
