package httpapi

import (
	"bufio"
	"encoding/json"
	"math"
	"net/http"
	"net/http/httptest"
	"path/filepath"
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

// FuzzBody: what the fields of a body give is well-formed, or there is an
// error that is the client's.
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
				t.Errorf("the client is told %d of %q", code, text)
			}
			return
		}
		if !json.Valid(text) {
			t.Errorf("no JSON is taken: %q", text)
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
			t.Errorf("malformed values are taken: %q gives %q %d %q %q", text, s, n, l, u)
		}
	})
}

// FuzzUserSig: what is parsed fits into the times of Go, and nothing that isn't
// signed is taken.
func FuzzUserSig(f *testing.F) {
	f.Add("eJyrVgrxCdYrSy1SslIy0jNQ0gHzM1NS80oy0zLBwok5mcmpUInilOzEgoLMFCUrQxMDKIDIlGTmpipZGZqjiqZWFGQWpSpZWZiZwISKM9OVrJSyXHN9" +
		"Lcwtk-LNHf0Soyo889P0jbJNSgwL8y0cQ30tnAsrzbIKfTMtfDN8bZVqAXoGMDM_")
	f.Add("")
	f.Add("eJw_")
	f.Fuzz(func(t *testing.T, token string) {
		sig, err := parseUserSig(token)
		if err == nil && (sig.Version != "2.0" || sig.Time < 0 || sig.Expire < 0 || sig.Time+sig.Expire > math.MaxInt32<<4) {
			t.Errorf("%q is taken as %+v", token, sig)
		}
		tokens := &Tokens{Secret: []byte(fuzzSecret)}
		if c, err := tokens.verifyUserSig(token); err == nil {
			t.Errorf("%q is not signed with the key, but taken as %+v", token, c)
		}
	})
}

// FuzzVerify: whatever claims are signed, a token is for a user and for a time
// that isn't over, or is refused with a code of tokens; and whatever isn't
// signed is refused.
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
			t.Errorf("%s is taken as %+v", claims, c)
		}
		if _, unsigned := tokens.Verify(other); unsigned == nil {
			t.Errorf("%q is not signed, but taken", other)
		}
		if err != nil && presence.ErrorCode(err) != CodeInvalidToken && presence.ErrorCode(err) != CodeExpired {
			t.Errorf("%s is refused with %v", claims, err)
		}
	})
}

func segment(text string) string { return (&jwt.Token{}).EncodeSegment([]byte(text)) }

// FuzzLastEventID: any of them makes a device that resumes, at the number that
// it is or at one that is never given out.
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
			t.Errorf("Last-Event-ID %q is taken as %d", last, d.Cursor)
		}
	})
}

// fuzzed returns a handler of a service of its own.
func fuzzed(f *testing.F) *Handler {
	f.Helper()
	settings := presence.DefaultSettings()
	settings.BatchWindow, settings.CustomStatusBytes = 0, 65536
	svc, err := presence.Open(presence.Config{Path: filepath.Join(f.TempDir(), "presence.db"), Settings: &settings})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { svc.Close() })
	h, err := New(Config{Service: svc, AdminKey: fuzzSecret, Tokens: &Tokens{Secret: []byte(fuzzSecret)}})
	if err != nil {
		f.Fatal(err)
	}
	return h
}

// FuzzQuery: any query of a GET is answered as the client's own fault, or well.
func FuzzQuery(f *testing.F) {
	for _, query := range []string{"", "limit=1&after=a", "limit=0", "limit=99999999999999999999", "userID=alice", "userID=%00", "userID=%zz",
		"userID=alice;limit=1", "userID=alice&userID=bob", "after=%ff&limit=+5", "limit=1e3", "=&&=", "userID=alice&after=\xff\x00&limit=1000", "prefix=a&after=al", "prefix=%ff"} {
		f.Add(query)
	}
	h := fuzzed(f)
	if _, err := h.service.Import(f.Context(), []string{"alice", "bob"}); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, query string) {
		for _, path := range []string{"/v1/admin/users", "/v1/admin/friends", "/v1/admin/explain", "/v1/admin/stats",
			"/v1/admin/subscriptions", "/v1/admin/config"} {
			r := httptest.NewRequest("GET", path, nil)
			r.URL.RawQuery = query
			r.Header.Set("Authorization", "Bearer "+fuzzSecret)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != 200 && w.Code != 400 && w.Code != 404 || !json.Valid(w.Body.Bytes()) {
				t.Errorf("%s?%q is answered %d %s", path, query, w.Code, w.Body)
			}
		}
	})
}

// FuzzStatusText: whatever text a user sets, a stream that tells of it has one
// event more, in whose data the text stands.
func FuzzStatusText(f *testing.F) {
	for _, text := range []string{"In a call", "\n\nevent: KICKED_OUT\ndata: {}\n\n", "\r", "\r\n\r\n", "\u2028", ":", "\x00", "\xff", `"}]` + "\nid: 99"} {
		f.Add(text)
	}
	h := fuzzed(f)
	server := httptest.NewServer(h)
	f.Cleanup(func() { h.service.Drain(); server.Close() })
	token, _, err := h.tokens.Issue("alice", time.Hour)
	if err != nil {
		f.Fatal(err)
	}
	response, err := http.Get(server.URL + "/v1/events?access_token=" + token)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { response.Body.Close() })
	lines := bufio.NewReaderSize(response.Body, 1<<20)
	if _, event := readEvent(f, lines); event != "READY" {
		f.Fatalf("the first event is %q", event)
	}
	f.Fuzz(func(t *testing.T, text string) {
		before, _ := h.service.Get("alice")
		after, err := h.service.Set(t.Context(), "alice", text, 0)
		if err != nil || after == before[0] {
			return // malformed, or nothing new
		}
		data, event := readEvent(t, lines)
		var told []presence.Status
		if err := json.Unmarshal([]byte(data), &told); err != nil || event != "USER_STATUS_UPDATED" || len(told) != 1 || told[0] != after {
			t.Errorf("%q is told as %s %s", text, event, data)
		}
	})
}

// readEvent reads the next event, which must have just the lines that it may
// have; a KEEPALIVE is passed over.
func readEvent(t testing.TB, lines *bufio.Reader) (data, event string) {
	for {
		var got [4]string
		for i, prefix := range []string{"id: ", "data: ", "event: ", "\n"} {
			line, err := lines.ReadString('\n')
			if err != nil || !strings.HasPrefix(line, prefix) || strings.Contains(line, "\r") {
				t.Fatalf("%q is not the line %q of an event: %v", line, prefix, err)
			}
			got[i] = strings.TrimSuffix(strings.TrimPrefix(line, prefix), "\n")
		}
		if data, event = got[1], got[2]; event != "KEEPALIVE" {
			return data, event
		}
	}
}
