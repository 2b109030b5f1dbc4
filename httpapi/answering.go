package httpapi

import (
	"net/http"
	"sync/atomic"
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

	large  *atomic.Int64 // requests under way with a large body
	counts bool          // this is one of them
}

// mayBeLarge reports whether the request may have a large body, and then counts
// it until release.
func (a *answering) mayBeLarge() bool {
	a.counts = a.large.Add(1) <= maxLarge
	if !a.counts {
		a.large.Add(-1)
	}
	return a.counts
}

func (a *answering) release() {
	if a.counts {
		a.large.Add(-1)
	}
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
