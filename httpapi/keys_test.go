package httpapi_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/presence-server/presence/httpapi"
)

// TestSetKeys checks that tokens of a previous secret are accepted, that new tokens
// are signed with the current secret, and that a token that was verified before is
// refused once its secret is removed.
func TestSetKeys(t *testing.T) {
	const next = "another secret, which is newer"
	s := newServer(t)
	old, _, err := s.tokens.Issue("alice", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	verified := func(what, token string, want bool) {
		t.Helper()
		if _, err := s.tokens.Verify(token); (err == nil) != want {
			t.Errorf("%s: %v, want it accepted: %v", what, err, want)
		}
	}
	verified("the old token", old, true)
	s.api.SetKeys([]byte(next), [][]byte{[]byte(secret)}, nil)
	verified("the old token, its secret is a previous one", old, true)
	issued, _, _ := s.tokens.Issue("alice", time.Hour)
	if _, err := (&httpapi.Tokens{Secret: []byte(next)}).Verify(issued); err != nil {
		t.Errorf("a new token is not signed with the new secret: %v", err)
	}
	s.api.SetKeys([]byte(next), nil, nil)
	verified("the old token, its secret is removed", old, false)
	verified("the new token", issued, true)
	s.api.SetKeys([]byte(secret), [][]byte{[]byte(next)}, nil)
	verified("the old token, its secret is back", old, true)
}

// TestSetKeysOfUserSigs checks that UserSigs are verified with the same secrets as
// JWTs, and that a stream opened with a UserSig ends when its secret is removed.
func TestSetKeysOfUserSigs(t *testing.T) {
	const next = "another secret, which is newer"
	s := newServer(t)
	old := s.as(userSig(secret, "alice", appID, time.Now().Unix(), 3600))
	stream := old.stream().ready()
	s.api.SetKeys([]byte(next), [][]byte{[]byte(secret)}, nil)
	old.get("/v1/subscriptions").is(`{"userList":[]}`, "the secret of a UserSig is a previous one")
	s.as(userSig(next, "alice", appID, time.Now().Unix(), 3600)).get("/v1/subscriptions").is(`{"userList":[]}`, "a UserSig of the new secret")
	s.api.SetKeys([]byte(next), nil, nil)
	old.get("/v1/subscriptions").fails(401, "70003", "the secret of a UserSig is removed")
	stream.is("KICKED_OUT", `{"type":"userSigExpired"}`, "the secret of a stream is removed")
	stream.ends("KICKED_OUT ends a stream for good")
}

// TestSetKeysOfOtherTokens checks that a program may verify with other Tokens than
// the Handler issues with. A change to the secrets of one doesn't affect the other.
func TestSetKeysOfOtherTokens(t *testing.T) {
	others := &httpapi.Tokens{Secret: []byte("a secret of another program")}
	s := newServer(t, func(o *options) { o.config.Authenticate = others.Authenticate })
	token, _, err := others.Issue("alice", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	stream := s.as(token).stream().ready()
	s.api.SetKeys([]byte("another secret, which is newer"), nil, nil)
	s.as(token).post("/v1/setSelfStatus", `{"customStatus":"still here"}`)
	if e := stream.next(); !strings.Contains(e.Data, "still here") {
		t.Errorf("a stream of other Tokens receives %q", e.Raw)
	}
}

// TestSetOrigins checks that an origin that can't match changes nothing.
func TestSetOrigins(t *testing.T) {
	s := newServer(t)
	if err := s.api.SetOrigins([]string{"https://chat.example.com", "nonsense"}); err == nil {
		t.Error("an origin that can't match is accepted")
	}
	allowed := func() string {
		response := s.exchange("GET", "/livez", "https://chat.example.com", http.Header{})
		return response.Header.Get("Access-Control-Allow-Origin")
	}
	if got := allowed(); got != "" {
		t.Errorf("an origin that isn't listed is allowed: %q", got)
	}
	if err := s.api.SetOrigins([]string{"https://chat.example.com"}); err != nil || allowed() == "" {
		t.Errorf("an origin that was added is not allowed: %v", err)
	}
}

// TestTokensOfARemovedSecretAreNoGuesses checks that clients that still use the tokens of a
// removed secret are told so, however many there are, while made-up tokens are limited.
func TestTokensOfARemovedSecretAreNoGuesses(t *testing.T) {
	s := newServer(t, func(o *options) { o.config.Limits.Failures = 2 })
	jwt, sig := s.user("alice"), s.as(userSig(secret, "alice", appID, time.Now().Unix(), 3600))
	s.api.SetKeys([]byte("another secret, which is newer"), nil, nil)
	s.api.SetKeys([]byte("a third secret, the newest of all"), nil, nil)
	for range 5 {
		jwt.get("/v1/friends").fails(401, "70003", "its secret is removed")
		sig.get("/v1/friends").fails(401, "70003", "its secret is removed")
	}
	forged := s.as(userSig("a secret that was never used", "alice", appID, time.Now().Unix(), 3600))
	for range 2 {
		forged.get("/v1/friends").fails(401, "70003", "it is forged")
	}
	forged.get("/v1/friends").fails(429, "2996", "too many forged ones")
	jwt.get("/v1/friends").fails(401, "70003", "others are limited")
}
