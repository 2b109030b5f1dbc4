package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"

	server "github.com/presence-server/presence/deploy/testserver"
)

// TestProviderMistakes: each is named with its value, of which a password is left out.
func TestProviderMistakes(t *testing.T) {
	for text, want := range map[string]string{
		`jwks_url = "ftp://id.example.com/keys"`:             `auth.jwks_url = "ftp://id.example.com/keys": must be a URL of http or https with a host`,
		`jwks_url = "id.example.com/keys"`:                   `auth.jwks_url = "id.example.com/keys": must be a URL of http or https with a host`,
		`jwks_url = "https:///keys"`:                         `auth.jwks_url = "https:///keys": must be a URL of http or https with a host`,
		`jwks_url = "ftp://me:password@id.example.com/?k=k"`: `auth.jwks_url = "ftp://id.example.com/": must be`,
		`user_claim = ""`:                                    `auth.user_claim = "": must not be empty`,
	} {
		_, err := configOf(t, "[auth]\n"+text+"\n")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\ngot  %v\nwant %s", text, err, want)
		}
	}
	if _, err := configOf(t, "[auth]\nissuer = 'https://id'\naudience = 'chat'\n"); err != nil {
		t.Errorf("issuer and audience concern nothing without jwks_url: %v", err)
	}
}

// TestReloadProvider: SIGHUP adds an identity provider and changes it. Its streams end if
// their tokens are no longer accepted, but not if the provider stays the same.
func TestReloadProvider(t *testing.T) {
	url, token := publish(t)
	c := newChild(t)
	c.Start()
	code := func(want int, why string) {
		t.Helper()
		answer, err := c.Call(c.Ctx, "/v1/friends", token, nil)
		for ; err == nil && answer.Code == 60022; answer, err = c.Call(c.Ctx, "/v1/friends", token, nil) {
		}
		if err != nil || answer.Code != want {
			t.Errorf("%s: code %d, want %d, %v", why, answer.Code, want, err)
		}
	}
	code(70003, "there is no provider")
	with := "[auth]\njwks_url = '" + url + "'\n"
	c.reconfigure(with + "audience = 'chat'\n")
	code(0, "there is a provider")
	if !strings.Contains(c.Log(), "auth.jwks_url is not https") || strings.Contains(c.Log(), "auth.audience is empty") {
		t.Errorf("the log has the wrong warnings:\n%s", c.Log())
	}
	stream := c.open("/v1/events", token)
	stream.next("READY")
	c.reconfigure(with + "audience = 'chat'\n[log]\nlevel = 'debug'\n")
	c.Do("/v1/setSelfStatus", token, map[string]any{"customStatus": "still here"}, nil)
	stream.next("still here")

	c.reconfigure(with + "audience = 'another'\n")
	stream.next("userSigExpired")
	stream.ends()
	code(70003, "the audience is another one")
	c.reconfigure(with)
	code(0, "there is no audience")
	c.awaitsLog("auth.audience is empty")
	c.reconfigure("")
	code(70003, "the provider is removed")
	if c.Signal(syscall.SIGTERM); c.Wait() != 0 {
		t.Errorf("the server ends badly:\n%s", c.Log())
	}
}

// TestProviderIsDownAtStart: this doesn't stop the start.
func TestProviderIsDownAtStart(t *testing.T) {
	address, err := server.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	c := newChild(t, "AUTH__JWKS_URL=http://"+address+"/keys")
	c.Start()
	c.awaitsLog("the keys of the identity provider can't be fetched")
	_, token := publish(t)
	if answer, err := c.Call(c.Ctx, "/v1/friends", token, nil); err != nil || answer.Code != 60022 {
		t.Errorf("a token whose key can't be looked up: %+v, %v", answer, err)
	}
	c.Do("/v1/friends", c.TokenOf("alice"), nil, nil)
}

// publish starts an identity provider, and returns the URL of its keys and a token that
// it has issued to alice for the audience chat.
func publish(t *testing.T) (url, token string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys := jwkset.NewMemoryStorage()
	jwk, err := jwkset.NewJWKFromKey(key.Public(), jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: "1"}})
	if err != nil || keys.KeyWrite(t.Context(), jwk) != nil {
		t.Fatal(err)
	}
	text, err := keys.JSONPublic(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(text) }))
	t.Cleanup(provider.Close)
	signed := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"sub": "alice", "aud": "chat", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
	})
	signed.Header["kid"] = "1"
	if token, err = signed.SignedString(key); err != nil {
		t.Fatal(err)
	}
	return provider.URL + "/keys", token
}
