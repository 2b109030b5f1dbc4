package sse

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/r3labs/sse/v2"
)

// begun returns a response that has begun an event on a stream, and waits for
// no other.
func begun(t *testing.T, to http.ResponseWriter) *response {
	request := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
	s := &stream{wire: lend(to, request), loop: newLoop(nil)}
	s.turn.Lock()
	return &response{loop: s.loop, server: sse.New(), stream: s, begun: true, stock: fullStock, pieces: frame(frameHead)}
}

// TestAnEventIsOneWrite: r3labs writes an event in pieces, of which a client
// must never see the first alone.
func TestAnEventIsOneWrite(t *testing.T) {
	recorder := httptest.NewRecorder()
	w := begun(t, recorder)
	w.Write([]byte("id: 1\n"))
	w.Write([]byte("\n"))
	if recorder.Body.Len() > 0 {
		t.Error("a piece of an event has left alone")
	}
	w.Flush()
	if got := recorder.Body.String(); got != "id: 1\n\n" || !recorder.Flushed {
		t.Errorf("an event is sent with its flush, but what left is %q", got)
	}
}

type broken struct{ *httptest.ResponseRecorder }

func (broken) Write([]byte) (int, error) { return 0, errors.New("the client is gone") }

func TestAnErrorEndsTheStream(t *testing.T) {
	w := begun(t, broken{httptest.NewRecorder()})
	s := w.stream
	w.Write([]byte("id: 1\n\n"))
	w.Flush()
	if !s.ended || s.why == nil || s.why.Error() != "the client is gone" {
		t.Errorf("a failed write ends the stream, which r3labs would not, but why it ended is %v", s.why)
	}
}
