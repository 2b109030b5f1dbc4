package sse

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strings"
	"testing"

	"github.com/presence-server/presence/presence"
)

func newTestFrames(t *testing.T) *frames {
	f := newFrames()
	t.Cleanup(f.close)
	return f
}

func updated(version int64, text string) presence.Event {
	return presence.Event{Type: presence.EventUpdated, Cursor: version, Statuses: []presence.Status{
		{UserID: "alice", StatusType: presence.Online, CustomStatus: text, Version: version},
	}}
}

func TestAFrameIsOneChunk(t *testing.T) {
	frames := newTestFrames(t)
	for _, text := range []string{"", "x", strings.Repeat("long", 20_000)} {
		for _, got := range []frame{frames.frameOf(updated(7, text)), frames.unshared(updated(7, text), []byte("250"))} {
			if !bytes.HasPrefix(got.event, []byte("id: 7\ndata: [")) || !bytes.HasSuffix(got.event, []byte("\n\n")) {
				t.Errorf("the event is %.80q", got.event)
			}
			body, err := io.ReadAll(httputil.NewChunkedReader(io.MultiReader(bytes.NewReader(got.chunk), strings.NewReader(lastChunk))))
			if err != nil || !bytes.Equal(body, got.event) {
				t.Errorf("as a chunk it is %.80q (%v), want %.80q", body, err, got.event)
			}
		}
	}
}

// TestSharedEventsAreFormattedOnce checks this for as long as streams request the
// event.
func TestSharedEventsAreFormattedOnce(t *testing.T) {
	frames := newTestFrames(t)
	same := func(a, b frame) bool { return &a.event[0] == &b.event[0] }
	first := frames.frameOf(updated(7, "x"))
	frames.endPass()
	if !same(frames.frameOf(updated(7, "x")), first) {
		t.Error("the event was formatted again in the next pass")
	}
	if other := frames.frameOf(updated(7, "y")); same(other, first) || !bytes.Contains(other.event, []byte(`"y"`)) {
		t.Error("another status was sent as the same event")
	}
	later := updated(7, "x")
	later.Cursor = 8
	if got := frames.frameOf(later); !bytes.HasPrefix(got.event, []byte("id: 8\n")) {
		t.Errorf("with another cursor the event is %q", got.event)
	}
	frames.endPass()
	frames.endPass()
	if len(frames.shared)+len(frames.before) > 0 {
		t.Error("an event is kept that no stream requests")
	}
}

func TestSharedEventsAreBounded(t *testing.T) {
	frames := newTestFrames(t)
	text := strings.Repeat("x", 60_000)
	for i := range int64(100) {
		frames.frameOf(updated(i, text))
	}
	kept := 0
	for _, f := range frames.shared {
		kept += len(f.chunk)
	}
	if kept > maxShared {
		t.Errorf("%d bytes are kept, want at most %d", kept, maxShared)
	}
}

type broken struct{ *httptest.ResponseRecorder }

func (broken) Write([]byte) (int, error) { return 0, errors.New("the client is gone") }

func TestAWriteErrorEndsTheStream(t *testing.T) {
	s := &stream{wire: newHTTPWire(broken{httptest.NewRecorder()}, httptest.NewRequestWithContext(t.Context(), "GET", "/", nil))}
	s.turn.Lock()
	_, err := s.wire.write(frame{event: []byte("id: 1\n\n")}, 0)
	s.written(err, false)
	if !s.ended || s.complete || s.err == nil || s.err.Error() != "the client is gone" {
		t.Errorf("after a failed write: ended %v, complete %v, because of %v", s.ended, s.complete, s.err)
	}
}

type wrapped struct{ http.ResponseWriter }

type unwrapping struct{ wrapped }

func (u unwrapping) Unwrap() http.ResponseWriter { return u.ResponseWriter }

func TestCheck(t *testing.T) {
	recorder := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/", nil)
	if err := errors.Join(Check(recorder, r), Check(unwrapping{wrapped{recorder}}, r)); err != nil {
		t.Error(err)
	}
	if err := Check(unwrapping{wrapped{wrapped{recorder}}}, r); err == nil || !strings.Contains(err.Error(), "sse.wrapped") {
		t.Errorf("a middleware without Unwrap gives the error %v, which should name it", err)
	}
}
