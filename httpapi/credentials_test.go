package httpapi_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/presence-server/presence/httpapi"
	"github.com/presence-server/presence/presence"
)

// spellings returns variants of a token that a lenient base64 decoder would accept.
func spellings(token string) map[string]string {
	last, middle := len(strings.TrimRight(token, "_"))-1, len(token)/2
	return map[string]string{
		"a line feed inside":        token[:middle] + "\n" + token[middle:],
		"a carriage return inside":  token[:middle] + "\r" + token[middle:],
		"line breaks at the end":    token + "\r\n",
		"a line break at the start": "\n" + token,
		"a space inside":            token[:middle] + " " + token[middle:],
		"padding":                   token + "=",
		"padding of a UserSig":      token + "_",
		"more padding of a UserSig": token + "__",
		"other trailing bits":       token[:last] + neighbour(token[last]) + token[last+1:],
		"a NUL":                     token + "\x00",
		"a letter beyond ASCII":     token + "é",
	}
}

// neighbour returns the character whose value differs in the last bit only. A
// character with trailing bits is a letter or a digit.
func neighbour(c byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	i := strings.IndexByte(alphabet, c)
	return alphabet[i^1 : i^1+1]
}

// TestATokenHasOneSpelling checks this because each further spelling would take
// another place among the remembered tokens.
func TestATokenHasOneSpelling(t *testing.T) {
	s := newServer(t)
	sig := ""
	for name := "alice"; !strings.HasSuffix(sig, "_"); name += "e" { // this token is padded, so that it has trailing bits
		sig = userSig(secret, name, appID, time.Now().Unix(), 3600)
	}
	inner := strings.NewReplacer("*", "+", "-", "/", "_", "=").Replace(sig)
	good := map[string]string{"JWT": s.issue("alice"), "UserSig": sig}
	for kind, token := range good {
		if _, err := s.tokens.Verify(token); err != nil {
			t.Fatalf("a good %s: %v", kind, err)
		}
		s.remember(token)
		for why, other := range spellings(token) {
			if c, err := s.tokens.Verify(other); presence.ErrorCode(err) != httpapi.CodeInvalidToken {
				t.Errorf("a %s with %s gives %v, %v; want 70003", kind, why, c, err)
			}
			a := s.send("GET", "/v1/events?deviceID=%20&access_token="+url.QueryEscape(other), http.Header{}, "")
			a.fails(401, "70003", "a token in the query has one spelling: "+kind+" with "+why)
		}
	}
	for why, other := range map[string]string{
		"the standard alphabet":         inner,
		"bytes behind what it inflates": base64Signs(append(fromBase64(t, inner), "more"...)),
	} {
		if other == sig {
			continue
		}
		if _, err := s.tokens.Verify(other); presence.ErrorCode(err) != httpapi.CodeInvalidToken {
			t.Errorf("a UserSig with %s gives %v; want 70003", why, err)
		}
	}
	if n := s.tokens.Remembered(); n != len(good) {
		t.Errorf("%d tokens are remembered, want one of each kind", n)
	}
}

