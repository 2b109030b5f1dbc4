package sse

import (
	"context"
	"net/http"
	"time"
)

// response is what r3labs writes to: it gathers the pieces of an event and
// writes them at once, under a deadline, and ends the request on an error,
// which r3labs would ignore.
type response struct {
	http.ResponseWriter
	timeout time.Duration
	pieces  []byte
	flushed chan struct{} // an event has left; holds one
	cut     context.CancelCauseFunc
}

// WriteHeader sends nothing yet: the head leaves together with READY.
func (w *response) WriteHeader(status int) {
	h := w.Header()
	h.Set("Cache-Control", "no-cache, no-transform")
	h.Set("X-Accel-Buffering", "no") // nginx would keep events back
	h.Del("Connection")              // net/http knows better
	w.ResponseWriter.WriteHeader(status)
}

// Write keeps a piece of an event.
func (w *response) Write(piece []byte) (int, error) {
	w.pieces = append(w.pieces, piece...)
	return len(piece), nil
}

// Flush sends the event whose pieces were written.
func (w *response) Flush() {
	if len(w.pieces) == 0 {
		return
	}
	err := w.send()
	if cap(w.pieces) > maxKept {
		w.pieces = nil
	}
	w.pieces = w.pieces[:0]
	if err != nil {
		w.cut(err)
	}
	w.flushed <- struct{}{}
}

// maxKept is the size of a buffer, in bytes, up to which it is kept for the
// next event.
const maxKept = 4096

// send leaves no deadline behind: one that passes between two events would end
// an HTTP/2 stream, and on HTTP/1 the next request of the connection.
func (w *response) send() error {
	control := http.NewResponseController(w.ResponseWriter)
	if w.timeout > 0 {
		control.SetWriteDeadline(time.Now().Add(w.timeout)) // what can't have one goes without
	}
	if _, err := w.ResponseWriter.Write(w.pieces); err != nil {
		return err
	}
	err := control.Flush()
	control.SetWriteDeadline(time.Time{})
	return err
}
