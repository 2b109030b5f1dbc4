package httpapi_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/presence-server/presence/httpapi"
	"github.com/prometheus/client_golang/prometheus"
)

// scrape returns what Prometheus would receive.
func (s *server) scrape() string {
	s.t.Helper()
	recorder := httptest.NewRecorder()
	s.api.Metrics().ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if recorder.Code != http.StatusOK {
		s.t.Fatalf("/metrics answers %d %s", recorder.Code, recorder.Body)
	}
	return recorder.Body.String()
}

// counts checks that the metrics contain a sample, such as `presence_streams 1`.
func (s *server) counts(sample string) {
	s.t.Helper()
	text := s.scrape()
	if strings.Contains(text, "\n"+sample+"\n") {
		return
	}
	name, _, _ := strings.Cut(sample, " ")
	got := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` .*$`).FindString(text)
	s.t.Errorf("the metrics have %q, want %q", got, sample)
}

// comesToCount waits for a sample.
func (s *server) comesToCount(sample string) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); runtime.Gosched() {
		if strings.Contains(s.scrape(), "\n"+sample+"\n") {
			return
		}
	}
	s.counts(sample)
}

func TestMetricsOfCalls(t *testing.T) {
	s := newServer(t, func(o *options) {
		o.config.Version, o.config.Limits.CallsPerWindow, o.config.Limits.Window = "1.2.3", 1, time.Hour
		o.config.Origins, o.config.Limits.Streams = []string{"https://chat.example.com"}, 100
	})
	s.register("alice", "bob")
	alice := s.user("alice")
	alice.post("/v1/setSelfStatus", `{"customStatus":"x"}`)
	alice.post("/v1/setSelfStatus", `{}`).fails(400, "70402", "a status must be given")
	for range 2 {
		alice.post("/v1/subscribeUserStatus", `{"userIDList":["bob"]}`)
	}
	s.as("").get("/v1/alice/"+s.issue("alice")).fails(404, "70402", "no such path")
	s.as("").get("/v1/setSelfStatus").fails(405, "70402", "no such method")
	s.serves("/sdk/presence.js", "text/javascript")
	s.serves("/openapi.yaml", "application/yaml")
	preflight, _ := http.NewRequest(http.MethodOptions, s.http.URL+"/v1/logout", nil)
	preflight.Header.Set("Origin", "https://chat.example.com")
	preflight.Header.Set("Access-Control-Request-Method", "POST")
	if response, err := s.http.Client().Do(preflight); err != nil || response.Body.Close() != nil {
		t.Fatal(err)
	}

	for _, sample := range []string{
		`presence_build_info{version="1.2.3"} 1`,
		`presence_ready 1`,
		`presence_http_requests_total{path="/v1/setSelfStatus",status="200"} 1`,
		`presence_http_requests_total{path="/v1/setSelfStatus",status="400"} 1`,
		`presence_http_requests_total{path="/v1/setSelfStatus",status="405"} 1`,
		`presence_http_requests_total{path="/v1/subscribeUserStatus",status="429"} 1`,
		`presence_http_requests_total{path="/sdk/",status="200"} 1`,
		`presence_http_requests_total{path="/openapi.yaml",status="200"} 1`,
		`presence_http_requests_total{path="/v1/logout",status="204"} 1`,
		`presence_http_requests_total{path="other",status="404"} 1`,
		`presence_http_request_duration_seconds_count{path="/v1/setSelfStatus"} 3`,
		`presence_http_request_duration_seconds_count{path="/sdk/"} 1`,
		`presence_refused_total{code="70402"} 3`,
		`presence_refused_total{code="2996"} 1`,
		`presence_refused_total{code="70500"} 0`,
		`presence_rate_limited_total{command="subscribeUserStatus"} 1`,
		`presence_rate_limited_total{command="getUserStatus"} 0`,
		`presence_users{status="unlogined"} 2`,
		`presence_changes_total 1`,
		`presence_streams_limit 100`,
	} {
		s.counts(sample)
	}
}

// TestMetricsOfStreams checks that a stream is counted as a request when it is open,
// with either version of HTTP, and not when it ends.
func TestMetricsOfStreams(t *testing.T) {
	for protocol, serve := range map[string]func(*httptest.Server){
		"HTTP/1.1": func(w *httptest.Server) { w.Start() },
		"HTTP/2":   func(w *httptest.Server) { w.EnableHTTP2 = true; w.StartTLS() },
	} {
		t.Run(protocol, func(t *testing.T) {
			s := newServer(t, func(o *options) { o.serve = serve })
			s.register("alice", "bob")
			s.svc.Subscribe(t.Context(), "alice", []string{"bob"})
			st := s.user("alice").stream("deviceID", "tab").ready()
			opened := `presence_http_requests_total{path="/v1/events",status="200"} `
			s.counts(opened + "1")
			s.counts(`presence_http_request_duration_seconds_count{path="/v1/events"} 1`)
			s.counts(`presence_streams 1`)
			s.user("bob").post("/v1/setSelfStatus", `{"customStatus":"x"}`)
			st.next()
			s.counts(`presence_delivered_events_total 1`)
			s.counts(`presence_delivered_statuses_total 1`)
			s.counts(`presence_event_statuses_bucket{le="1"} 1`)
			s.counts(`presence_delivery_delay_seconds_bucket{le="+Inf"} 1`)
			st.cancel()
			s.comesToCount(`presence_streams_ended_total{reason="closed"} 1`)
			s.counts(`presence_streams 0`)
			s.counts(opened + "1")
			s.counts(`presence_stream_cuts_total{reason="connection_error"} 0`) // the client disconnected
		})
	}
}

