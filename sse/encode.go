package sse

import (
	"strconv"

	"github.com/presence-server/presence/presence"
	"github.com/r3labs/sse/v2"
)

// encode is where an event becomes bytes. The data is JSON on one line, so
// nothing in it can forge a field of the stream; and every event has an id,
// without which a browser would forget its cursor.
func encode(event presence.Event) *sse.Event {
	return &sse.Event{
		ID:    strconv.AppendInt(nil, event.Cursor, 10),
		Event: []byte(event.Type),
		Data:  appendData(nil, event),
	}
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
