package httpapi_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
	"github.com/presence-server/presence/httpapi"
	"github.com/presence-server/presence/presence"
)

// identityProvider is a web server that publishes keys.
type identityProvider struct {
	t    *testing.T
	http *httptest.Server

	mu      sync.Mutex
	serve   http.HandlerFunc
	fetches int
	other   int // requests for anything but the keys
}

func newIdentityProvider(t *testing.T) *identityProvider {
	p := &identityProvider{t: t}
	p.http = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.fetches++
		if r.URL.Path != "/keys" {
			p.other++
		}
		serve := p.serve
		p.mu.Unlock()
		serve(w, r)
	}))
	t.Cleanup(p.http.Close)
	return p
}

// publish makes the server respond with these keys, by name.
func (p *identityProvider) publish(keys map[string]crypto.Signer) {
	text := keySet(p.t, keys)
	p.answer(func(w http.ResponseWriter, _ *http.Request) { w.Write(text) })
}

func (p *identityProvider) answer(serve http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.serve = serve
}

func (p *identityProvider) counts() (fetches, other int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fetches, p.other
}

func keySet(t *testing.T, keys map[string]crypto.Signer) []byte {
	t.Helper()
	set := jwkset.JWKSMarshal{}
	for name, key := range keys {
		jwk, err := jwkset.NewJWKFromKey(key.Public(), jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: name}})
		if err != nil {
			t.Fatal(err)
		}
		set.Keys = append(set.Keys, jwk.Marshal())
	}
	text, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

