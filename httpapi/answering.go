package httpapi

import (
	"log/slog"
	"net/http"
	"time"
)

// answering is the ResponseWriter of one request: it measures the answer, and
// keeps what belongs to the request.
type answering struct {
	http.ResponseWriter
	meters *meters
	meter  *pathMeter
	began  time.Time
	noted  bool
	userID string // who the request comes from, once that is known

	slots *slots // for a large body; nil: the request has no credentials
	large bool   // it has taken one

	change []slog.Attr // what a call of the server API has changed, for the log; nil: nothing
}

// WriteHeader writes the head.
func (a *answering) WriteHeader(status int) {
	a.note(status)
	a.ResponseWriter.WriteHeader(status)
}

// note measures the answer, once.
func (a *answering) note(status int) {
	if !a.noted {
		a.noted = true
		a.meters.answered(a.meter, status, time.Since(a.began))
	}
}

// Unwrap lets http.ResponseController find net/http's own.
func (a *answering) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// of returns what is known of the request that w answers.
func of(w http.ResponseWriter) *answering { return w.(*answering) }
