package httpapi

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/presence-server/presence/presence"
	"github.com/presence-server/presence/sse"
)

func isStream(r *http.Request) bool { return r.URL.Path == "/v1/events" }

// events serves the event stream of a device. It doesn't return the data of a response,
// as calls do: package sse writes the stream.
func (h *Handler) events(w http.ResponseWriter, r *http.Request) {
	c, err := h.identify(r) // Connect checks that the user may connect
	responseOf(w).userID = c.UserID
	if err != nil {
		h.respond(w, r, nil, err)
		return
	}
	h.stream(w, r, func() (sse.Source, *slog.Logger, error) {
		session, err := h.service.Connect(r.Context(), deviceOf(r, c))
		if err != nil {
			return nil, nil, err
		}
		if err := stillTrusted(c); err != nil {
			session.Close()
			return nil, nil, err
		}
		return session, h.log.With("user", c.UserID, "device", session.DeviceID()), nil
	})
}

// adminEvents serves the feed of all users as a stream.
func (h *Handler) adminEvents(w http.ResponseWriter, r *http.Request) {
	err := h.checkAdmin(r, "since")
	var cursor int64
	if err == nil {
		cursor, err = feedCursor(r)
	}
	if err != nil {
		h.respond(w, r, nil, err)
		return
	}
	h.stream(w, r, func() (sse.Source, *slog.Logger, error) {
		// A node that lags behind would take the cursor of another for one that was never issued.
		h.service.Await(r.Context(), presence.Position{Version: cursor})
		feed, err := h.service.Follow(cursor)
		if err != nil {
			return nil, nil, err
		}
		if !h.adminKeys.opened(feed, bearer(r)) {
			feed.Close()
			return nil, nil, fail(CodeForbidden, "the admin key is wrong or missing")
		}
		return adminFeed{feed, &h.adminKeys}, h.log.With("feed", true), nil
	})
}

// adminFeed is a feed that ends with the admin key that opened it.
type adminFeed struct {
	*presence.Feed
	keys *adminKeys
}

// Close ends the feed.
func (f adminFeed) Close() {
	f.keys.closed(f.Feed)
	f.Feed.Close()
}

// feedCursor returns the cursor from which a feed resumes. The header takes precedence
// over the query.
func feedCursor(r *http.Request) (int64, error) {
	text := r.Header.Get("Last-Event-ID")
	if text == "" {
		if !r.URL.Query().Has("since") {
			return presence.FromNow, nil
		}
		text = r.URL.Query().Get("since")
	}
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange) && n > 0:
		return 0, nil // a number that was never issued
	case err != nil || n < 0:
		return 0, malformed("the version to resume from must be a whole number, and not negative")
	}
	return n, nil
}

// stream opens a source of events and writes it as the response. The logger that open
// returns has the attributes of the stream.
func (h *Handler) stream(w http.ResponseWriter, r *http.Request, open func() (sse.Source, *slog.Logger, error)) {
	if err := sse.Check(w, r); err != nil {
		h.respond(w, r, nil, fmt.Errorf("no event stream: %w", err))
		return
	}
	limits := h.limits.Load()
	if n := h.streams.Add(1); limits.Streams > 0 && n > int64(limits.Streams) {
		h.streams.Add(-1)
		h.respond(w, r, nil, fail(presence.CodeUnavailable, "too many streams are open"))
		return
	}
	source, log, err := open()
	if err != nil {
		h.streams.Add(-1)
		h.refuseStream(w, r, err)
		return
	}
	request := requestID(w)
	log.Debug("stream opened", "request", request)
	responseOf(w).note(http.StatusOK)
	h.writer.Serve(w, r, source, sse.Timing{WriteTimeout: limits.WriteTimeout, Drain: limits.Drain}, func(err error) {
		h.meters.cut(err)
		if errors.Is(err, http.ErrNotSupported) {
			log.Error("the response writer can't flush an event: a middleware has Flush or Unwrap, but the ResponseWriter inside it is not an http.Flusher",
				"request", request, "error", err)
		}
		log.Debug("stream ended", "request", request, "error", err)
		h.streams.Add(-1)
	})
}

// refuseStream responds to a request for a stream that can't be opened. A kicked
// device that only reconnects receives 204, which stops an EventSource.
func (h *Handler) refuseStream(w http.ResponseWriter, r *http.Request, err error) {
	if kicked, ok := errors.AsType[*presence.KickedError](err); ok {
		w.Header().Set("Presence-Kicked", string(kicked.Kick))
		w.WriteHeader(http.StatusNoContent)
		return
	}
	h.respond(w, r, nil, err)
}

// deviceOf returns the device that requests a stream. Connect validates it.
func deviceOf(r *http.Request, c Credentials) presence.Device {
	query := r.URL.Query()
	d := presence.Device{
		UserID:    c.UserID,
		ID:        cmp.Or(c.DeviceID, query.Get("deviceID")),
		Platform:  presence.Platform(query.Get("platform")),
		IssuedAt:  c.IssuedAt,
		ExpiresAt: c.ExpiresAt,
		Key:       c.key,
	}
	d.Cursor, d.Resume = cursorOf(r, query)
	return d
}

// cursorOf returns the cursor from which a stream resumes, and whether there is
// one. The header takes precedence over the query. If the query has several, also
// with names in different letter case, the lowest counts, so that no change is
// lost. A cursor that isn't a number counts as zero.
func cursorOf(r *http.Request, query url.Values) (cursor int64, found bool) {
	given := []string{r.Header.Get("Last-Event-ID")}
	if given[0] == "" {
		for name, values := range query {
			if strings.EqualFold(name, "lastEventId") {
				given = append(given, values...)
			}
		}
	}
	for _, text := range given {
		if text == "" {
			continue
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			n = 0
		}
		if !found || n < cursor {
			cursor, found = n, true
		}
	}
	return cursor, found
}

// userIDOf returns the parameter userID of the query, which is required.
func userIDOf(r *http.Request) (string, error) {
	id := r.URL.Query().Get("userID")
	if err := presence.CheckID(id); err != nil {
		return "", malformed("userID: %s", err)
	}
	return id, nil
}
