package httpapi_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/presence-server/presence/httpapi"
)

// TestSetSecrets: tokens of a previous secret are accepted, new ones are signed with the
// current one, and a token that was verified before is refused once its secret is removed.
func TestSetSecrets(t *testing.T) {
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
	s.api.SetSecrets([]byte(next), [][]byte{[]byte(secret)})
	verified("the old token, its secret is a previous one", old, true)
	issued, _, _ := s.tokens.Issue("alice", time.Hour)
	if _, err := (&httpapi.Tokens{Secret: []byte(next)}).Verify(issued); err != nil {
		t.Errorf("a new token is not signed with the new secret: %v", err)
	}
	s.api.SetSecrets([]byte(next), nil)
	verified("the old token, its secret is removed", old, false)
	verified("the new token", issued, true)
	s.api.SetSecrets([]byte(secret), [][]byte{[]byte(next)})
	verified("the old token, its secret is back", old, true)
}

// TestSetOrigins: an origin that can't match changes nothing.
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
