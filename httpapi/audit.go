package httpapi

import (
	"log/slog"
	"net/http"
	"path"

	"github.com/presence-server/presence/presence"
)

// logChange logs what a call of the server API has changed, and for which users.
// The line contains no token and no status text. A call that has changed nothing
// isn't logged.
func (h *Handler) logChange(w http.ResponseWriter, r *http.Request) {
	resp := responseOf(w)
	if resp.change == nil {
		return
	}
	h.log.LogAttrs(r.Context(), slog.LevelInfo, "changed through the server API", append([]slog.Attr{
		slog.String("call", path.Base(resp.meter.path)),
		slog.String("request", requestID(w)),
		slog.String("peer", h.proxies.peer(r)),
	}, resp.change...)...)
}

// maxNamed is the maximum number of IDs that the log lists for one call.
const maxNamed = 10

// changed stores, for the log, the number of IDs for which a call has succeeded,
// and the first of them. If all have failed, it stores nothing.
func (resp *response) changed(kind string, ids []string, failed []presence.Failure, more ...slog.Attr) {
	if n, named := succeeded(ids, failed); n > 0 {
		resp.change = append(more, slog.Int(kind+"s", n), slog.Any(kind+"IDs", named))
	}
}

// succeeded returns the number of distinct IDs that have not failed, and the first of
// them.
func succeeded(ids []string, failed []presence.Failure) (n int, named []string) {
	without := make(map[string]bool, len(failed))
	for _, f := range failed {
		without[f.UserID] = true
	}
	named = []string{} // logged as [], not as null
	for _, id := range ids {
		if without[id] {
			continue
		}
		without[id] = true // count each ID once
		if n++; n <= maxNamed {
			named = append(named, id)
		}
	}
	return n, named
}
