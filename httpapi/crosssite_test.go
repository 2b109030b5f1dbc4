package httpapi_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/presence-server/presence/httpapi"
	"github.com/presence-server/presence/presence"
)

// cookies returns a server that is embedded in a program whose users have cookie
// sessions.
func cookies(origins ...string) func(*options) {
	return func(o *options) {
		o.config.Origins = origins
		o.config.Authenticate = func(r *http.Request) (httpapi.Credentials, error) {
			if cookie, err := r.Cookie("user"); err == nil {
				return httpapi.Credentials{UserID: cookie.Value}, nil
			}
			userID, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer token of ")
			return httpapi.Credentials{UserID: userID}, nil
		}
	}
}

// userCalls are all calls that a request with a cookie could make, each with a body
// that succeeds.
var userCalls = map[string]string{
	"POST /v1/setSelfStatus":         `{"customStatus":"forged"}`,
	"POST /v1/getUserStatus":         `{"userIDList":["alice"]}`,
	"POST /v1/subscribeUserStatus":   `{"userIDList":["bob"]}`,
	"POST /v1/unsubscribeUserStatus": `{}`,
	"POST /v1/logout":                `{}`,
	"GET /v1/subscriptions":          ``,
	"GET /v1/friends":                ``,
	"GET /v1/events":                 ``,
}

// fetched are the headers that browsers send, and whether a cookie counts with them.
var fetched = []struct {
	why    string
	header http.Header
	counts bool
}{
	{"a client that is not a browser", http.Header{}, true},
	{"the program's own page", http.Header{"Sec-Fetch-Site": {"same-origin"}, "Origin": {"https://chat.example.com"}}, true},
	{"typed by the user", http.Header{"Sec-Fetch-Site": {"none"}, "Sec-Fetch-Mode": {"navigate"}}, true},
	{"another site's script", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://evil.example"}, "Sec-Fetch-Mode": {"no-cors"}}, false},
	{"another site's image", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"no-cors"}, "Sec-Fetch-Dest": {"image"}}, false},
	{"another site's link or form", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"}}, false},
	{"another site's sandboxed frame", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"null"}}, false},
	{"a subdomain that isn't listed", http.Header{"Sec-Fetch-Site": {"same-site"}, "Origin": {"https://blog.example.com"}}, false},
	{"an old browser on another site", http.Header{"Origin": {"https://evil.example"}}, false},
	{"a listed origin", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://app.example"}}, true},
	{"a listed origin of an old browser", http.Header{"Origin": {"https://app.example"}}, true},
	{"a subdomain of a wildcard", http.Header{"Sec-Fetch-Site": {"same-site"}, "Origin": {"https://a.b.wild.example"}}, true},
	{"a listed app", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"capacitor://localhost"}}, true},
	{"an origin that ends like a listed one", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://evil-app.example"}}, false},
}

func TestCookiesDontCountForOtherSites(t *testing.T) {
	s := newServer(t, cookies("https://App.example:443", "https://*.wild.example", "capacitor://localhost"))
	s.register("alice", "bob")
	each := func(counts bool, do func(method, path, body, why string, header http.Header)) {
		for call, body := range userCalls {
			method, path, _ := strings.Cut(call, " ")
			for _, f := range fetched {
				if f.counts == counts {
					header := f.header.Clone()
					header.Set("Cookie", "user=alice")
					do(method, path, body, f.why, header)
				}
			}
		}
	}
	s.changesNothing("what other sites send", func() {
		each(false, func(method, path, body, why string, header http.Header) {
			s.send(method, path, header, body).fails(403, "70403", "a cookie doesn't count for "+why)
		})
	})
	each(true, func(method, path, body, why string, header http.Header) {
		if got := s.statusOf(method, path, header, body); got != 200 {
			t.Errorf("%s %s from %s was answered %d, want 200", method, path, why, got)
		}
	})
}

// statusOf returns the HTTP status of a response, and discards the rest.
func (s *server) statusOf(method, path string, header http.Header, body string) int {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), method, s.http.URL+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header = header
	response, err := s.http.Client().Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	response.Body.Close()
	return response.StatusCode
}

// TestAnyOriginIsWithoutCookies checks that "*" admits all pages, as CORS does, but
// not as the users who visit them.
func TestAnyOriginIsWithoutCookies(t *testing.T) {
	s := newServer(t, cookies("*"))
	s.register("alice")
	elsewhere := func(name, value string) http.Header {
		return http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://any.example"}, name: {value}}
	}
	for name, value := range map[string]string{"Cookie": "user=alice", "Authorization": "Basic YWxpY2U6eA=="} {
		s.send("POST", "/v1/setSelfStatus", elsewhere(name, value), `{"customStatus":"x"}`).
			fails(403, "70403", "a browser adds "+name+" by itself")
	}
	s.send("POST", "/v1/setSelfStatus", elsewhere("Authorization", "Bearer token of alice"), `{"customStatus":"x"}`).
		is(status("alice", presence.Unlogined, "x"), "a page that has a token may use it")
	s.send("GET", "/v1/subscriptions", elsewhere("X-Other", "x"), ``).
		fails(401, "70002", "without credentials that a browser adds, the function of the program decides")
}

// TestATokenCountsWhateverThePage checks this because a browser never adds a bearer
// token by itself.
func TestATokenCountsWhateverThePage(t *testing.T) {
	for _, f := range fetched {
		own, builtIn := newServer(t, cookies()), newServer(t)
		for s, token := range map[*server]string{own: "token of alice", builtIn: builtIn.issue("alice")} {
			header := f.header.Clone()
			header.Set("Authorization", "Bearer "+token)
			if got := s.statusOf("GET", "/v1/subscriptions", header, ``); got != 200 {
				t.Errorf("a token sent by %s was answered %d, want 200", f.why, got)
			}
		}
	}
}

// TestPublicFilesAreForAllPages covers a link to the description of the API, and the
// SDK as a module of another site.
func TestPublicFilesAreForAllPages(t *testing.T) {
	s := newServer(t, cookies())
	for _, f := range fetched {
		for _, path := range []string{"/openapi.yaml", "/sdk/presence.js", "/livez", "/readyz"} {
			if got := s.statusOf("GET", path, f.header.Clone(), ``); got != 200 {
				t.Errorf("GET %s by %s was answered %d, want 200", path, f.why, got)
			}
		}
	}
}

func TestNewRefusesOriginsThatCanNeverMatch(t *testing.T) {
	s := newServer(t)
	for _, origin := range []string{"null", "https://chat.example.com/", "chat.example.com", ""} {
		_, err := httpapi.New(httpapi.Config{Service: s.svc, Tokens: s.tokens, Origins: []string{"*", origin}})
		if err == nil {
			t.Errorf("the origin %q can never match, but New accepts it", origin)
		}
	}
}
