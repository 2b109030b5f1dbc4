package httpapi_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/presence-server/presence/presence"
)

// outlives reads a stream for longer than any single write may take.
func (s *server) outlives(client *http.Client, address string, protocol int) {
	s.t.Helper()
	st := s.openStream(client, address+"/v1/events", http.Header{"Authorization": {"Bearer " + s.issue("alice")}})
	if got := st.response.ProtoMajor; got != protocol {
		s.t.Fatalf("the stream is HTTP/%d, want HTTP/%d", got, protocol)
	}
	began := time.Now()
	for st.ready(); time.Since(began) < 1500*time.Millisecond; {
		if e := st.next(); e.Type != "KEEPALIVE" {
			s.t.Fatalf("only KEEPALIVE may arrive, but %q arrived", e.Raw)
		}
	}
	s.user("alice").post("/v1/setSelfStatus", `{"customStatus":"x"}`)
	st.is("USER_STATUS_UPDATED", `[`+status("alice", presence.Online, "x")+`]`, "a stream lives longer than write_timeout")
}

// slowly makes each silence last longer than a write may take.
func slowly(o *options) {
	o.settings.Keepalive, o.config.Limits.WriteTimeout = 700*time.Millisecond, 500*time.Millisecond
}

// TestStreamOutlivesTheServersWriteTimeout embeds the Handler in a server whose write
// timeout is shorter than the life of a stream.
func TestStreamOutlivesTheServersWriteTimeout(t *testing.T) {
	for protocol, serve := range map[int]func(*httptest.Server){
		1: func(w *httptest.Server) { w.Config.WriteTimeout = time.Second; w.Start() },
		2: func(w *httptest.Server) {
			w.Config.WriteTimeout, w.EnableHTTP2 = time.Second, true
			w.StartTLS()
		},
	} {
		s := newServer(t, slowly, func(o *options) { o.serve = serve })
		s.outlives(s.http.Client(), s.http.URL, protocol)
	}
}
