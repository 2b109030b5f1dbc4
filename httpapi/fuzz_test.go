package httpapi

import (
	"encoding/json"
	"math"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/golang-jwt/jwt/v5"
	"github.com/presence-server/presence/presence"
)

const fuzzSecret = "a secret for tests, 32 bytes long"

// FuzzBody checks that the fields that a body yields are well-formed, or that the
// error is one of the client.
func FuzzBody(f *testing.F) {
	for _, text := range []string{``, `{}`, `null`, `{"s":"x","n":1,"l":["a","a","b"],"b":true,"u":"alice"}`, `{"s":"\ud800"}`,
		`{"l":[1]}`, `{"n":1.5}`, `{"n":31536001}`, `{"s":"x","s":"y"}`, `{} {}`, "{\"s\":\"\xff\"}", `{"l":null}`, `{"s":"","u":"a","l":[ "a,\"" ,"\u0062\\","]" ] }`, `[{"s":1}]`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		in := body(&response{ResponseWriter: httptest.NewRecorder()}, httptest.NewRequest("POST", "/", strings.NewReader(string(text))))
		s, n, l, u := in.text("s"), in.seconds("n"), in.someIDs("l", 2), in.userID("u")
		in.flag("b", true)
		if in.err != nil {
			if code := refusalOf(in.err).err.Code; code != presence.CodeMalformed && code != CodeIDCount {
				t.Errorf("the client receives %d for %q", code, text)
			}
			return
		}
		if !json.Valid(text) {
			t.Errorf("text that isn't JSON is accepted: %q", text)
		}
		var want struct {
			S string   `json:"s"`
			L []string `json:"l"`
		}
		if err := jsonv2.Unmarshal(text, &want); err != nil || s != want.S || !slices.Equal(l, want.L) {
			t.Errorf("%q is read as %q and %q, not %q and %q: %v", text, s, l, want.S, want.L, err)
		}
		distinct := len(slices.Compact(slices.Sorted(slices.Values(l))))
		if !utf8.ValidString(s) || presence.CheckID(u) != nil || n < 0 || n > 365*24*time.Hour || distinct > 2 {
			t.Errorf("malformed values are accepted: %q gives %q %d %q %q", text, s, n, l, u)
		}
	})
}

// FuzzUserSig checks that parsed times fit into Go's, and that nothing unsigned is
// accepted.
func FuzzUserSig(f *testing.F) {
	f.Add("eJyrVgrxCdYrSy1SslIy0jNQ0gHzM1NS80oy0zLBwok5mcmpUInilOzEgoLMFCUrQxMDKIDIlGTmpipZGZqjiqZWFGQWpSpZWZiZwISKM9OVrJSyXHN9" +
		"Lcwtk-LNHf0Soyo889P0jbJNSgwL8y0cQ30tnAsrzbIKfTMtfDN8bZVqAXoGMDM_")
	f.Add("")
	f.Add("eJw_")
	f.Fuzz(func(t *testing.T, token string) {
		sig, err := parseUserSig(token)
		if err == nil && (sig.Version != "2.0" || sig.Time < 0 || sig.Expire < 0 || sig.Time+sig.Expire > math.MaxInt32<<4) {
			t.Errorf("%q is accepted as %+v", token, sig)
		}
		tokens := &Tokens{Secret: []byte(fuzzSecret)}
		if c, err := tokens.verifyUserSig(tokens.load(), token); err == nil {
			t.Errorf("%q is not signed with the key, but accepted as %+v", token, c)
		}
	})
}

// FuzzVerify checks that, whatever claims are signed, a token is for a user and for a
// time that isn't over, or is refused with a code for tokens; and that everything
// unsigned is refused.
func FuzzVerify(f *testing.F) {
	for _, claims := range []string{`{"sub":"alice","exp":9999999999,"iat":1.5}`, `{"sub":"alice","exp":1e300}`, `{}`, `null`, `[]`,
		`{"sub":"alice","exp":9999999999,"iat":1e300}`, `{"sub":" ","exp":9999999999}`, `{"sub":"a","exp":9999999999,"nbf":-1e99}`} {
		f.Add(claims, "x.y.z")
	}
	f.Fuzz(func(t *testing.T, claims, other string) {
		now := time.Unix(1700000000, 0)
		tokens := &Tokens{Secret: []byte(fuzzSecret), Now: func() time.Time { return now }}
		text := segment(`{"alg":"HS256","typ":"JWT"}`) + "." + segment(claims)
		signature, err := jwt.SigningMethodHS256.Sign(text, tokens.Secret)
		if err != nil {
			t.Fatal(err)
		}
		c, err := tokens.Verify(text + "." + segment(string(signature)))
		if err == nil && (presence.CheckID(c.UserID) != nil || !c.ExpiresAt.After(now) || c.IssuedAt.IsZero()) {
			t.Errorf("%s is accepted as %+v", claims, c)
		}
		if _, unsigned := tokens.Verify(other); unsigned == nil {
			t.Errorf("%q is not signed, but accepted", other)
		}
		if err != nil && presence.ErrorCode(err) != CodeInvalidToken && presence.ErrorCode(err) != CodeExpired {
			t.Errorf("%s is refused with %v", claims, err)
		}
	})
}

func segment(text string) string { return (&jwt.Token{}).EncodeSegment([]byte(text)) }

// FuzzLastEventID checks that any value makes the device resume, at the number that
// the value is, or at a number that is never issued.
func FuzzLastEventID(f *testing.F) {
	for _, last := range []string{"0", "42", "-1", "9223372036854775807", "99999999999999999999", "x", " 1", "+1", "1e3", "\x00"} {
		f.Add(last)
	}
	f.Fuzz(func(t *testing.T, last string) {
		r := httptest.NewRequest("GET", "/v1/events", nil)
		r.Header.Set("Last-Event-ID", last)
		d := deviceOf(r, Credentials{UserID: "alice"})
		if d.Resume != (last != "") {
			t.Errorf("Last-Event-ID %q: resume is %v", last, d.Resume)
		}
		if d.Cursor > 0 && d.Cursor < math.MaxInt64 && strconv.FormatInt(d.Cursor, 10) != strings.TrimLeft(last, "+0") {
			t.Errorf("Last-Event-ID %q is read as %d", last, d.Cursor)
		}
	})
}
