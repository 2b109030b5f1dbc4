package httpapi_test

import (
	"bytes"
	"compress/zlib"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
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

func signed(t testing.TB, method jwt.SigningMethod, key any, claims jwt.MapClaims) string {
	t.Helper()
	token, err := jwt.NewWithClaims(method, claims).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestJWT(t *testing.T) {
	s := newServer(t)
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	in := func(d time.Duration) int64 { return now.Add(d).Unix() }
	claims := func(change func(jwt.MapClaims)) jwt.MapClaims {
		c := jwt.MapClaims{"sub": "alice", "iat": now.Unix(), "exp": in(time.Hour)}
		change(c)
		return c
	}
	same := func(jwt.MapClaims) {}
	hs := func(change func(jwt.MapClaims)) string {
		return signed(t, jwt.SigningMethodHS256, []byte(secret), claims(change))
	}
	good := hs(same)
	for _, c := range []struct{ why, token, code string }{
		{"alg none", signed(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, claims(same)), "70003"},
		{"HS512", signed(t, jwt.SigningMethodHS512, []byte(secret), claims(same)), "70003"},
		{"RS256", signed(t, jwt.SigningMethodRS256, private, claims(same)), "70003"},
		{"another key", signed(t, jwt.SigningMethodHS256, []byte(secret+"!"), claims(same)), "70003"},
		{"an empty key", signed(t, jwt.SigningMethodHS256, []byte{}, claims(same)), "70003"},
		{"expired", hs(func(c jwt.MapClaims) { c["exp"] = in(-time.Second) }), "70001"},
		{"expired and of another key", signed(t, jwt.SigningMethodHS256, []byte("x"), claims(func(c jwt.MapClaims) { c["exp"] = 1 })), "70003"},
		{"not valid yet", hs(func(c jwt.MapClaims) { c["nbf"] = in(time.Hour) }), "70003"},
		{"no exp", hs(func(c jwt.MapClaims) { delete(c, "exp") }), "70003"},
		{"exp is text", hs(func(c jwt.MapClaims) { c["exp"] = "tomorrow" }), "70003"},
		{"no sub", hs(func(c jwt.MapClaims) { delete(c, "sub") }), "70003"},
		{"sub is a number", hs(func(c jwt.MapClaims) { c["sub"] = 1 }), "70003"},
		{"sub is not a userID", hs(func(c jwt.MapClaims) { c["sub"] = " alice" }), "70003"},
		{"sub is too long", hs(func(c jwt.MapClaims) { c["sub"] = strings.Repeat("a", 129) }), "70003"},
		{"iat is text", hs(func(c jwt.MapClaims) { c["iat"] = "now" }), "70003"},
		{"no signature", good[:strings.LastIndex(good, ".")+1], "70003"},
		{"another's claims", strings.Join([]string{strings.Split(good, ".")[0],
			strings.Split(hs(func(c jwt.MapClaims) { c["sub"] = "bob" }), ".")[1], strings.Split(good, ".")[2]}, "."), "70003"},
		{"dots", "..", "70003"},
		{"garbage", "garbage", "70003"},
	} {
		s.changesNothing(c.why, func() {
			a := s.as(c.token).get("/v1/subscriptions")
			a.fails(401, c.code, "a token is refused: "+c.why)
			a.has("WWW-Authenticate", "Bearer", "401 says how to authenticate")
		})
	}
	for why, token := range map[string]string{"good": good, "no iat": hs(func(c jwt.MapClaims) { delete(c, "iat") })} {
		s.as(token).get("/v1/subscriptions").is(`{"userList":[]}`, "a token is accepted: "+why)
	}
}

func TestATokenInTheQueryCountsForTheStreamOnly(t *testing.T) {
	s := newServer(t)
	token := s.issue("alice")
	s.remember(token)
	s.as("").stream("access_token", token).ready()
	s.as("").get("/v1/subscriptions?access_token="+url.QueryEscape(token)).
		fails(401, "70002", "a token in the query counts for the stream only")
	s.as("").get("/v1/admin/stats?access_token="+url.QueryEscape(adminKey)).fails(403, "70403", "the admin key never counts in the query")
}

func TestKickRevokesOldTokens(t *testing.T) {
	s := newServer(t)
	s.register("alice")
	old, endless := s.user("alice"), s.as(signed(t, jwt.SigningMethodHS256, []byte(secret),
		jwt.MapClaims{"sub": "alice", "exp": time.Now().Add(time.Hour).Unix()}))
	endless.get("/v1/subscriptions").is(`{"userList":[]}`, "before a kick, a JWT without iat is good")
	s.admin().post("/v1/admin/kick", `{"userID":"alice"}`)
	for why, c := range map[string]caller{"issued before": old, "without iat": endless} {
		a := c.get("/v1/subscriptions")
		a.fails(401, "70052", "after a kick, old tokens are revoked: "+why)
		a.has("WWW-Authenticate", "Bearer", "401 says how to authenticate")
		c.get("/v1/events").fails(401, "70052", "after a kick, old tokens open no stream: "+why)
	}
}

func TestATokenIssuedRightAfterAKickWorks(t *testing.T) {
	s := newServer(t)
	s.tokens.ServiceNow = s.svc.Now
	s.register("alice")
	for path, body := range map[string]string{
		"/v1/admin/kick": `{"userID":"alice"}`, "/v1/admin/deleteUsers": `{"userIDList":["alice"]}`,
		"/v1/admin/renameUser": `{"userID":"alice","to":"alicia"}`,
	} {
		s.admin().post(path, body)
		now := time.Now().Unix()
		for _, token := range []string{
			s.issue("alice"),
			signed(t, jwt.SigningMethodHS256, []byte(secret), jwt.MapClaims{"sub": "alice", "iat": now, "exp": now + 60}),
		} {
			if a := s.as(token).get("/v1/subscriptions"); a.status != 200 {
				t.Fatalf("%s: a token issued right after works, in whole seconds too, but was answered %d %s", path, a.status, a.body)
			}
		}
	}
}

// TestTokensGoByTheMachinesClock sets the machine's clock back by an hour while the
// service runs, whose own clock continues.
func TestTokensGoByTheMachinesClock(t *testing.T) {
	s := newServer(t)
	machine := time.Now().Add(-time.Hour)
	s.tokens.Now, s.tokens.ServiceNow = func() time.Time { return machine }, s.svc.Now
	s.register("alice")
	for _, at := range []time.Time{machine, s.svc.Now()} {
		token := signed(t, jwt.SigningMethodHS256, []byte(secret),
			jwt.MapClaims{"sub": "alice", "iat": at.Unix(), "exp": machine.Add(time.Minute).Unix()})
		s.as(token).get("/v1/subscriptions").is(`{"userList":[]}`, "a token is good for as long as the machine's clock says")
	}
	before := s.user("alice")
	s.admin().post("/v1/admin/kick", `{"userID":"alice"}`)
	before.get("/v1/subscriptions").fails(401, "70052", "a kick revokes what was issued before it, even if the clock was set")
	s.user("alice").get("/v1/subscriptions").is(`{"userList":[]}`, "a token issued right after a kick works")
}

// The test vector comes from the generator of the original service: key
// "test-secret-key", 86400 s from 1700000000.
const vector = "eJyrVgrxCdYrSy1SslIy0jNQ0gHzM1NS80oy0zLBwok5mcmpUInilOzEgoLMFCUrQxMDKIDIlGTmpipZGZqjiqZWFGQWpSpZWZiZwISKM9OVrJSyXHN9" +
	"Lcwtk-LNHf0Soyo889P0jbJNSgwL8y0cQ30tnAsrzbIKfTMtfDN8bZVqAXoGMDM_"

func TestUserSig(t *testing.T) {
	at := time.Unix(1700000000, 0)
	s := newServer(t, func(o *options) {
		o.config.Tokens.Secret, o.config.Tokens.Now = []byte("test-secret-key"), func() time.Time { return at }
	})
	sig := func(app, expire int64, identifier string) string {
		return userSig("test-secret-key", identifier, app, at.Unix(), expire)
	}
	for why, token := range map[string]string{"the original's": vector, "our own": sig(appID, 60, "alice")} {
		s.as(token).get("/v1/subscriptions").is(`{"userList":[]}`, "a UserSig is good: "+why)
	}
	for _, c := range []struct{ why, token, code string }{
		{"another SDKAppID", sig(appID+1, 60, "alice"), "70014"},
		{"a life of zero seconds", sig(appID, 0, "alice"), "70001"},
		{"another key", userSig("x", "alice", appID, at.Unix(), 60), "70003"},
		{"no userID", sig(appID, 60, " alice"), "70003"},
		{"no user", sig(appID, 60, ""), "70003"},
		{"an endless life", sig(appID, 1<<62, "alice"), "70003"},
		{"a negative life", sig(appID, -1, "alice"), "70003"},
		{"tampered", packed(strings.Replace(unpacked(t, vector), `"alice"`, `"bob"`, 1)), "70003"},
		{"an injected line", packed(strings.Replace(unpacked(t, vector), `"alice"`, `"alice\nTLS.sdkappid:1"`, 1)), "70003"},
		{"no JSON", packed("TLS"), "70003"},
		{"cut off", vector[:len(vector)-8], "70003"},
		{"bad base64", "!" + vector, "70003"},
		{"not deflated", base64.StdEncoding.EncodeToString([]byte("hello")), "70003"},
	} {
		s.as(c.token).get("/v1/subscriptions").fails(401, c.code, "a UserSig is refused: "+c.why)
	}
	s.send("GET", "/v1/subscriptions", http.Header{"Authorization": {"Bearer "}}, "").fails(401, "70002", "an empty token is not a token")
	at = at.Add(86399 * time.Second)
	s.as(vector).get("/v1/subscriptions").is(`{"userList":[]}`, "a UserSig is good until it expires")
	at = at.Add(time.Second)
	s.as(vector).get("/v1/subscriptions").fails(401, "70001", "a UserSig has expired")
}

// TestAUserSigThatInflates checks that a decompression bomb is refused before it is
// inflated.
func TestAUserSigThatInflates(t *testing.T) {
	tokens := &httpapi.Tokens{Secret: []byte(secret)}
	for _, size := range []int{2 << 20, 100 << 20} {
		bomb := packed(strings.Repeat(" ", size))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := tokens.Verify(bomb)
		runtime.ReadMemStats(&after)
		if presence.ErrorCode(err) != httpapi.CodeInvalidToken {
			t.Errorf("a UserSig that inflates to %d bytes: %v", size, err)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 256<<10 {
			t.Errorf("refusing a UserSig that inflates to %d bytes cost %d bytes", size, n)
		}
	}
}

// userSig creates a UserSig as the generator of the original service does.
func userSig(key, identifier string, app, at, expire int64) string {
	mac := hmac.New(sha256.New, []byte(key))
	fmt.Fprintf(mac, "TLS.identifier:%s\nTLS.sdkappid:%d\nTLS.time:%d\nTLS.expire:%d\n", identifier, app, at, expire)
	return packed(fmt.Sprintf(`{"TLS.ver":"2.0","TLS.identifier":%q,"TLS.sdkappid":%d,"TLS.expire":%d,"TLS.time":%d,"TLS.sig":%q}`,
		identifier, app, expire, at, base64.StdEncoding.EncodeToString(mac.Sum(nil))))
}

func packed(text string) string {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	z.Write([]byte(text))
	z.Close()
	return strings.NewReplacer("+", "*", "/", "-", "=", "_").Replace(base64.StdEncoding.EncodeToString(b.Bytes()))
}

func unpacked(t *testing.T, token string) string {
	t.Helper()
	deflated, err := base64.StdEncoding.DecodeString(strings.NewReplacer("*", "+", "-", "/", "_", "=").Replace(token))
	if err != nil {
		t.Fatal(err)
	}
	z, err := zlib.NewReader(bytes.NewReader(deflated))
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	text.ReadFrom(z)
	return text.String()
}
