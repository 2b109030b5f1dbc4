package sse

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/presence-server/presence/presence"
)

// stream writes the events of one source to its wire. At any time at most one
// goroutine does so: the one that holds turn.
type stream struct {
	source Source
	wire   wire
	loop   *loop
	timing Timing
	queued atomic.Bool // the loop will call serve

	// turn is held by the goroutine that may write to the wire: by the loop while
	// it writes an event, by flush while it writes the rest of an event, and at
	// the end by finish, which never unlocks it.
	turn     sync.Mutex
	cursor   int64 // of the last event
	draining bool  // the service drains, and the last event has been sent

	endMu    sync.Mutex
	ended    bool
	complete bool  // see end
	err      error // the cause; nil if the response was not cut
}

// start makes the loop write the events of the source.
func (s *stream) start() {
	s.loop.add()
	s.source.Notify(s.wake)
}

// finish waits until the stream has ended, and cleans up. The goroutine that waits
// here is most of an idle stream's memory, so its calls must be shallow enough for
// the smallest stack (2 KiB).
func (s *stream) finish(done func(error)) {
	s.end(s.wire.wait(), false)
	s.turn.Lock()
	s.source.Close() // calls wake once more, so the loop must still be running
	s.loop.remove()
	done(s.err)
}

// end ends the stream. Of later calls only the cause counts, if there is none yet: when
// the kernel cuts a connection, it reports the reason once, either to the reader or to
// the writer, and to the other only that the connection has ended. complete means that the
// client has no reason to reconnect, because it was kicked or its device has a
// newer stream: the response is then ended properly. Otherwise it looks like a
// broken connection, after which all clients reconnect.
func (s *stream) end(err error, complete bool) {
	s.endMu.Lock()
	defer s.endMu.Unlock()
	if s.ended {
		if s.err == nil && !s.complete {
			s.err = cutReason(err)
		}
		return
	}
	s.ended, s.err, s.complete = true, cutReason(err), complete
	if complete {
		s.wire.finish(s.timing.WriteTimeout)
	}
	s.wire.close()
}

// cutReason returns the error because of which a response was cut, or nil if err
// means that the client has disconnected. The client's failure to acknowledge for
// too long (see limit) is reported as os.ErrDeadlineExceeded, like a write timeout.
func cutReason(err error) error {
	switch {
	case errors.Is(err, syscall.ETIMEDOUT):
		return os.ErrDeadlineExceeded
	case err == io.EOF, errors.Is(err, net.ErrClosed), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNRESET):
		return nil
	}
	return err
}

// wake makes the loop call serve. Further calls until then have no effect.
func (s *stream) wake() {
	if !s.queued.Swap(true) {
		s.loop.push(s)
	}
}

// serve writes the next event of the source, if there is one. It never waits for
// the client unless the wire can't be written without waiting.
func (s *stream) serve(frames *frames) {
	s.queued.Store(false)
	if !s.turn.TryLock() { // the goroutine that holds turn calls wake afterwards, or the stream has ended
		return
	}
	next, more, ok := s.next(frames)
	if !ok {
		s.turn.Unlock()
		return
	}
	rest, err := s.wire.write(next, s.timing.WriteTimeout)
	if len(rest) > 0 && err == nil {
		go s.flush(append([]byte(nil), rest...))
		return
	}
	s.written(err, more)
}

// next returns the next event as bytes, and whether another event may be
// available. ok is false if there is no event now, or if the stream has ended.
func (s *stream) next(frames *frames) (next frame, more, ok bool) {
	event, more, err := s.source.Poll()
	switch {
	case s.draining:
		s.end(nil, false)
	case errors.Is(err, presence.ErrClosed):
		s.draining = true
		last := presence.Event{Type: presence.EventKeepalive, Cursor: s.cursor}
		return frames.unshared(last, retryDelay(s.timing.Drain)), true, true
	case err == io.EOF:
		s.end(nil, true)
	case err != nil:
		s.end(err, false)
	case event.Type != "":
		s.cursor = event.Cursor
		return frames.frameOf(event), more, true
	}
	return frame{}, false, false
}

// flush writes the rest of an event. serve did nothing meanwhile, so the stream is
// woken afterwards.
func (s *stream) flush(rest []byte) { s.written(s.wire.flush(rest, s.timing.WriteTimeout), true) }

// written ends a write: it ends the stream after an error, and unlocks turn.
func (s *stream) written(err error, more bool) {
	if err != nil {
		s.end(err, false)
	}
	s.turn.Unlock()
	if more {
		s.wake()
	}
}
