package sse

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/presence-server/presence/presence"
	"github.com/r3labs/sse/v2"
)

// response is what r3labs writes to. It gathers the pieces of an event and
// writes them at once, under a deadline; ends the request on an error, which
// r3labs would ignore; and then feeds r3labs the next event.
type response struct {
	http.ResponseWriter
	control *http.ResponseController
	lasting bool // a write deadline may stay until the next write
	timing  Timing
	ctx     context.Context // of the request
	cancel  context.CancelCauseFunc
	session *presence.Session
	server  *sse.Server

	pieces []byte
	armed  time.Time // when the write deadline was set
	event  sse.Event // on its way through r3labs, or empty
	cursor int64     // of the last event
	over   bool      // nothing follows but the end
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

// Flush is called by r3labs for the head, and after each event. It sends what
// was written, waits for the next event, and hands that over.
func (w *response) Flush() {
	if len(w.pieces) > 0 {
		if err := w.send(); err != nil {
			w.cancel(err)
		}
	}
	w.take()
	w.server.Publish(streamID, &w.event)
}

// maxKept is the size of a buffer, in bytes, up to which it is kept for the
// next event.
const maxKept = 4096

func (w *response) send() error {
	w.arm()
	_, err := w.ResponseWriter.Write(w.pieces)
	if err == nil {
		err = w.control.Flush()
	}
	if !w.lasting {
		// One that passes between two events would end an HTTP/2 stream.
		w.control.SetWriteDeadline(time.Time{})
		w.armed = time.Time{}
	}
	if w.pieces = w.pieces[:0]; cap(w.pieces) > maxKept {
		w.pieces = nil
	}
	return err
}

// arm sets the deadline of a write. One that was set a moment ago serves again,
// as setting it costs about as much as encoding an event; so all of them are a
// quarter longer. What can't have a deadline goes without.
func (w *response) arm() {
	timeout := w.timing.WriteTimeout
	now := time.Now()
	if timeout > 0 && now.Sub(w.armed) > timeout/4 {
		w.control.SetWriteDeadline(now.Add(timeout + timeout/4))
		w.armed = now
	}
}

// take waits for the session's next event. An empty one ends the response.
func (w *response) take() {
	if w.over || w.ctx.Err() != nil {
		w.event = sse.Event{}
		return
	}
	event, err := w.session.Next(w.ctx)
	switch {
	case err == nil:
		w.cursor = event.Cursor
		encode(&w.event, event)
	case errors.Is(err, presence.ErrClosed):
		w.over = true
		w.comeBack()
	default:
		if err != io.EOF {
			w.cancel(err)
		}
		w.event = sse.Event{}
	}
}
