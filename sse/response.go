package sse

import (
	"context"
	"errors"
	"io"

	"github.com/presence-server/presence/presence"
	"github.com/r3labs/sse/v2"
)

// response is what r3labs writes to. When r3labs begins to write an event, the
// response waits for the session's next one and fills it in; when r3labs has
// written its pieces, the response sends them at once, under a deadline, and
// ends the request on an error, which r3labs would ignore.
//
// That is why r3labs is given one event again and again, and many times in
// advance: to hand over each when it is there would cost two more switches
// between goroutines, a third of all that a change costs a stream (bench,
// fan-out).
type response struct {
	wire
	timing  Timing
	ctx     context.Context // done when the client has gone
	cancel  context.CancelCauseFunc
	session *presence.Session
	server  *sse.Server

	event  sse.Event // the one that r3labs is given
	stock  int       // how many times it still has it; at first 1, for the head
	begun  bool      // it is being written
	last   bool      // nothing follows it
	over   bool      // nothing is sent any more
	cursor int64     // of the last event
	pieces []byte
}

// fullStock is how many times r3labs has the event after each delivery: fewer
// than the 64 that it takes without waiting for what it writes.
const fullStock = 32

// WriteHeader writes the head.
func (w *response) WriteHeader(int) {
	h := w.Header()
	h.Set("Cache-Control", "no-cache, no-transform")
	h.Set("X-Accel-Buffering", "no") // nginx would keep events back
	h.Del("Connection")              // the wire knows better
	w.writeHead()
}

// Write keeps a piece of an event. The first piece, the id of the event before,
// is left out: only now it shows which event this is.
func (w *response) Write(piece []byte) (int, error) {
	switch {
	case !w.begun:
		w.begun = true
		w.take()
	case !w.over:
		w.pieces = append(w.pieces, piece...)
	}
	return len(piece), nil
}

// Flush is called by r3labs for the head, and after each event.
func (w *response) Flush() {
	w.begun = false
	if len(w.pieces) > 0 {
		if err := w.send(); err != nil {
			w.end(err)
		}
	}
	if w.stock--; w.stock > 0 || w.over {
		return
	}
	for ; w.stock < fullStock; w.stock++ {
		w.server.Publish(streamID, &w.event)
	}
}

// end has r3labs write nothing more.
func (w *response) end(why error) {
	w.over = true
	w.event = sse.Event{}
	w.cancel(why)
}

// maxKept is the size of a buffer, in bytes, up to which it is kept for the
// next event.
const maxKept = 4096

func (w *response) send() error {
	err := w.write(w.pieces, w.timing.WriteTimeout)
	if w.pieces = w.pieces[:0]; cap(w.pieces) > maxKept {
		w.pieces = nil
	}
	return err
}

// take waits for the session's next event and fills it in.
func (w *response) take() {
	if w.over || w.last {
		w.end(nil)
		return
	}
	event, err := w.session.Next(w.ctx)
	switch {
	case err == nil:
		w.cursor = event.Cursor
		encode(&w.event, event)
	case errors.Is(err, presence.ErrClosed):
		w.last = true
		w.comeBack()
	case err == io.EOF:
		w.end(nil)
	default:
		w.end(err)
	}
	if !w.over {
		w.pieces = append(append(append(w.pieces, "id: "...), w.event.ID...), '\n')
	}
}
