package httpapi

import (
	"net/http"

	"github.com/presence-server/presence/presence"
)

// This file serves the health checks. /livez reports that the process is alive;
// a supervisor restarts a process that isn't. /readyz reports that the service is
// ready; a load balancer sends requests only to a service that is.

func (h *Handler) livez(w http.ResponseWriter, r *http.Request) { write(w, http.StatusOK, nil) }

// readyz reports whether the service is ready. Unlike the responses of calls, its
// message contains the full reason: it is for operators.
func (h *Handler) readyz(w http.ResponseWriter, r *http.Request) {
	err := h.service.Ready(r.Context())
	if err == nil {
		write(w, http.StatusOK, nil)
		return
	}
	refuse(w, &refusal{
		err:    fail(presence.CodeUnavailable, "%s", err),
		status: http.StatusServiceUnavailable,
		after:  unavailableAfter,
	})
}

// Starting responds to a request while there is no Handler yet, because the Service
// is being opened: the process is alive, but not ready. /livez returns 200; all other
// requests are rejected with presence.CodeUnavailable.
//
// Don't use it for /v1/events. An EventSource never reconnects after a response
// other than 200, so a request for a stream should wait for the Handler.
func Starting(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(requestIDHeader, "starting")
	protect(w.Header())
	if r.URL.Path == "/livez" {
		write(w, http.StatusOK, nil)
		return
	}
	refuse(w, refusalOf(fail(presence.CodeUnavailable, "the service is starting")))
}
