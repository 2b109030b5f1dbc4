package httpapi

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/presence-server/presence/presence"
)

// This file has the header Presence-Version. With it, a client that uses several nodes
// reads at one of them what it has seen or written at another.

// versionHeader is the header for a position: in a request the one that the client
// has seen, in a response the one that it includes.
const versionHeader = "Presence-Version"

// catchUp waits until the service has reached the position that a request gives, if the
// request only reads. A write needs no waiting: its entry of the log comes after all that
// any client has seen. Without a log there is only one node, and the header is ignored.
func (h *Handler) catchUp(r *http.Request) error {
	given := r.Header.Values(versionHeader)
	if !h.hasLog || len(given) == 0 || !isRead(r) {
		return nil
	}
	seen, err := parsePosition(given)
	if err != nil {
		return err
	}
	return h.service.Await(r.Context(), seen)
}

// isRead reports whether an accepted call only reads.
func isRead(r *http.Request) bool {
	return r.Method != http.MethodPost || strings.HasSuffix(r.URL.Path, "/"+getUserStatus)
}

// parsePosition returns the position in the values of the header: a version, or a version
// and a place in the log as in "42.7".
func parsePosition(values []string) (p presence.Position, err error) {
	version, place, both := strings.Cut(values[0], ".")
	ok := len(values) == 1 && parseNumber(version, &p.Version) && (!both || parseNumber(place, &p.Place))
	if !ok {
		return p, malformed("%s must be given once, as VERSION or VERSION.POSITION; both are whole numbers from 0 to 2^63-1", versionHeader)
	}
	return p, nil
}

// parseNumber sets n to a number of decimal digits below 2^63, and reports whether text
// is one.
func parseNumber(text string, n *int64) bool {
	parsed, err := strconv.ParseUint(text, 10, 63)
	*n = int64(parsed)
	return err == nil
}

// showPosition adds the position of the service to a response, unless there is no log.
// It is called after the call was served, so that the position includes what the call has
// written.
func (h *Handler) showPosition(w http.ResponseWriter) {
	if h.hasLog {
		p := h.service.Position()
		text := strconv.AppendInt(nil, p.Version, 10)
		text = strconv.AppendInt(append(text, '.'), p.Place, 10)
		w.Header().Set(versionHeader, string(text))
	}
}
