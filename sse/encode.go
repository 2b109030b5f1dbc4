package sse

import (
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/presence-server/presence/presence"
	"github.com/r3labs/sse/v2"
)

// encode fills an event of r3labs, which adds the names of the fields. The data
// is JSON on one line, so nothing in it can forge a field of the stream; and
// every event has an id, without which a browser would forget its cursor. The
// buffers of the event before are used again: r3labs is done with it.
func encode(e *sse.Event, event presence.Event) {
	e.ID = strconv.AppendInt(e.ID[:0], event.Cursor, 10)
	e.Event = append(e.Event[:0], event.Type...)
	if cap(e.Data) > maxKept {
		e.Data = nil
	}
	e.Data = appendData(e.Data[:0], event)
}

// comeBack returns a random moment of the window, in milliseconds, to come back
// after a drain. r3labs writes a retry only with data, so it goes with a
// KEEPALIVE that says nothing new.
func comeBack(window time.Duration) []byte {
	return strconv.AppendInt(nil, rand.Int64N(window.Milliseconds()+1), 10)
}

func appendData(b []byte, event presence.Event) []byte {
	switch event.Type {
	case presence.Ready:
		b = append(b, `{"deviceID":`...)
		b = presence.AppendQuoted(b, event.DeviceID)
		b = append(b, `,"self":`...)
		b = event.Self.AppendJSON(b)
		b = append(b, `,"keepaliveSeconds":`...)
		b = strconv.AppendFloat(b, event.Keepalive.Seconds(), 'f', -1, 64)
		return append(b, '}')
	case presence.Updated:
		return presence.AppendList(b, event.Statuses)
	case presence.KickedOut:
		b = append(b, `{"type":`...)
		b = presence.AppendQuoted(b, string(event.Kick))
		return append(b, '}')
	}
	return append(b, `{}`...)
}
