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

// stream is one session and the wire that its events leave on.
type stream struct {
	session *presence.Session
	wire    wire
	loop    *loop
	timing  Timing
	queued  atomic.Bool // the loop will look at it

	// turn is held by the one that may use the wire: the loop for one event,
	// flush for the rest of one, and at last finish, which keeps it.
	turn     sync.Mutex
	cursor   int64 // of the last event
	draining bool  // the last event is sent: the client has to come back

	endMu    sync.Mutex
	ended    bool
	complete bool // see end
	why      error
}

// start makes the loop write the session's events.
func (s *stream) start() {
	s.loop.add()
	s.session.Notify(s.wake)
}

// finish waits for the end, and cleans up. It calls little until then: what
// waits here is most of an idle stream's memory, a stack of 2 KiB.
func (s *stream) finish(done func(error)) {
	s.end(s.wire.wait(), false)
	s.turn.Lock()
	s.session.Close() // which wakes the stream once more, so the loop comes after
	s.loop.remove()
	done(s.why)
}

// end ends the stream; the first reason stays. A complete response says that the
// client has no reason to come back: it was kicked, or its device has a newer
// stream. Any other end looks like a broken connection, after which all clients
// come back.
func (s *stream) end(why error, complete bool) {
	s.endMu.Lock()
	defer s.endMu.Unlock()
	if s.ended {
		return
	}
	s.ended, s.why, s.complete = true, fault(why), complete
	if complete {
		s.wire.finish(s.timing.WriteTimeout)
	}
	s.wire.close()
}

// fault returns why a response was cut short, or nil if the client has only gone.
// That nothing was acknowledged for too long is a deadline too; see limit.
func fault(err error) error {
	switch {
	case errors.Is(err, syscall.ETIMEDOUT):
		return os.ErrDeadlineExceeded
	case err == io.EOF, errors.Is(err, net.ErrClosed), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNRESET):
		return nil
	}
	return err
}

// wake makes the loop serve the stream.
func (s *stream) wake() {
	if !s.queued.Swap(true) {
		s.loop.push(s)
	}
}

// serve sends the event that the session has now, if there is one.
func (s *stream) serve(frames *frames) {
	s.queued.Store(false)
	if !s.turn.TryLock() { // its holder wakes the stream again, or it is over
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

// next returns the next event, and whether another may follow at once. It is
// not ok when there is no event now, or the stream has ended.
func (s *stream) next(frames *frames) (next frame, more, ok bool) {
	event, more, err := s.session.Poll()
	switch {
	case s.draining:
		s.end(nil, false)
	case errors.Is(err, presence.ErrClosed):
		s.draining = true
		last := presence.Event{Type: presence.Keepalive, Cursor: s.cursor}
		return frames.alone(last, comeBack(s.timing.Drain)), true, true
	case err == io.EOF:
		s.end(nil, true)
	case err != nil:
		s.end(err, false)
	case event.Type != "":
		s.cursor = event.Cursor
		return frames.of(event), more, true
	}
	return frame{}, false, false
}

// flush sends the rest of an event. Wakes came to nothing meanwhile.
func (s *stream) flush(rest []byte) { s.written(s.wire.flush(rest, s.timing.WriteTimeout), true) }

func (s *stream) written(err error, more bool) {
	if err != nil {
		s.end(err, false)
	}
	s.turn.Unlock()
	if more {
		s.wake()
	}
}
