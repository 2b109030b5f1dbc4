package sse

import (
	"bytes"
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

	// turn is held by whoever may use the wire: the loop for one event, flush
	// for the rest of one, and at last finish, which keeps it.
	turn   sync.Mutex
	cursor int64 // of the last event
	more   bool  // another may follow at once
	last   bool  // no other follows, and the client is to come back

	// concluded says that nothing follows for good: the response then has a
	// proper end. Without it the client sees a broken response, and comes back.
	concluded bool

	endMu sync.Mutex
	ended bool
	why   error
}

// start has the loop write the session's events.
func (s *stream) start() {
	s.loop.add()
	s.session.Notify(s.wake)
}

// finish waits for the end, and cleans up. It calls little until then: what
// waits here is most of an idle stream's memory, a stack of 2 KiB.
func (s *stream) finish(done func(error)) {
	s.end(s.wire.wait())
	s.turn.Lock()
	s.session.Close() // which wakes the stream once more, so the loop comes after
	s.loop.remove()
	done(s.why)
}

// end ends the stream; the first reason stays.
func (s *stream) end(why error) {
	s.endMu.Lock()
	defer s.endMu.Unlock()
	if !s.ended {
		s.ended, s.why = true, fault(why)
		s.wire.close()
	}
}

// fault returns what an end is to be blamed on: nil if the client has only gone.
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

// wake has the loop look at the stream.
func (s *stream) wake() {
	if !s.queued.Swap(true) {
		s.loop.push(s)
	}
}

// begin returns the event that the session has to tell now, and whether there
// is one. The stream then has its turn until write.
func (s *stream) begin() (event presence.Event, ok bool) {
	s.queued.Store(false)
	if !s.turn.TryLock() { // whoever has it wakes the stream again, or it is over
		return event, false
	}
	event, more, err := s.session.Poll()
	s.more = more
	switch {
	case s.last:
		s.end(nil)
	case err == io.EOF:
		s.conclude()
		return event, false
	case errors.Is(err, presence.ErrClosed):
		s.last, s.more = true, true
		return presence.Event{Type: presence.Keepalive, Cursor: s.cursor}, true
	case err != nil:
		s.end(err)
	case event.Type != "":
		s.cursor = event.Cursor
		return event, true
	}
	s.turn.Unlock()
	return event, false
}

// conclude ends the response properly.
func (s *stream) conclude() {
	s.concluded = true
	s.sent(s.wire.conclude(s.timing.WriteTimeout))
}

// write sends an event.
func (s *stream) write(event frame) { s.sent(s.wire.write(event, s.timing.WriteTimeout)) }

// sent leaves to flush what would have to wait.
func (s *stream) sent(rest []byte, err error) {
	if len(rest) > 0 && err == nil {
		go s.flush(bytes.Clone(rest))
		return
	}
	s.written(err, s.more)
}

// flush sends the rest of an event. Wakes came to nothing meanwhile.
func (s *stream) flush(rest []byte) { s.written(s.wire.flush(rest, s.timing.WriteTimeout), true) }

func (s *stream) written(err error, more bool) {
	if err != nil || s.concluded {
		s.end(err)
	}
	s.turn.Unlock()
	if more {
		s.wake()
	}
}
