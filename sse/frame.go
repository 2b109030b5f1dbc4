package sse

import (
	"strconv"

	"github.com/presence-server/presence/presence"
)

// frame is a formatted event.
type frame struct {
	chunk []byte // the event as one chunk of HTTP/1.1's chunked encoding
	event []byte // the event alone; a part of chunk
}

// chunkHead is the space reserved for the beginning of a chunk: its length in up
// to eight hexadecimal digits, and a line end. See RFC 9112, section 7.1.
const chunkHead = 8 + len("\r\n")

// lastChunk ends a body in chunked encoding.
const lastChunk = "0\r\n\r\n"

// frames formats the events of all streams of one loop. Many streams send the same
// event at about the same time, so events about a single user, and KEEPALIVE, are
// shared: each is formatted once, and kept while streams request it. It may be used
// by one goroutine only.
type frames struct {
	formatter *formatter
	own       []byte             // buffer for events that are not shared
	shared    map[shareKey]frame // events requested in this pass over the streams
	before    map[shareKey]frame // events requested in the previous pass
	kept      int                // upper bound of the bytes in both
}

// shareKey contains everything that determines the bytes of a shared event.
type shareKey struct {
	kind   presence.EventType
	cursor int64
	status presence.Status // for Updated only
}

const (
	// maxShared is the maximum size of all shared events together, in bytes.
	maxShared = 1 << 20

	// maxKept is the maximum size of a buffer that is reused for the next
	// event, in bytes.
	maxKept = 64 << 10
)

func newFrames() *frames {
	return &frames{
		formatter: newFormatter(),
		shared:    make(map[shareKey]frame),
		before:    make(map[shareKey]frame),
	}
}

// frameOf returns an event as bytes. They are valid until the next call of frameOf
// or unshared.
func (f *frames) frameOf(event presence.Event) frame {
	key := shareKey{kind: event.Type, cursor: event.Cursor}
	switch {
	case event.Type == presence.EventUpdated && len(event.Statuses) == 1:
		key.status = event.Statuses[0]
	case event.Type != presence.EventKeepalive:
		return f.unshared(event, nil)
	}
	found, ok := f.shared[key]
	if !ok {
		if found, ok = f.before[key]; !ok {
			found = f.keep(f.format(nil, event, nil))
		}
		f.shared[key] = found
	}
	return found
}

// keep counts a new shared event. If there is no space for it, all others are
// deleted first.
func (f *frames) keep(formatted frame) frame {
	if f.kept += len(formatted.chunk); f.kept > maxShared {
		clear(f.shared)
		clear(f.before)
		f.kept = len(formatted.chunk)
	}
	return formatted
}

// unshared formats an event that only one stream sends. retry is as for
// formatter.append.
func (f *frames) unshared(event presence.Event, retry []byte) frame {
	if cap(f.own) > maxKept {
		f.own = nil
	}
	formatted := f.format(f.own[:0], event, retry)
	f.own = formatted.chunk[:0]
	return formatted
}

// format appends an event to b, which must be empty, as one chunk.
func (f *frames) format(b []byte, event presence.Event, retry []byte) frame {
	var head [chunkHead]byte
	b = f.formatter.append(append(b, head[:]...), event, retry)
	length := append(strconv.AppendInt(head[:0], int64(len(b)-chunkHead), 16), "\r\n"...)
	start := chunkHead - len(length)
	copy(b[start:], length)
	end := len(b)
	b = append(b, "\r\n"...)
	return frame{chunk: b[start:], event: b[chunkHead:end]}
}

// endPass deletes the events that no stream has requested in this pass or the
// previous one.
func (f *frames) endPass() {
	f.shared, f.before = f.before, f.shared
	clear(f.shared)
	if len(f.before) == 0 {
		f.kept = 0
	}
}

func (f *frames) close() { f.formatter.close() }
