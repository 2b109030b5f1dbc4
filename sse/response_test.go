package sse

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/r3labs/sse/v2"
)

// begun returns a response that has begun an event, and waits for no other.
func begun(t *testing.T, to http.ResponseWriter) *response {
	ctx, cancel := context.WithCancelCause(t.Context())
	return &response{
		wire: newLent(to), ctx: ctx, cancel: cancel, server: sse.New(), begun: true, stock: fullStock,
	}
}

// TestAnEventIsOneWrite: r3labs writes an event in pieces, of which a client
// must never see the first alone.
func TestAnEventIsOneWrite(t *testing.T) {
	recorder := httptest.NewRecorder()
	w := begun(t, recorder)
	w.WriteHeader(200)
	w.Flush()
	w.begun = true
	if recorder.Flushed {
		t.Error("the head leaves together with READY")
	}
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

func TestAnErrorEndsTheRequest(t *testing.T) {
	w := begun(t, broken{httptest.NewRecorder()})
	w.Write([]byte("id: 1\n\n"))
	w.Flush()
	if cause := context.Cause(w.ctx); cause == nil || cause.Error() != "the client is gone" {
		t.Errorf("a failed write ends the request, which r3labs would not, but the cause is %v", cause)
	}
}
