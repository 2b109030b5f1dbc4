package sse

import (
	"net/http"
	"strconv"

	"github.com/presence-server/presence/presence"
	"github.com/r3labs/sse/v2"
)

// response is what r3labs writes to. When r3labs begins to write an event, the
// response waits for a stream that has one and fills it in; when r3labs has
// written its pieces, the response sends them at once, on that stream's wire.
//
// That is why r3labs is given one event again and again, and many times in
// advance: to hand over each when it is there would cost two more switches
// between goroutines (bench, fan-out).
type response struct {
	loop   *loop
	header http.Header
	server *sse.Server

	ready []*stream // taken from the loop,
	seen  int       // and how many of them were looked at

	event  sse.Event       // the one that r3labs is given
	told   presence.Status // whom its data is about, if that is one
	stock  int             // how many times it still has it; at first 1, for the head
	begun  bool            // it is being written
	stream *stream         // to whom; nil: nothing more is written
	pieces frame
}

// fullStock is how many times r3labs has the event after each delivery: fewer
// than the 64 that it takes without waiting for what it writes.
const fullStock = 32

// Header and WriteHeader are for a head that nobody gets: each stream has sent
// its own.

func (w *response) Header() http.Header { return w.header }
func (w *response) WriteHeader(int)     {}

// Write keeps a piece of an event. The first piece, the id of the event before,
// is left out: only now it shows which event this is.
func (w *response) Write(piece []byte) (int, error) {
	switch {
	case !w.begun:
		w.begun = true
		w.begin()
	case w.stream != nil:
		w.pieces = append(w.pieces, piece...)
	}
	return len(piece), nil
}

// maxKept is the size of a buffer, in bytes, up to which it is kept for the
// next event.
const maxKept = 64 << 10

// Flush is called by r3labs for the head, and after each event. When the loop
// ends, what r3labs finds in its stock, or gets anew, is empty.
func (w *response) Flush() {
	w.begun = false
	if w.stream != nil {
		w.pieces = append(w.pieces, frameTail...)
		w.stream.write(w.pieces)
		if w.pieces = w.pieces[:0]; cap(w.pieces) > maxKept {
			w.pieces = nil
		}
	}
	if w.stock--; w.stock > 0 {
		return
	}
	for ; w.stock < fullStock; w.stock++ {
		w.server.Publish(streamID, &w.event)
	}
}

// encode fills the event in. What many streams are told in a row is encoded
// once.
func (w *response) encode(event presence.Event) {
	if event.Type == presence.Updated && len(event.Statuses) == 1 {
		if event.Statuses[0] == w.told {
			w.event.ID = strconv.AppendInt(w.event.ID[:0], event.Cursor, 10)
			return
		}
		w.told = event.Statuses[0]
	} else {
		w.told = presence.Status{}
	}
	encode(&w.event, event)
}

// begin waits for a stream that has an event and fills it in.
func (w *response) begin() {
	for {
		if w.seen == len(w.ready) {
			w.ready, w.seen = w.loop.take(w.ready), 0
		}
		if len(w.ready) == 0 {
			w.stream, w.event = nil, sse.Event{}
			return
		}
		w.stream = w.ready[w.seen]
		w.seen++
		if event, ok := w.stream.begin(); ok {
			w.encode(event)
			if w.stream.last {
				w.event.Retry = comeBack(w.stream.timing.Drain)
			}
			w.pieces = append(append(w.pieces, frameHead+"id: "...), w.event.ID...)
			w.pieces = append(w.pieces, '\n')
			return
		}
	}
}
