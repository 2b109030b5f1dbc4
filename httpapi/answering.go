package httpapi

import (
	"net/http"
	"time"
)

// answering is the ResponseWriter of one request: it measures how it is
// answered, and keeps what the log tells of it.
type answering struct {
	http.ResponseWriter
	meters *meters
	meter  *pathMeter
	began  time.Time
	noted  bool
	userID string // who the request comes from, once that is known
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
