package httpapi

import (
	"log/slog"
	"net/http"
	"time"
)

// response is the ResponseWriter that all handlers of this package receive. It
// measures the response, and stores the state of the request.
type response struct {
	http.ResponseWriter
	meters *meters
	meter  *pathMeter
	began  time.Time
	noted  bool   // the response is measured
	userID string // of the user who makes the request; "" until it is known

	slots *slots // for a large body; nil means that the request has no credentials
	large bool   // the request holds a slot

	change []slog.Attr // what a call of the server API has changed, for the log; nil means nothing
}

// WriteHeader writes the header, and measures the response.
func (resp *response) WriteHeader(status int) {
	resp.note(status)
	resp.ResponseWriter.WriteHeader(status)
}

// note measures the response at the first call. Later calls do nothing.
func (resp *response) note(status int) {
	if !resp.noted {
		resp.noted = true
		resp.meters.answered(resp.meter, status, time.Since(resp.began))
	}
}

// Unwrap returns the ResponseWriter of net/http, for http.ResponseController.
func (resp *response) Unwrap() http.ResponseWriter { return resp.ResponseWriter }

// responseOf returns the state of the request that w responds to.
func responseOf(w http.ResponseWriter) *response { return w.(*response) }