// TestMetricsOfDraining checks that a server that drains is not ready.
func TestMetricsOfDraining(t *testing.T) {
	s := newServer(t)
	s.user("alice").stream().ready()
	s.svc.Drain()
	s.counts(`presence_ready 0`)
	s.counts(`presence_streams_ended_total{reason="drained"} 1`)
}

// TestMetricsAreRegistered registers them with those of a program, without those of
// the process, which the program has already.
func TestMetricsAreRegistered(t *testing.T) {
	own := prometheus.NewRegistry()
	s := newServer(t, func(o *options) { o.config.Registerer = own })
	s.register("alice")
	s.user("alice").post("/v1/setSelfStatus", `{"customStatus":"x"}`)
	families, err := own.Gather()
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]string)
	for _, family := range families {
		if seen[family.GetName()] = family.String(); !strings.HasPrefix(family.GetName(), "presence_") {
			t.Errorf("%s is registered, want only the metrics of the service", family.GetName())
		}
	}
	for name, sample := range map[string]string{
		"presence_users":               `value:"unlogined"} gauge:{value:1}`,
		"presence_changes_total":       `counter:{value:1`,
		"presence_http_requests_total": `value:"/v1/setSelfStatus"`,
	} {
		if !strings.Contains(strings.ReplaceAll(seen[name], "  ", " "), sample) {
			t.Errorf("%s is %q, want %q in it", name, seen[name], sample)
		}
	}
	s.counts(`presence_changes_total 1`) // also in the handler's own metrics
	if _, err := httpapi.New(httpapi.Config{Service: s.svc, Tokens: s.tokens, Registerer: own}); err == nil {
		t.Error("New must refuse a Registerer that has these metrics already")
	}
}

// TestEveryLineHasItsRequest checks that log lines about a request contain the ID that
// the client received, and the user who made the request.
func TestEveryLineHasItsRequest(t *testing.T) {
	log := new(logBuffer)
	var verdict func() error
	s := newServer(t, func(o *options) {
		tokens := o.config.Tokens
		o.config.Logger = slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		o.config.Authenticate = func(r *http.Request) (httpapi.Credentials, error) {
			if err := verdict(); err != nil {
				return httpapi.Credentials{}, err
			}
			return tokens.Authenticate(r)
		}
	})
	verdict = func() error { return nil }
	alice := s.user("alice")
	want := make(map[string]string) // the user of each request
	note := func(user string, header http.Header) { want[header.Get("X-Request-ID")] = user }

	note("alice", alice.post("/v1/setSelfStatus", `{"customStatus":7}`).header)
	note("", s.as("").post("/v1/setSelfStatus", `{}`).header)
	note("", s.admin().get("/v1/admin/explain?userID=nobody").header)
	note("", s.as("").get("/nothing").header)
	st := alice.stream("deviceID", "tab").ready()
	note("alice", st.response.Header)
	alice.post("/v1/logout", ``)
	st.is("KICKED_OUT", `{"type":"logout"}`, "logging out ends the stream")
	st.ends("logging out ends the stream")
	note("alice", s.admin().post("/v1/admin/kick", `{"userID":"alice"}`).header)
	note("alice", alice.post("/v1/setSelfStatus", `{"customStatus":"x"}`).header)
	note("alice", alice.get("/v1/events").header)
	verdict = func() error { return errors.New("the directory is away") }
	note("", alice.post("/v1/setSelfStatus", `{"customStatus":"x"}`).header)
	verdict = func() error { panic("the wires are crossed") }
	note("", alice.post("/v1/setSelfStatus", `{"customStatus":"x"}`).header)
	s.comesToCount(`presence_streams 0`)
	s.api.Shutdown(t.Context()) // for the line about the end of the stream

	seen := make(map[string]int)
	for line := range strings.Lines(log.String()) {
		var logged struct{ Msg, Request, User, Level string }
		if err := json.Unmarshal([]byte(line), &logged); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		user, known := want[logged.Request]
		if !known || user != logged.User {
			t.Errorf("a line has request %q of user %q, want one of %v:\n%s", logged.Request, logged.User, want, line)
		}
		seen[logged.Msg]++
	}
	if got := fmt.Sprint(seen); got != "map[a handler panicked:1 changed through the server API:1 request refused:7 stream ended:1 stream opened:1]" {
		t.Errorf("the log has %s:\n%s", got, log)
	}
}

// TestMetricsNameNobody makes calls with everything that must not be in the metrics.
func TestMetricsNameNobody(t *testing.T) {
	s := newServer(t)
	alice := s.user("alice-in-chains")
	st := alice.stream("deviceID", "the-tab-of-alice").ready()
	alice.post("/v1/setSelfStatus", `{"customStatus":"between us"}`)
	st.next()
	alice.get("/v1/between%20us/alice-in-chains?userID=alice-in-chains")
	s.admin().get("/v1/admin/explain?userID=alice-in-chains")
	alice.post("/v1/logout", ``)
	text := s.scrape()
	for _, secret := range []string{"alice", "between us", "the-tab"} {
		if strings.Contains(text, secret) {
			t.Errorf("the metrics contain %q:\n%s", secret, text)
		}
	}
	if labels := regexp.MustCompile(`\w+="`).FindAllString(text, -1); len(labels) < 100 {
		t.Errorf("only %d labels were checked", len(labels))
	}
}

func TestVersionIsUTF8(t *testing.T) {
	for given, want := range map[string]string{"": "unknown", "1\xff": "1?"} {
		newServer(t, func(o *options) { o.config.Version = given }).counts(`presence_build_info{version="` + want + `"} 1`)
	}
}
