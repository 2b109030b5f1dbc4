package sse

import (
	"strconv"

	"github.com/presence-server/presence/presence"
)

// frame is one event as bytes.
type frame struct {
	chunk []byte // with the framing of HTTP/1.1's chunked encoding
	event []byte // the same without; a part of chunk
}

// chunkHead is the room that is left for the head of a chunk: the length as up
// to eight hexadecimal digits, and a line end. See RFC 9112, section 7.1.
const chunkHead = 8 + len("\r\n")

// lastChunk ends a body in chunked encoding.
const lastChunk = "0\r\n\r\n"

// frames formats the events of the streams of one loop. Events that many streams
// send in the same words are formatted once: those about one user, and
// KEEPALIVE. They are kept for as long as streams ask for them.
type frames struct {
	formatter *formatter
	own       []byte             // of the last event that is not shared
	shared    map[shareKey]frame // asked for in this pass over the streams,
	before    map[shareKey]frame // and in the one before
	kept      int                // bytes of both, or a little more
}

// shareKey says everything that is in a shared event.
type shareKey struct {
	kind   presence.EventType
	cursor int64
	status presence.Status // of Updated
}

const (
	// maxShared bounds the bytes of shared events.
	maxShared = 1 << 20

	// maxKept is the size of a buffer, in bytes, up to which it is kept for the
	// next event.
	maxKept = 64 << 10
)

func newFrames() *frames {
	return &frames{
		formatter: newFormatter(),
		shared:    make(map[shareKey]frame),
		before:    make(map[shareKey]frame),
	}
}

// of returns an event as bytes, which are valid until the next call unless they
// are copied.
func (f *frames) of(event presence.Event) frame {
	key := shareKey{kind: event.Type, cursor: event.Cursor}
	switch {
	case event.Type == presence.Updated && len(event.Statuses) == 1:
		key.status = event.Statuses[0]
	case event.Type != presence.Keepalive:
		return f.alone(event, nil)
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

// keep makes room for an event that is to be shared.
func (f *frames) keep(made frame) frame {
	if f.kept += len(made.chunk); f.kept > maxShared {
		clear(f.shared)
		clear(f.before)
		f.kept = len(made.chunk)
	}
	return made
}

// alone returns an event that only one stream sends. retry is as in append.
func (f *frames) alone(event presence.Event, retry []byte) frame {
	if cap(f.own) > maxKept {
		f.own = nil
	}
	made := f.format(f.own[:0], event, retry)
	f.own = made.chunk[:0]
	return made
}

// format formats an event into a buffer.
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

// pass forgets the events that no stream has asked for since the pass before.
func (f *frames) pass() {
	f.shared, f.before = f.before, f.shared
	clear(f.shared)
	if len(f.before) == 0 {
		f.kept = 0
	}
}

func (f *frames) close() { f.formatter.close() }
