package httpapi_test

import (
	"net/http"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/presence-server/presence/httpapi"
)

// guess sends a request with a wrong token through a trusted proxy.
func (s *server) guess(client, path string) *answer {
	s.t.Helper()
	return s.send("GET", path, http.Header{"Authorization": {"Bearer a-wrong-token"}, "X-Forwarded-For": {client}}, "")
}

// TestGuessingIsLimited checks that wrong keys and tokens from one address are counted
// together, that right ones are accepted nevertheless, and that other addresses are
// not affected.
func TestGuessingIsLimited(t *testing.T) {
	s := newServer(t, func(o *options) {
		o.config.Limits.Failures = 4
		o.config.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	})
	s.register("alice")
	for range 2 {
		s.guess("198.51.100.1", "/v1/friends").fails(401, "70003", "a wrong token")
		s.guess("198.51.100.1", "/v1/admin/stats").fails(403, "70403", "a wrong key")
	}
	for _, path := range []string{"/v1/friends", "/v1/events", "/v1/admin/stats", "/v1/admin/events"} {
		a := s.guess("198.51.100.1", path)
		a.fails(429, "2996", "too many from one address")
		if after, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || after < 1 || after > 60 {
			t.Errorf("Retry-After is %q", a.header.Get("Retry-After"))
		}
		s.guess("198.51.100.2", path)
	}
	s.counts("presence_failures_limited_total 4")
	s.guess("198.51.100.2", "/v1/friends").fails(429, "2996", "the other address has sent four as well")
	from := http.Header{"Authorization": {"Bearer " + s.issue("alice")}, "X-Forwarded-For": {"198.51.100.1"}}
	if a := s.send("GET", "/v1/friends", from, ""); a.status != 200 {
		t.Errorf("a right token of that address was answered %d %s", a.status, a.body)
	}
	from.Set("Authorization", "Bearer "+adminKey)
	if a := s.send("GET", "/v1/admin/stats", from, ""); a.status != 200 {
		t.Errorf("the admin key from that address was answered %d %s", a.status, a.body)
	}
	limits := httpapi.DefaultLimits()
	limits.Failures = 1000
	s.api.SetLimits(limits)
	s.guess("198.51.100.1", "/v1/friends").fails(401, "70003", "the limit was raised")
}

// TestExpiredAndRevokedTokensAreNotGuesses checks that requests with expired or revoked tokens,
// or without one, are never limited.
func TestExpiredAndRevokedTokensAreNotGuesses(t *testing.T) {
	s := newServer(t, func(o *options) { o.config.Limits.Failures = 1 })
	s.register("alice")
	revoked := s.user("alice")
	s.admin().post("/v1/admin/kick", `{"userID":"alice"}`)
	now := time.Now().Unix()
	expired := s.as(signed(t, jwt.SigningMethodHS256, []byte(secret), jwt.MapClaims{"sub": "alice", "iat": now - 60, "exp": now - 1}))
	foreign := s.as(userSig(secret, "alice", appID+1, now, 3600))
	for range 5 {
		revoked.get("/v1/friends").fails(401, "70052", "a revoked token")
		expired.get("/v1/friends").fails(401, "70001", "an expired token")
		foreign.get("/v1/friends").fails(401, "70014", "a UserSig of another application")
		s.as("").get("/v1/friends").fails(401, "70002", "no token")
		s.as("").get("/v1/admin/stats").fails(403, "70403", "no key")
	}
	s.guess("", "/v1/friends").fails(401, "70003", "the first wrong token")
	s.guess("", "/v1/friends").fails(429, "2996", "the second")
	s.guess("198.51.100.1", "/v1/friends").fails(429, "2996", "the headers of an untrusted peer count for nothing")
}
