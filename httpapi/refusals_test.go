package httpapi_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/presence-server/presence/httpapi"
	"github.com/presence-server/presence/presence"
)

func TestCredentialsAreNeeded(t *testing.T) {
	s := newServer(t)
	for path, name := range posts {
		if name == "alice" {
			a := s.as("").post(path, `{}`)
			a.fails(401, "70002", "no token")
			a.has("WWW-Authenticate", "Bearer", "401 says how to authenticate")
		}
		if name == "admin" {
			s.as("").post(path, `{}`).fails(403, "70403", "the admin key is missing")
			s.as(adminKey[1:]).post(path, `{}`).fails(403, "70403", "the admin key is wrong")
			s.user("alice").post(path, `{}`).fails(403, "70403", "a user is not an admin")
		}
	}
	s.as("").get("/v1/subscriptions").fails(401, "70002", "no token")
	s.as("").get("/v1/friends").fails(401, "70002", "no token")
	s.as("").get("/v1/events").fails(401, "70002", "no token")
	s.as("").get("/v1/admin/stats").fails(403, "70403", "the admin key is missing")
	s.admin().get("/v1/subscriptions").fails(401, "70003", "the admin key is not a token")
}

func TestTheServerAPIIsOffWithoutAKey(t *testing.T) {
	s := newServer(t, func(o *options) { o.config.AdminKey = "" })
	s.as("").get("/v1/admin/stats").fails(403, "70403", "the server API is off while no key is set")
	s.send("GET", "/v1/admin/stats", http.Header{"Authorization": {"Bearer "}}, "").
		fails(403, "70403", "an empty key gives no access")
	for _, path := range []string{"/admin", "/admin/", "/admin/admin.js"} {
		s.as("").get(path).fails(404, "70402", "the admin page isn't served while no key is set")
		s.as("").post(path, ``).fails(404, "70402", "the admin page isn't served while no key is set")
	}
}

func TestSwitchedOff(t *testing.T) {
	s := newServer(t, func(o *options) { o.settings.UserStatus = false; o.config.Limits.CallsPerWindow = 1 })
	s.register("alice", "bob")
	alice := s.user("alice")
	for range 3 {
		for _, path := range []string{"/v1/getUserStatus", "/v1/subscribeUserStatus", "/v1/unsubscribeUserStatus"} {
			alice.post(path, `{"userIDList":["bob","alice"]}`).fails(403, "72001", "while the switch is off these three calls return 72001")
			alice.post(path, `{"userIDList":[1]}`).fails(400, "70402", "a malformed call is malformed all the same")
		}
		for _, path := range []string{"/v1/subscriptions", "/v1/friends"} {
			alice.get(path).fails(403, "72001", "while the switch is off, lists of other users return 72001")
		}
		alice.post("/v1/getUserStatus", `{"userIDList":["alice"]}`).
			is(`{"successUserList":[`+status("alice", presence.Unlogined, "")+`],"failureUserList":[]}`, "a query for oneself alone still works")
	}
	alice.post("/v1/setSelfStatus", `{"customStatus":"x"}`).is(status("alice", presence.Unlogined, "x"), "setting a status needs no switch")
	s.admin().post("/v1/admin/getUserStatus", `{"userIDList":["bob"]}`).
		is(`{"successUserList":[`+status("bob", presence.Unlogined, "")+`],"failureUserList":[]}`, "the server API needs no switch")
}

func TestRateLimit(t *testing.T) {
	s := newServer(t)
	s.register("alice", "bob")
	alice := s.user("alice")
	commands := []string{"/v1/getUserStatus", "/v1/subscribeUserStatus", "/v1/unsubscribeUserStatus"}
	limits := httpapi.DefaultLimits()
	limits.Window = 90 * time.Minute // longer than this test
	s.api.SetLimits(limits)
	for _, path := range commands {
		for range 20 {
			if a := alice.post(path, `{"userIDList":["bob","alice"]}`); a.status != 200 {
				t.Fatalf("20 calls per window of each command, but %s answers %d %s", path, a.status, a.body)
			}
			alice.post(path, `{"userIDList":[]`).fails(400, "70402", "a malformed call doesn't count")
		}
	}
	for _, path := range commands {
		a := alice.post(path, `{"userIDList":["bob"]}`)
		a.fails(429, "2996", "the 21st call of a window is one too many")
		if seconds, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || seconds > 5400 || seconds < 5000 {
			t.Errorf("Retry-After is %q, want the rest of 5400 seconds", a.header.Get("Retry-After"))
		}
		if a := s.user("bob").post(path, `{"userIDList":["alice"]}`); a.status != 200 {
			t.Errorf("the limit is per user, but another's %s answers %d", path, a.status)
		}
	}
	for range 30 {
		if a := alice.post("/v1/getUserStatus", `{"userIDList":["alice","alice"]}`); a.status != 200 {
			t.Fatalf("a query for oneself alone is never limited, but answers %d", a.status)
		}
		if a := alice.post("/v1/setSelfStatus", `{"customStatus":"x"}`); a.status != 200 {
			t.Fatalf("setting one's status is never limited, but answers %d", a.status)
		}
		if a := s.admin().post("/v1/admin/getUserStatus", `{"userIDList":["bob"]}`); a.status != 200 {
			t.Fatalf("the server API is never limited, but answers %d", a.status)
		}
	}
}