var (
	rsaKey   = sync.OnceValue(func() crypto.Signer { return generated(rsa.GenerateKey(rand.Reader, 2048)) })
	smallKey = sync.OnceValue(func() crypto.Signer { return generated(rsa.GenerateKey(rand.Reader, 1024)) })
	ecKey    = sync.OnceValue(func() crypto.Signer { return generated(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	otherKey = sync.OnceValue(func() crypto.Signer { return generated(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	edKey    = sync.OnceValue(func() crypto.Signer { _, key, err := ed25519.GenerateKey(rand.Reader); return generated(key, err) })
)

func generated[K crypto.Signer](key K, err error) crypto.Signer {
	if err != nil {
		panic(err)
	}
	return key
}

// verifier returns Tokens that accept the tokens of a provider.
func verifier(t *testing.T, p *identityProvider, change ...func(*httpapi.ProviderConfig)) *httpapi.Tokens {
	t.Helper()
	config := httpapi.ProviderConfig{URL: p.http.URL + "/keys"}
	for _, c := range change {
		c(&config)
	}
	provider, err := httpapi.NewProviderWithPause(config, 20*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(provider.Close)
	return &httpapi.Tokens{Secret: []byte(secret), Provider: provider}
}

// providerToken returns a token. Members of header that are nil are left out.
func providerToken(t *testing.T, method jwt.SigningMethod, key any, header, claims map[string]any) string {
	t.Helper()
	all := jwt.MapClaims{"sub": "alice", "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix()}
	maps.Copy(all, claims)
	token := jwt.NewWithClaims(method, all)
	maps.Copy(token.Header, header)
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// codeOf verifies a token until the keys that it needs have been looked up, and
// returns the code of the result.
func codeOf(t *testing.T, tokens *httpapi.Tokens, token string) presence.Code {
	t.Helper()
	for {
		c, err := tokens.Verify(token)
		code := presence.ErrorCode(err)
		if code == presence.CodeUnavailable {
			continue
		}
		if err == nil && c.UserID != "alice" {
			t.Errorf("the user is %q", c.UserID)
		}
		return code
	}
}

func TestProviderAcceptsItsTokens(t *testing.T) {
	p := newIdentityProvider(t)
	p.publish(map[string]crypto.Signer{"r": rsaKey(), "e": ecKey(), "d": edKey()})
	tokens := verifier(t, p, func(c *httpapi.ProviderConfig) { c.Issuer, c.Audience, c.UserClaim = "https://id", "chat", "uid" })
	good := map[string]any{"iss": "https://id", "aud": "chat", "uid": "alice", "sub": "42"}
	with := func(name string, value any) map[string]any {
		claims := maps.Clone(good)
		claims[name] = value
		return claims
	}
	for name, test := range map[string]struct {
		method jwt.SigningMethod
		key    any
		kid    string
		claims map[string]any
		want   presence.Code
	}{
		"RS256":                  {jwt.SigningMethodRS256, rsaKey(), "r", good, 0},
		"PS256":                  {jwt.SigningMethodPS256, rsaKey(), "r", good, 0},
		"ES256":                  {jwt.SigningMethodES256, ecKey(), "e", good, 0},
		"EdDSA":                  {jwt.SigningMethodEdDSA, edKey(), "d", good, 0},
		"no kid":                 {jwt.SigningMethodES256, ecKey(), "", good, 0},
		"several audiences":      {jwt.SigningMethodES256, ecKey(), "e", with("aud", []string{"other", "chat"}), 0},
		"another audience":       {jwt.SigningMethodES256, ecKey(), "e", with("aud", []string{"other"}), httpapi.CodeInvalidToken},
		"audience of wrong type": {jwt.SigningMethodES256, ecKey(), "e", with("aud", 7), httpapi.CodeInvalidToken},
		"another issuer":         {jwt.SigningMethodES256, ecKey(), "e", with("iss", "https://id/"), httpapi.CodeInvalidToken},
		"no user":                {jwt.SigningMethodES256, ecKey(), "e", with("uid", nil), httpapi.CodeInvalidToken},
		"no expiry":              {jwt.SigningMethodES256, ecKey(), "e", with("exp", nil), httpapi.CodeInvalidToken},
		"expired":                {jwt.SigningMethodES256, ecKey(), "e", with("exp", time.Now().Unix()-1), httpapi.CodeExpired},
		"from the future":        {jwt.SigningMethodES256, ecKey(), "e", with("nbf", time.Now().Unix()+3600), httpapi.CodeInvalidToken},
		"a wrong signature":      {jwt.SigningMethodES256, otherKey(), "e", good, httpapi.CodeInvalidToken},
		"a key of another kind":  {jwt.SigningMethodES256, ecKey(), "r", good, httpapi.CodeInvalidToken},
		"an algorithm too long":  {jwt.SigningMethodRS512, rsaKey(), "r", good, httpapi.CodeInvalidToken},
	} {
		header := map[string]any{}
		if test.kid != "" {
			header["kid"] = test.kid
		}
		if got := codeOf(t, tokens, providerToken(t, test.method, test.key, header, test.claims)); got != test.want {
			t.Errorf("%s: code %d, want %d", name, got, test.want)
		}
	}
	own, _, err := tokens.Issue("alice", time.Hour)
	if err != nil || codeOf(t, tokens, own) != 0 {
		t.Errorf("a token signed with the secret is refused next to them: %v", err)
	}
}

// TestProviderThatLies checks that nothing in a token makes the server accept it, or
// request anything but the keys.
func TestProviderThatLies(t *testing.T) {
	p := newIdentityProvider(t)
	p.publish(map[string]crypto.Signer{"r": rsaKey(), "r2": rsaKey()})
	tokens := verifier(t, p)
	elsewhere := p.http.URL + "/elsewhere"
	public, err := x509.MarshalPKIXPublicKey(rsaKey().Public())
	if err != nil {
		t.Fatal(err)
	}
	none := providerToken(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, map[string]any{"kid": "r"}, nil)
	for name, token := range map[string]string{
		"HS256 with the public key":      providerToken(t, jwt.SigningMethodHS256, public, map[string]any{"kid": "r"}, nil),
		"HS256 with the modulus":         providerToken(t, jwt.SigningMethodHS256, rsaKey().Public().(*rsa.PublicKey).N.Bytes(), map[string]any{"kid": "r"}, nil),
		"none":                           none,
		"no signature":                   none[:strings.LastIndex(none, ".")+1],
		"a kid that is a path":           providerToken(t, jwt.SigningMethodES256, otherKey(), map[string]any{"kid": "../../elsewhere"}, nil),
		"a kid that is a URL":            providerToken(t, jwt.SigningMethodES256, otherKey(), map[string]any{"kid": elsewhere}, nil),
		"a kid of 5 KB":                  providerToken(t, jwt.SigningMethodES256, otherKey(), map[string]any{"kid": strings.Repeat("k", 5000)}, nil),
		"a kid that is a number":         providerToken(t, jwt.SigningMethodRS256, rsaKey(), map[string]any{"kid": 7}, nil),
		"jku":                            providerToken(t, jwt.SigningMethodES256, otherKey(), map[string]any{"kid": "x", "jku": elsewhere}, nil),
		"x5u":                            providerToken(t, jwt.SigningMethodES256, otherKey(), map[string]any{"kid": "x", "x5u": elsewhere}, nil),
		"jwk":                            providerToken(t, jwt.SigningMethodES256, otherKey(), map[string]any{"jwk": json.RawMessage(keySet(t, map[string]crypto.Signer{"": otherKey()}))}, nil),
		"jku next to a good signature":   providerToken(t, jwt.SigningMethodRS256, rsaKey(), map[string]any{"kid": "r", "jku": elsewhere}, nil),
		"x5u next to a good signature":   providerToken(t, jwt.SigningMethodRS256, rsaKey(), map[string]any{"kid": "r", "x5u": elsewhere}, nil),
		"jwk next to a good signature":   providerToken(t, jwt.SigningMethodRS256, rsaKey(), map[string]any{"kid": "r", "jwk": map[string]any{}}, nil),
		"crit":                           providerToken(t, jwt.SigningMethodRS256, rsaKey(), map[string]any{"kid": "r", "crit": []string{"x"}}, nil),
		"no kid, and two keys would fit": providerToken(t, jwt.SigningMethodRS256, rsaKey(), nil, nil),
	} {
		if got := codeOf(t, tokens, token); got != httpapi.CodeInvalidToken {
			t.Errorf("%s: code %d, want %d", name, got, httpapi.CodeInvalidToken)
		}
	}
	if _, other := p.counts(); other > 0 {
		t.Errorf("the server sent %d requests elsewhere", other)
	}
}

// TestProviderRotatesItsKeys checks that, while the server runs, new keys are accepted
// immediately, and withdrawn keys are refused once the server knows of it.
func TestProviderRotatesItsKeys(t *testing.T) {
	p := newIdentityProvider(t)
	p.publish(map[string]crypto.Signer{"1": ecKey()})
	tokens := verifier(t, p)
	first := providerToken(t, jwt.SigningMethodES256, ecKey(), map[string]any{"kid": "1"}, nil)
	second := providerToken(t, jwt.SigningMethodES256, otherKey(), map[string]any{"kid": "2"}, nil)
	if code := codeOf(t, tokens, first); code != 0 {
		t.Fatalf("code %d", code)
	}
	p.publish(map[string]crypto.Signer{"1": ecKey(), "2": otherKey()})
	if code := codeOf(t, tokens, second); code != 0 {
		t.Errorf("a new key: code %d", code)
	}
	p.publish(map[string]crypto.Signer{"2": otherKey()})
	unknown := providerToken(t, jwt.SigningMethodES256, ecKey(), map[string]any{"kid": "3"}, nil)
	if code := codeOf(t, tokens, unknown); code != httpapi.CodeInvalidToken {
		t.Errorf("an unknown key: code %d", code)
	}
	if code := codeOf(t, tokens, first); code != httpapi.CodeInvalidToken {
		t.Errorf("a key that was withdrawn: code %d", code)
	}
}

// TestProviderPublishesARefusedKey: a token was refused, because its key was not published
// yet. The key is looked up again when the next token names it.
func TestProviderPublishesARefusedKey(t *testing.T) {
	p := newIdentityProvider(t)
	p.publish(map[string]crypto.Signer{"1": ecKey()})
	tokens := verifier(t, p)
	early := providerToken(t, jwt.SigningMethodES256, otherKey(), map[string]any{"kid": "2"}, nil)
	before, _ := p.counts()
	deadline := time.Now().Add(10 * time.Second)
	for fetches := before; fetches < before+5; fetches, _ = p.counts() { // after the first few, no wish of an earlier token is left
		if code := codeOf(t, tokens, early); code != httpapi.CodeInvalidToken || time.Now().After(deadline) {
			t.Fatalf("a key that isn't published: code %d after %d fetches", code, fetches-before)
		}
	}
	p.publish(map[string]crypto.Signer{"1": ecKey(), "2": otherKey()})
	for codeOf(t, tokens, early) != 0 { // until the pause is over
		if time.Now().After(deadline) {
			t.Fatal("the key isn't looked up again")
		}
	}
}

// TestProviderIsSlow: a fetch holds up no token of a key that is known, and a token of
// another key waits for its end. What can't be looked up doesn't count as a wrong token.
func TestProviderIsSlow(t *testing.T) {
	p := newIdentityProvider(t)
	p.publish(map[string]crypto.Signer{"1": ecKey()})
	tokens := verifier(t, p)
	s := newServer(t, func(o *options) { o.config.Tokens, o.config.Limits.Failures = tokens, 1 })
	known := s.as(providerToken(t, jwt.SigningMethodES256, ecKey(), map[string]any{"kid": "1"}, nil))
	if code := codeOf(t, tokens, known.token); code != 0 {
		t.Fatalf("code %d", code)
	}
	fetching, release := make(chan struct{}), make(chan struct{})
	p.answer(func(w http.ResponseWriter, r *http.Request) {
		select {
		case fetching <- struct{}{}:
			<-release
		case <-r.Context().Done():
		}
		http.Error(w, "down", http.StatusBadGateway)
	})
	unknown := s.as(providerToken(t, jwt.SigningMethodES256, otherKey(), map[string]any{"kid": "2"}, nil))
	done := make(chan *answer)
	go func() { done <- unknown.get("/v1/friends") }()
	<-fetching
	known.get("/v1/friends").is(`{"userList":[]}`, "a token of a known key waits for no fetch")
	close(release)
	for range 3 {
		a := <-done
		a.fails(503, "60022", "the key can't be looked up")
		if after, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || after < 1 || after > 10 {
			t.Errorf("Retry-After is %q", a.header.Get("Retry-After"))
		}
		p.answer(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "down", http.StatusBadGateway) })
		go func() { done <- unknown.get("/v1/friends") }()
	}
	<-done
	s.counts("presence_failures_limited_total 0")
	s.counts("presence_provider_failing 1")
	s.counts("presence_provider_keys 1")
}

// TestProviderOutage checks that a provider that is down, slow or broken makes no
// token invalid.
func TestProviderOutage(t *testing.T) {
	p := newIdentityProvider(t)
	for name, serve := range map[string]http.HandlerFunc{
		"an error":   func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "down", http.StatusBadGateway) },
		"HTML":       func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>Sign in</html>") },
		"no keys":    func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"keys":[]}`) },
		"null":       func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `null`) },
		"a cut":      func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) },
		"a redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"10 MB": func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, `{"keys":[`+strings.Repeat(" ", 10<<20)+`]}`)
		},
		"weak keys": func(w http.ResponseWriter, _ *http.Request) {
			w.Write(keySet(t, map[string]crypto.Signer{"1": smallKey()}))
		},
		"no keys yet": func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	} {
		p.answer(serve)
		tokens := verifier(t, p)
		token := providerToken(t, jwt.SigningMethodES256, ecKey(), map[string]any{"kid": "1"}, nil)
		if _, err := tokens.Verify(token); presence.ErrorCode(err) != presence.CodeUnavailable {
			t.Errorf("%s: %v, want CodeUnavailable", name, err)
		}
		if name == "no keys yet" {
			continue // the client gives up after 5 s
		}
		p.publish(map[string]crypto.Signer{"1": ecKey()})
		if code := codeOf(t, tokens, token); code != 0 {
			t.Errorf("%s, and up again: code %d", name, code)
		}
		p.answer(serve)
		codeOfUnknown := providerToken(t, jwt.SigningMethodES256, ecKey(), map[string]any{"kid": "2"}, nil)
		if _, err := tokens.Verify(codeOfUnknown); presence.ErrorCode(err) != presence.CodeUnavailable {
			t.Errorf("%s: an unknown key that can't be looked up: %v, want CodeUnavailable", name, err)
		}
		if code := codeOf(t, tokens, token); code != 0 {
			t.Errorf("%s: a known key was forgotten: code %d", name, code)
		}
	}
	if _, other := p.counts(); other > 0 {
		t.Errorf("a redirect is followed")
	}
}

// TestProviderWithStrangeKeys checks that good keys work next to malformed ones,
// however many there are.
func TestProviderWithStrangeKeys(t *testing.T) {
	var set struct{ Keys []json.RawMessage }
	json.Unmarshal(keySet(t, map[string]crypto.Signer{"good": ecKey(), "weak": smallKey()}), &set)
	for _, strange := range []string{
		`{}`, `7`, `null`, `{"kty":"oct","k":"c2VjcmV0","kid":"oct"}`, `{"kty":"EC","crv":"P-256","x":"AA","y":"AA","kid":"off the curve"}`,
		`{"kty":"RSA","n":"AQAB","e":"AQAB","kid":"tiny"}`, `{"kty":"FUTURE","kid":"f"}`, `{"kty":"EC","crv":"P-256","kid":"incomplete","x5u":"https://elsewhere.example"}`,
	} {
		set.Keys = append(set.Keys, json.RawMessage(strange))
	}
	var second struct{ Keys []json.RawMessage }
	json.Unmarshal(keySet(t, map[string]crypto.Signer{"good": otherKey()}), &second)
	set.Keys = append(set.Keys, second.Keys...)
	for i := range 10_000 {
		set.Keys = append(set.Keys, json.RawMessage(fmt.Sprintf(`{"kty":"FUTURE","kid":"%d"}`, i)))
	}
	text, err := json.Marshal(map[string]any{"keys": set.Keys})
	if err != nil {
		t.Fatal(err)
	}
	p := newIdentityProvider(t)
	p.answer(func(w http.ResponseWriter, _ *http.Request) { w.Write(text) })
	tokens := verifier(t, p)
	for name, test := range map[string]struct {
		token string
		want  presence.Code
	}{
		"the good key":           {providerToken(t, jwt.SigningMethodES256, ecKey(), map[string]any{"kid": "good"}, nil), 0},
		"another of its name":    {providerToken(t, jwt.SigningMethodES256, otherKey(), map[string]any{"kid": "good"}, nil), 0},
		"a key of 1024 bits":     {providerToken(t, jwt.SigningMethodRS256, smallKey(), map[string]any{"kid": "weak"}, nil), httpapi.CodeInvalidToken},
		"HS256 with a published": {providerToken(t, jwt.SigningMethodHS256, []byte("secret"), map[string]any{"kid": "oct"}, nil), httpapi.CodeInvalidToken},
	} {
		if got := codeOf(t, tokens, test.token); got != test.want {
			t.Errorf("%s: code %d, want %d", name, got, test.want)
		}
	}
}

// TestProviderIsNotFlooded checks that many tokens with unknown keys cause few
// fetches, and are refused or asked to retry.
func TestProviderIsNotFlooded(t *testing.T) {
	p := newIdentityProvider(t)
	p.publish(map[string]crypto.Signer{"1": ecKey()})
	provider, err := httpapi.NewProvider(httpapi.ProviderConfig{URL: p.http.URL + "/keys"})
	if err != nil {
		t.Fatal(err)
	}
	defer provider.Close()
	tokens := &httpapi.Tokens{Secret: []byte(secret), Provider: provider}
	if code := codeOf(t, tokens, providerToken(t, jwt.SigningMethodES256, ecKey(), map[string]any{"kid": "1"}, nil)); code != 0 {
		t.Fatalf("code %d", code)
	}
	var all sync.WaitGroup
	for i := range 2000 {
		token := providerToken(t, jwt.SigningMethodES256, otherKey(), map[string]any{"kid": fmt.Sprint("x", i)}, nil)
		all.Go(func() {
			if _, err := tokens.Verify(token); err == nil {
				t.Error("a token of an unknown key is accepted")
			}
		})
	}
	all.Wait()
	if fetches, _ := p.counts(); fetches > 2 {
		t.Errorf("%d fetches within 10 s", fetches)
	}
}