func fromBase64(t *testing.T, text string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func base64Signs(b []byte) string {
	return strings.NewReplacer("+", "*", "/", "-", "=", "_").Replace(base64.StdEncoding.EncodeToString(b))
}

// TestOneUserTakesNoPlaceFromOthers checks this because the JSON of a UserSig can be
// written in any number of ways under one signature.
func TestOneUserTakesNoPlaceFromOthers(t *testing.T) {
	tokens := &httpapi.Tokens{Secret: []byte(secret), SDKAppID: appID}
	verify := func(token string) {
		t.Helper()
		if _, err := tokens.Verify(token); err != nil {
			t.Fatal(err)
		}
	}
	bob, _, err := tokens.Issue("bob", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	verify(bob)
	sig := unpacked(t, userSig(secret, "alice", appID, time.Now().Unix(), 3600))
	for i := range 3 * httpapi.MaxOfUser {
		verify(packed(strings.Replace(sig, "{", fmt.Sprintf(`{"junk":%d,`, i), 1)))
	}
	if n := tokens.Remembered(); n > 1+httpapi.MaxOfUser {
		t.Errorf("%d tokens of two users are remembered, want at most %d of one", n, httpapi.MaxOfUser)
	}
	if !tokens.Remembers(bob) {
		t.Error("the token of another user is forgotten")
	}
}

// TestTokensRememberedAreBounded checks that the remembered tokens are bounded in
// bytes, however long tokens and user IDs are, and that tokens in use are kept.
func TestTokensRememberedAreBounded(t *testing.T) {
	tokens := &httpapi.Tokens{Secret: []byte(secret)}
	used, _, err := tokens.Issue("used", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	before := heap()
	for i := range 2*httpapi.MaxRemembered + 1 {
		userID := fmt.Sprintf("%0128d", i)
		for _, token := range []string{used, signed(t, jwt.SigningMethodHS256, []byte(secret),
			jwt.MapClaims{"sub": userID, "exp": time.Now().Add(time.Hour).Unix(), "junk": strings.Repeat("x", 5000)})} {
			if _, err := tokens.Verify(token); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := tokens.Remembered(); n < 1 || n > httpapi.MaxRemembered {
		t.Errorf("%d tokens are remembered, want at most %d", n, httpapi.MaxRemembered)
	}
	if !tokens.Remembers(used) {
		t.Error("a token in constant use is forgotten")
	}
	if grown := heap() - before; grown > 16<<20 {
		t.Errorf("the tokens that are remembered take %d bytes", grown)
	}
	runtime.KeepAlive(tokens)
}

// heap returns how many bytes are in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestATokenThatIsTooLong(t *testing.T) {
	s := newServer(t)
	for size, code := range map[int]string{1000: "70003", 20000: "70003"} {
		s.as(strings.Repeat("a", size)).get("/v1/subscriptions").fails(401, code, "a malformed token is refused")
	}
	long := signed(t, jwt.SigningMethodHS256, []byte(secret),
		jwt.MapClaims{"sub": "alice", "exp": time.Now().Add(time.Hour).Unix(), "junk": strings.Repeat("x", 8<<10)})
	s.as(long).get("/v1/subscriptions").fails(401, "70003", "a token has at most 8 KiB")
}

// TestWhyATokenIsNotValid checks that the reason is in the response and the log once
// the signature is verified, and that all responses are the same before.
func TestWhyATokenIsNotValid(t *testing.T) {
	s := newServer(t)
	now := time.Now().Unix()
	exp := fmt.Sprintf(`"exp":%d`, now+3600)
	const usual = `{"alg":"HS256","typ":"JWT"}`
	for _, c := range []struct{ header, claims, reason string }{
		{usual, `{"sub":"alice"}`, "exp is missing"},
		{usual, `{"sub":"alice","exp":null}`, "exp is missing"},
		{usual, `{"sub":"alice","exp":"tomorrow"}`, "exp must be a number of seconds since 1970"},
		{usual, `{"sub":"alice","exp":1e300}`, "exp must be a number of seconds since 1970"},
		{usual, `{"sub":1,` + exp + `}`, "sub must be a string"},
		{usual, `{"sub":["alice"],` + exp + `}`, "sub must be a string"},
		{usual, `{` + exp + `}`, "sub is missing"},
		{usual, `{"Sub":"alice",` + exp + `}`, "sub is missing"},
		{usual, `{"sub":" alice",` + exp + `}`, "sub: an ID must not begin or end with a space"},
		{usual, `{"sub":"alice","iat":true,` + exp + `}`, "iat must be a number of seconds since 1970"},
		{usual, fmt.Sprintf(`{"sub":"alice","iat":%d,%s}`, now+120, exp), "it is issued in the future"},
		{usual, fmt.Sprintf(`{"sub":"alice","nbf":%d,%s}`, now+120, exp), "nbf is in the future"},
		{usual, `{"sub":"alice","sub":"bob",` + exp + `}`, "the claims must be one JSON object with each name once"},
		{usual, `["alice"]`, "the claims must be one JSON object with each name once"},
		{`{"alg":"HS256","crit":["exp"]}`, `{"sub":"alice",` + exp + `}`, "the header has crit, which is not supported"},
		{`{"alg":"HS256","crit":[]}`, `{"sub":"alice",` + exp + `}`, "the header has crit, which is not supported"},
		{`{"alg":"HS256","crit":null}`, `{"sub":"alice",` + exp + `}`, "the header has crit, which is not supported"},
		{`{"alg":"HS256","b64":true}`, `{"sub":"alice",` + exp + `}`, "the header has b64, which is not supported"},
		{`{"alg":"HS256","typ":1}`, `{"sub":"alice",` + exp + `}`, "typ must be a string"},
		{`{"alg":"none","alg":"HS256"}`, `{"sub":"alice",` + exp + `}`, "the header must be one JSON object with each name once"},
		{`{"alg":"HS256","kid":"a","kid":"b"}`, `{"sub":"alice",` + exp + `}`, "the header must be one JSON object with each name once"},
	} {
		a := s.as(handMade(t, c.header, c.claims)).get("/v1/subscriptions")
		a.fails(401, "70003", "a token is refused: "+c.reason)
		if want := "the token is not valid: " + c.reason; !strings.Contains(a.body, want) {
			t.Errorf("%s %s was answered %s, want the reason %q", c.header, c.claims, a.body, c.reason)
		}
		if !strings.Contains(s.log.String(), "level=WARN msg=\"a token is refused although its signature is valid: "+c.reason) {
			t.Errorf("the log has no warning with the reason %q", c.reason)
		}
	}
	answers := make(map[string]bool)
	for _, forged := range []string{
		handMade(t, usual, `{}`) + "x", handMade(t, `{"alg":"HS512"}`, `{}`), handMade(t, `{"alg":"none"}`, `{}`), "..", "x",
		userSig("a guess", "alice", appID, now, 60), packed("TLS"), userSig(secret, "alice", appID, now, 60) + "_",
	} {
		answers[s.as(forged).get("/v1/subscriptions").body] = true
	}
	if len(answers) != 1 {
		t.Errorf("before the signature is verified, the answers differ: %v", answers)
	}
}

// handMade signs a header and claims that are given as text.
func handMade(t *testing.T, header, claims string) string {
	t.Helper()
	part := base64.RawURLEncoding.EncodeToString
	text := part([]byte(header)) + "." + part([]byte(claims))
	signature, err := jwt.SigningMethodHS256.Sign(text, []byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + part(signature)
}

// TestTokensOfClocksThatDiffer checks that an issuer's clock may be a minute ahead, in
// nbf as in iat.
func TestTokensOfClocksThatDiffer(t *testing.T) {
	at := time.Unix(1700000000, 0)
	tokens := &httpapi.Tokens{Secret: []byte(secret), SDKAppID: appID, Now: func() time.Time { return at }}
	in := func(name string, seconds int64) string {
		claims, _ := json.Marshal(map[string]any{"sub": "alice", "exp": at.Unix() + 600, name: at.Unix() + seconds})
		return handMade(t, `{"alg":"HS256"}`, string(claims))
	}
	for token, good := range map[string]bool{
		in("iat", 60): true, in("iat", 61): false, in("nbf", 60): true, in("nbf", 61): false, in("nbf", -60): true,
		userSig(secret, "alice", appID, at.Unix()+60, 600): true,
		userSig(secret, "alice", appID, at.Unix()+61, 600): false,
	} {
		if _, err := tokens.Verify(token); (err == nil) != good {
			t.Errorf("%s: %v, want it to be good: %v", token, err, good)
		}
	}
}

// TestATokenWithoutIatIsLoggedOnceAnHour checks that such a token is accepted until
// the first kick.
func TestATokenWithoutIatIsLoggedOnceAnHour(t *testing.T) {
	at := time.Now()
	s := newServer(t, func(o *options) { o.config.Tokens.Now = func() time.Time { return at } })
	without := s.as(handMade(t, `{"alg":"HS256"}`, fmt.Sprintf(`{"sub":"alice","exp":%d}`, at.Add(24*time.Hour).Unix())))
	warned := func(want int, why string) {
		t.Helper()
		for range 3 {
			without.get("/v1/subscriptions").is(`{"userList":[]}`, "a token without iat is accepted")
			s.user("bob").get("/v1/subscriptions").is(`{"userList":[]}`, "a token with iat is accepted")
		}
		if got := strings.Count(s.log.String(), "a token without iat is accepted"); got != want {
			t.Errorf("%s: %d warnings, want %d", why, got, want)
		}
	}
	warned(1, "at first")
	at = at.Add(time.Hour - time.Nanosecond)
	warned(1, "within the hour")
	at = at.Add(time.Nanosecond)
	warned(2, "an hour later")
}
