package httpapi

import (
	"log/slog"
	"net/http"
	"path"

	"github.com/presence-server/presence/presence"
)

// logChange logs what a call of the server API has changed, and for whom. It
// logs no token and no status text.
func (h *Handler) logChange(w http.ResponseWriter, r *http.Request) {
	a := of(w)
	if a.change == nil {
		return
	}
	h.log.LogAttrs(r.Context(), slog.LevelInfo, "changed through the server API", append([]slog.Attr{
		slog.String("call", path.Base(a.meter.path)),
		slog.String("request", requestID(w)),
		slog.String("peer", peer(r)),
	}, a.change...)...)
}

// peer returns the address of the client.
func peer(r *http.Request) string { return r.RemoteAddr }

// maxNamed is how many IDs of a list the log names.
const maxNamed = 10

// changed notes for the log that the call has changed something for those of a
// list that have not failed, if there are any: their number, and the first IDs.
func (a *answering) changed(kind string, ids []string, failed []presence.Failure, more ...slog.Attr) {
	without := make(map[string]bool, len(failed))
	for _, f := range failed {
		without[f.UserID] = true
	}
	n, named := 0, []string(nil)
	for _, id := range ids {
		if without[id] {
			continue
		}
		without[id] = true // repeats don't count
		if n++; n <= maxNamed {
			named = append(named, id)
		}
	}
	if n > 0 {
		a.change = append(more, slog.Int(kind+"s", n), slog.Any(kind+"IDs", named))
	}
}