func TestStreamsLimit(t *testing.T) {
	s := newServer(t, func(o *options) { o.config.Limits.Streams = 1 })
	s.register("alice", "bob")
	s.user("alice").stream().ready()
	a := s.user("bob").get("/v1/events")
	a.fails(503, "60022", "more than `streams` are refused")
	a.has("Retry-After", "1", "60022 says when to retry")
}

func TestStartingDrainingAndClosed(t *testing.T) {
	s := newServer(t)
	s.register("alice")
	alice := s.user("alice")
	unavailable := func(a *answer, why string) {
		a.t.Helper()
		a.fails(503, "60022", why)
		a.has("Retry-After", "1", "60022 says when to retry")
	}
	here, starting := s.http.URL, httptest.NewServer(http.HandlerFunc(httpapi.Starting))
	defer starting.Close()
	s.http.URL = starting.URL
	unavailable(alice.post("/v1/setSelfStatus", `{"customStatus":"x"}`), "starting")
	unavailable(s.as("").get("/readyz"), "starting")
	s.as("").get("/livez").is(`{}`, "a server that is starting is alive")
	s.http.URL = here

	s.as("").get("/readyz").is(`{}`, "a server that has started is ready")
	s.svc.Drain()
	unavailable(alice.get("/v1/events"), "draining")
	a := s.as("").get("/readyz")
	unavailable(a, "draining")
	if !strings.Contains(a.body, "shutting down") {
		t.Errorf("/readyz reports the reason, but answers %s", a.body)
	}
	s.as("").get("/livez").is(`{}`, "a server that drains is alive")
	s.svc.Close()
	unavailable(alice.post("/v1/setSelfStatus", `{"customStatus":"x"}`), "closed")
}

// TestInternalErrorsRevealNothing makes the credentials of an embedding program fail
// in ways that the client can't cause.
func TestInternalErrorsRevealNothing(t *testing.T) {
	for name, failure := range map[string]func() error{
		"panic":        func() error { panic("the wires are crossed") },
		"unknown code": func() error { return &presence.Error{Code: 4711, Message: "the wires are crossed"} },
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, func(o *options) {
				o.config.Authenticate = func(*http.Request) (httpapi.Credentials, error) { return httpapi.Credentials{}, failure() }
			})
			a := s.as("").post("/v1/setSelfStatus", `{"customStatus":"x"}`)
			a.fails(500, "70500", "an internal error")
			if strings.Contains(a.body, "wires") {
				t.Errorf("the response never contains details: %s", a.body)
			}
			for _, want := range []string{"the wires are crossed", "request=" + a.header.Get("X-Request-ID")} {
				if !strings.Contains(s.log.String(), want) {
					t.Errorf("the log has no %q, by which to find the cause:\n%s", want, s.log)
				}
			}
		})
	}
}

// TestOwnCredentials replaces tokens with a function, as an embedding program does.
func TestOwnCredentials(t *testing.T) {
	s := newServer(t, func(o *options) {
		o.config.Tokens = nil
		o.config.Authenticate = func(r *http.Request) (httpapi.Credentials, error) {
			switch who := r.Header.Get("X-User"); who {
			case "":
				return httpapi.Credentials{}, &presence.Error{Code: httpapi.CodeNoToken, Message: "who is it?"}
			case "mallory":
				return httpapi.Credentials{}, errors.New("a private detail")
			default:
				return httpapi.Credentials{UserID: who}, nil
			}
		}
	})
	from := func(who string) *answer {
		return s.send("POST", "/v1/setSelfStatus", http.Header{"X-User": {who}}, `{"customStatus":"x"}`)
	}
	from("alice").is(status("alice", presence.Unlogined, "x"), "the function returns the user, who is registered by the call")
	from("").fails(401, "70002", "an error with a code is returned as it is")
	from("a\u00a0").fails(400, "70402", "a malformed userID is refused")
	a := from("mallory")
	a.fails(401, "70003", "any other error is 70003")
	if strings.Contains(a.body, "detail") {
		t.Errorf("the response contains no details: %s", a.body)
	}
	s.admin().post("/v1/admin/issueToken", `{"userID":"alice"}`).fails(403, "70403", "tokens are issued elsewhere")
	s.admin().post("/v1/admin/kick", `{"userID":"alice"}`)
	from("alice").is(status("alice", presence.Unlogined, "x"), "credentials without IssuedAt are not revoked by a kick")
}

func TestNewRefuses(t *testing.T) {
	s := newServer(t)
	tokens := &httpapi.Tokens{Secret: []byte(secret)}
	for why, config := range map[string]httpapi.Config{
		"no Service":                        {Tokens: tokens},
		"neither Authenticate nor a secret": {Service: s.svc},
		"an empty secret":                   {Service: s.svc, Tokens: &httpapi.Tokens{}},
		"impossible limits":                 {Service: s.svc, Tokens: tokens, Limits: httpapi.Limits{QueryUsers: 1}},
	} {
		if _, err := httpapi.New(config); err == nil {
			t.Errorf("New must refuse %s", why)
		}
	}
	if _, err := httpapi.New(httpapi.Config{Service: s.svc, Tokens: tokens}); err != nil {
		t.Errorf("the zero value of Limits means DefaultLimits, but New fails: %v", err)
	}
}
