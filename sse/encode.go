package sse

import (
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/presence-server/presence/presence"
	"github.com/r3labs/sse/v2"
)

// encode stores an event in an event of r3labs, which writes the field names. The
// data is JSON on one line, so no text in it can forge a field of the stream.
// Every event has an id, because a browser forgets its cursor at an event without
// one. The buffers in e are reused; r3labs no longer needs their content.
func encode(e *sse.Event, event presence.Event) {
	e.ID = strconv.AppendInt(e.ID[:0], event.Cursor, 10)
	e.Event = append(e.Event[:0], event.Type...)
	if cap(e.Data) > maxKept {
		e.Data = nil
	}
	e.Data = appendData(e.Data[:0], event)
}

// retryDelay returns a random delay of at most window, in milliseconds, after
// which a client reconnects after a drain. r3labs writes a retry field only
// together with data, so it is sent with an additional KEEPALIVE.
func retryDelay(window time.Duration) []byte {
	return strconv.AppendInt(nil, rand.Int64N(window.Milliseconds()+1), 10)
}

// appendData appends the data of an event, JSON on one line, to b.
func appendData(b []byte, event presence.Event) []byte {
	switch event.Type {
	case presence.EventReady:
		if event.DeviceID == "" {
			return append(strconv.AppendInt(append(b, `{"version":`...), event.Version, 10), '}')
		}
		b = append(b, `{"deviceID":`...)
		b = presence.AppendQuoted(b, event.DeviceID)
		b = append(b, `,"self":`...)
		b = event.Self.AppendJSON(b)
		b = append(b, `,"keepaliveSeconds":`...)
		b = strconv.AppendFloat(b, event.Keepalive.Seconds(), 'f', -1, 64)
		return append(b, '}')
	case presence.EventUpdated:
		return presence.AppendList(b, event.Statuses)
	case presence.EventKickedOut:
		b = append(b, `{"type":`...)
		b = presence.AppendQuoted(b, string(event.Kick))
		return append(b, '}')
	}
	return append(b, `{}`...)
}
