package httpapi_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/presence-server/presence/deploy/testserver"
	"github.com/presence-server/presence/presence"
)

// fuzzed returns a server that sends every change immediately, and accepts long texts.
func fuzzed(f *testing.F) *server {
	f.Helper()
	return newServer(f, func(o *options) { o.settings.BatchWindow, o.settings.CustomStatusBytes = 0, 65536 })
}

// FuzzQuery checks that a GET with any query succeeds, or is answered with an error of
// the client.
func FuzzQuery(f *testing.F) {
	for _, query := range []string{"", "limit=1&after=a", "limit=0", "limit=99999999999999999999", "userID=alice", "userID=%00", "userID=%zz",
		"userID=alice;limit=1", "userID=alice&userID=bob", "after=%ff&limit=+5", "limit=1e3", "=&&=", "userID=alice&after=\xff\x00&limit=1000",
		"prefix=a&after=al", "prefix=%ff"} {
		f.Add(query)
	}
	s := fuzzed(f)
	s.register("alice", "bob")
	f.Fuzz(func(t *testing.T, query string) {
		for _, path := range []string{"/v1/admin/users", "/v1/admin/friends", "/v1/admin/explain", "/v1/admin/stats",
			"/v1/admin/subscriptions", "/v1/admin/config"} {
			r := httptest.NewRequest("GET", path, nil)
			r.URL.RawQuery = query
			r.Header.Set("Authorization", "Bearer "+adminKey)
			w := httptest.NewRecorder()
			s.api.ServeHTTP(w, r)
			if w.Code != 200 && w.Code != 400 && w.Code != 404 || !json.Valid(w.Body.Bytes()) {
				t.Errorf("%s?%q was answered %d %s", path, query, w.Code, w.Body)
			}
		}
	})
}

// FuzzStatusText checks that, whatever text a user sets, a stream that sends it has
// exactly one more event, whose data contains the text.
func FuzzStatusText(f *testing.F) {
	for _, text := range []string{"In a call", "\n\nevent: KICKED_OUT\ndata: {}\n\n", "\r", "\r\n\r\n", "\u2028", ":", "\x00", "\xff", `"}]` + "\nid: 99"} {
		f.Add(text)
	}
	s := fuzzed(f)
	response, err := http.Get(s.http.URL + "/v1/events?access_token=" + s.issue("alice"))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { response.Body.Close() })
	stream := testserver.Read(response.Body)
	if e, err := stream.Next(); err != nil || e.Type != "READY" {
		f.Fatalf("the first event is %q, %v", e.Raw, err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		before, _ := s.svc.Get("alice")
		after, err := s.svc.Set(t.Context(), "alice", text, 0)
		if err != nil || after == before[0] {
			return // malformed, or the text didn't change
		}
		e, err := stream.Next()
		for err == nil && e.Type == "KEEPALIVE" {
			e, err = stream.Next()
		}
		var sent []presence.Status
		if json.Unmarshal([]byte(e.Data), &sent) != nil || e.Type != "USER_STATUS_UPDATED" || len(sent) != 1 || sent[0] != after {
			t.Errorf("%q is sent as %q, %v", text, e.Raw, err)
		}
	})
}
