package httpapi_test

import (
	"io"
	"net/http"
	"testing"
)

// exchange sends a request as a page of another origin does.
func (s *server) exchange(method, path, origin string, header http.Header) *http.Response {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), method, s.http.URL+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header = header
	request.Header.Set("Origin", origin)
	response, err := s.http.Client().Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { response.Body.Close() })
	return response
}

func TestCORS(t *testing.T) {
	const friend, stranger = "https://chat.example.com", "https://evil.example.com"
	s := newServer(t, func(o *options) { o.config.Origins = []string{friend} })
	for origin, allowed := range map[string]string{friend: friend, stranger: "", "null": "", friend + ".evil.example": ""} {
		preflight := s.exchange("OPTIONS", "/v1/setSelfStatus", origin, http.Header{
			"Access-Control-Request-Method": {"POST"}, "Access-Control-Request-Headers": {"authorization,content-type"}})
		stream := s.exchange("OPTIONS", "/v1/events", origin, http.Header{
			"Access-Control-Request-Method": {"GET"}, "Access-Control-Request-Headers": {"authorization,cache-control,last-event-id"}})
		actual := s.exchange("GET", "/v1/subscriptions", origin, http.Header{"Authorization": {"Bearer " + s.issue("alice")}})
		for what, response := range map[string]*http.Response{"preflight": preflight, "preflight of a stream": stream, "call": actual} {
			if got := response.Header.Get("Access-Control-Allow-Origin"); got != allowed {
				t.Errorf("the %s of a page of %s is allowed for %q, want %q", what, origin, got, allowed)
			}
			if response.Header.Get("Access-Control-Allow-Credentials") != "" {
				t.Error("responses never allow cookies")
			}
		}
		if got := actual.Header.Get("Access-Control-Expose-Headers"); (got == "Retry-After, X-Request-Id, Presence-Kicked, Presence-Version") != (allowed != "") {
			t.Errorf("a page of %s may see the headers %q", origin, got)
		}
		if text, _ := io.ReadAll(preflight.Body); len(text) > 0 {
			t.Errorf("the response to a preflight must have no body, but has %q", text)
		}
	}
}

func TestNoCORSByDefault(t *testing.T) {
	s := newServer(t)
	response := s.exchange("GET", "/livez", "https://chat.example.com", http.Header{})
	if got := response.Header.Get("Access-Control-Allow-Origin"); got != "" {
		t.Errorf("without origins only the server's own pages may call, but %q is allowed", got)
	}
}

// TestPreflightAllowsWhatTracingAdds checks this because tracing libraries add headers
// to every request of a page.
func TestPreflightAllowsWhatTracingAdds(t *testing.T) {
	for _, origins := range [][]string{{"*"}, {"https://Chat.Example.com:443"}, {"https://*.example.com"}} {
		s := newServer(t, func(o *options) { o.config.Origins = origins })
		for _, asked := range []string{"traceparent", "tracestate", "baggage", "sentry-trace", "presence-version",
			"authorization,baggage,content-type,sentry-trace,traceparent,tracestate"} {
			preflight := s.exchange("OPTIONS", "/v1/setSelfStatus", "https://chat.example.com", http.Header{
				"Access-Control-Request-Method": {"POST"}, "Access-Control-Request-Headers": {asked}})
			if got := preflight.Header.Get("Access-Control-Allow-Headers"); got != asked {
				t.Errorf("with origins %v, a page may send %q, want %q", origins, got, asked)
			}
		}
	}
}

// TestCORSWithCookies checks that pages of listed origins may send the cookies of a program with an Authenticate, and that
// other pages may not, also when all origins are listed.
func TestCORSWithCookies(t *testing.T) {
	const friend, stranger = "https://chat.example.com", "https://evil.example.com"
	for _, c := range []struct {
		listed, origin, origins, credentials string
	}{
		{friend, friend, friend, "true"},
		{friend, stranger, "", ""},
		{"*", stranger, "*", ""},
	} {
		s := newServer(t, cookies(c.listed))
		s.register("alice")
		preflight := s.exchange("OPTIONS", "/v1/setSelfStatus", c.origin, http.Header{
			"Access-Control-Request-Method": {"POST"}, "Access-Control-Request-Headers": {"content-type"}})
		call := s.exchange("GET", "/v1/subscriptions", c.origin, http.Header{"Cookie": {"user=alice"}, "Sec-Fetch-Site": {"cross-site"}})
		for what, response := range map[string]*http.Response{"preflight": preflight, "call": call} {
			if got := response.Header.Get("Access-Control-Allow-Origin"); got != c.origins {
				t.Errorf("with origins %s, the %s from %s is allowed for %q, want %q", c.listed, what, c.origin, got, c.origins)
			}
			if got := response.Header.Get("Access-Control-Allow-Credentials"); got != c.credentials {
				t.Errorf("with origins %s, the %s from %s may have cookies: %q, want %q", c.listed, what, c.origin, got, c.credentials)
			}
		}
		if allowed := call.StatusCode == http.StatusOK; allowed != (c.credentials == "true") {
			t.Errorf("with origins %s, a call with a cookie from %s receives %d", c.listed, c.origin, call.StatusCode)
		}
	}
}

// TestCORSWithCookiesAfterAChange checks that origins that are listed later are treated like those of the configuration.
func TestCORSWithCookiesAfterAChange(t *testing.T) {
	const friend = "https://chat.example.com"
	s := newServer(t, cookies())
	s.register("alice")
	if err := s.api.SetOrigins([]string{friend}); err != nil {
		t.Fatal(err)
	}
	call := s.exchange("GET", "/v1/subscriptions", friend, http.Header{"Cookie": {"user=alice"}, "Sec-Fetch-Site": {"cross-site"}})
	if got := call.Header.Get("Access-Control-Allow-Credentials"); call.StatusCode != http.StatusOK || got != "true" {
		t.Errorf("a call with a cookie from an origin that was listed later receives %d, and may have cookies: %q", call.StatusCode, got)
	}
}
