package httpapi_test

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/presence-server/presence/presence"
)

const mebibyte = 1 << 20

// malformed are bodies that every call refuses.
var malformed = map[string]string{
	"no JSON":                     `{`,
	"white space":                 "  \n",
	"null":                        `null`,
	"a list":                      `[]`,
	"a string":                    `"customStatus"`,
	"a second value":              `{"customStatus":"x","userID":"alice","userIDList":["alice"],"friendIDList":["bob"]} {}`,
	"a second value that is null": `{"customStatus":"x","userID":"alice","userIDList":["alice"],"friendIDList":["bob"]}x`,
	"invalid UTF-8":               "{\"customStatus\":\"\xff\",\"userID\":\"alice\",\"userIDList\":[\"\xff\"]}",
	"invalid UTF-8 in a key":      "{\"\xff\":1,\"customStatus\":\"x\",\"userID\":\"alice\",\"userIDList\":[\"alice\"]}",
	"a lone surrogate":            `{"customStatus":"\ud800","userID":"\ud800","userIDList":["\ud800"]}`,
	"surrogates the wrong way":    `{"customStatus":"\udc00\ud800","userID":"alice","userIDList":["\udc00\ud800"]}`,
	"a key that is there twice":   `{"customStatus":"x","customStatus":"x","userID":"alice","userIDList":["alice"],"userIDList":["bob"]}`,
	"an unknown key there twice":  `{"x":1,"x":1,"customStatus":"x","userID":"alice","userIDList":["alice"]}`,
	"a trailing comma":            `{"customStatus":"x","userID":"alice","userIDList":["alice"],}`,
	"an unknown key with no JSON": `{"customStatus":"x","userID":"alice","userIDList":["alice"],"x":tru}`,
}

// posts are all calls with a body, and who makes them.
var posts = map[string]string{
	"/v1/setSelfStatus": "alice", "/v1/getUserStatus": "alice", "/v1/subscribeUserStatus": "alice",
	"/v1/unsubscribeUserStatus": "alice", "/v1/setIdle": "alice", "/v1/setVisibility": "alice", "/v1/logout": "alice",
	"/v1/admin/importUsers": "admin", "/v1/admin/deleteUsers": "admin", "/v1/admin/addFriends": "admin",
	"/v1/admin/removeFriends": "admin", "/v1/admin/setFriends": "admin", "/v1/admin/logout": "admin", "/v1/admin/getUserStatus": "admin", "/v1/admin/setUserStatus": "admin",
	"/v1/admin/kick": "admin", "/v1/admin/renameUser": "admin", "/v1/admin/issueToken": "admin", "/v1/dev/token": "",
}

func (s *server) whose(name string) caller {
	switch name {
	case "admin":
		return s.admin()
	case "":
		return s.as("")
	}
	return s.user(name)
}

// changesNothing fails unless the version, the users, the subscriptions, and what is stored
// about alice stay as they are.
func (s *server) changesNothing(why string, do func()) {
	s.t.Helper()
	before, self := s.state()
	do()
	if after, selfAfter := s.state(); after != before || !reflect.DeepEqual(selfAfter, self) {
		s.t.Errorf("%s must change nothing, but changed %+v to %+v, and %+v to %+v", why, before, after, self, selfAfter)
	}
}

// state returns the numbers of the server, and what is stored about alice, who may be unknown.
func (s *server) state() (presence.Stats, presence.Self) {
	stats, _ := s.svc.Stats(s.t.Context())
	self, _ := s.svc.Self("alice")
	return stats, self
}

func TestMalformedBodies(t *testing.T) {
	s := newServer(t, func(o *options) { o.config.Dev = true })
	s.register("alice", "bob")
	for path, name := range posts {
		for what, body := range malformed {
			s.changesNothing(what, func() {
				s.whose(name).post(path, body).fails(400, "70402", what+" is malformed")
			})
		}
	}
}

func TestWrongTypes(t *testing.T) {
	s := newServer(t)
	s.register("alice", "bob")
	text := []string{`1`, `1.5`, `true`, `null`, `[]`, `["x"]`, `{}`}
	list := []string{`1`, `"bob"`, `{}`, `true`, `[1]`, `["bob",null]`, `["bob",["bob"]]`, `[{"userID":"bob"}]`}
	seconds := []string{`0`, `-1`, `-0`, `31536001`, `1.5`, `3600.5`, `1e-1`, `1e8`, `1e999999999`, `1e-999999999`, `1e99999999999999999999`, `0e99999999999999999999`,
		`3600.0000000000000000000000001`, `-3.6e3`, `"1"`, `null`, `true`, `[1]`, `99999999999999999999`}
	id := append([]string{`""`, `" a"`, `"a "`, `"a\u0000"`, `"\u2003a"`, `"` + strings.Repeat("a", 129) + `"`}, text...)
	day := time.Now().Add(72 * time.Hour).UTC().Format(time.DateOnly)
	for _, c := range []struct {
		path, body string
		bad        []string
	}{
		{"/v1/setSelfStatus", `{"customStatus":%s}`, text},
		{"/v1/setSelfStatus", `{"customStatus":"x","expiresIn":%s}`, seconds},
		{"/v1/setSelfStatus", `{"customStatus":"x","expiresAt":%s}`, append([]string{`""`, `"tomorrow"`, `"2026-11-23"`, `"2026-11-23T15:00:00"`,
			`"2099-01-01T00:00:00Z"`, `"2020-01-01T00:00:00Z"`, `"1970-01-01T00:00:00Z"`, `"0001-01-01T00:00:00Z"`, `"2026-13-01T00:00:00Z"`,
			`"` + day + `T15:04:05+24:00"`, `"` + day + `T15:04:05-24:00"`, `"` + day + `T15:04:05+01:60"`,
			`"` + day + `T1:04:05Z"`, `"` + day + `T15:04:05,5Z"`, `"` + day + ` 15:04:05Z"`,
			`"` + time.Now().Add(366*24*time.Hour).Format(time.RFC3339) + `"`}, text...)},
		{"/v1/setSelfStatus", `{"customStatus":"x","expiresIn":60,"expiresAt":%s}`, []string{`"` + time.Now().Add(time.Minute).Format(time.RFC3339) + `"`, `null`}},
		{"/v1/setSelfStatus", `{%s}`, []string{``, `"expiresIn":1`, `"CustomStatus":"x"`}},
		{"/v1/getUserStatus", `{"userIDList":%s}`, list},
		{"/v1/subscribeUserStatus", `{"userIDList":%s}`, list},
		{"/v1/unsubscribeUserStatus", `{"userIDList":%s}`, list},
		{"/v1/logout", `{"deviceID":%s}`, id},
		{"/v1/admin/importUsers", `{"userIDList":%s}`, list},
		{"/v1/admin/deleteUsers", `{"userIDList":%s}`, list},
		{"/v1/admin/getUserStatus", `{"userIDList":%s}`, list},
		{"/v1/admin/addFriends", `{"userID":"alice","friendIDList":%s}`, list},
		{"/v1/admin/addFriends", `{"userID":%s,"friendIDList":["bob"]}`, id},
		{"/v1/admin/addFriends", `{"userID":"alice","friendIDList":["bob"],"mutual":%s}`, []string{`null`, `0`, `"true"`, `[]`}},
		{"/v1/admin/removeFriends", `{"userID":"alice","friendIDList":["bob"],"mutual":%s}`, []string{`null`, `1`}},
		{"/v1/admin/setFriends", `{"userID":%s,"friendIDList":["bob"]}`, id},
		{"/v1/admin/setFriends", `{"userID":"alice","friendIDList":%s}`, append([]string{`null`}, list...)},
		{"/v1/admin/setFriends", `{"userID":"alice","friendIDList":[],"mutual":%s}`, []string{`null`, `1`}},
		{"/v1/admin/logout", `{"userID":%s}`, id},
		{"/v1/admin/logout", `{"userID":"alice","deviceID":%s}`, id},
		{"/v1/admin/setUserStatus", `{"userID":%s,"customStatus":"x"}`, id},
		{"/v1/admin/setUserStatus", `{"userID":"alice","customStatus":"x","expiresIn":%s}`, seconds},
		{"/v1/admin/kick", `{"userID":%s}`, id},
		{"/v1/admin/renameUser", `{"userID":%s,"to":"alicia"}`, id},
		{"/v1/admin/renameUser", `{"userID":"alice","to":%s}`, append([]string{`"alice"`, `"bob"`}, id...)},
		{"/v1/admin/issueToken", `{"userID":%s}`, id},
		{"/v1/admin/issueToken", `{"userID":"alice","expiresIn":%s}`, seconds},
	} {
		for _, bad := range c.bad {
			s.changesNothing("bad input", func() {
				s.whose(posts[c.path]).post(c.path, fmt.Sprintf(c.body, bad)).fails(400, "70402", "a wrong type or value is an error")
			})
		}
	}
}

func TestNoIDs(t *testing.T) {
	s := newServer(t)
	s.register("alice")
	for _, path := range []string{"/v1/getUserStatus", "/v1/subscribeUserStatus", "/v1/admin/importUsers",
		"/v1/admin/deleteUsers", "/v1/admin/getUserStatus"} {
		for _, body := range []string{``, `{}`, `{"userIDList":[]}`, `{"userIDList":null}`} {
			s.changesNothing("no IDs", func() {
				s.whose(posts[path]).post(path, body).fails(400, "70206", "no IDs are an error")
			})
		}
	}
}

func TestEdgesOfGoodInput(t *testing.T) {
	s := newServer(t, func(o *options) { o.settings.CustomStatusBytes = 65536 })
	s.register("alice")
	alice := s.user("alice")
	for _, body := range []string{
		`{"customStatus":"x","expiresIn":1}`, `{"customStatus":"x","expiresIn":31536000}`,
		`{"customStatus":"x","expiresIn":3600.0}`, `{"customStatus":"x","expiresIn":3.6e3}`, `{"customStatus":"x","expiresIn":36E+2}`,
		`{"customStatus":"x","expiresIn":36000000000000000000000000e-22}`, `{"customStatus":"x","expiresIn":0.00036e7}`,
		`{"customStatus":"x","unknown":{"deep":[null,1.5]}}`,
		`{"customStatus":"\u0000\r\n\u2028\ud83d\ude00"}`,
		`{"customStatus":"` + strings.Repeat("x", 65536) + `"}`,
	} {
		if a := alice.post("/v1/setSelfStatus", body); a.status != 200 {
			t.Errorf("%.80s is good, but answers %d %.200s", body, a.status, a.body)
		}
	}
	s.changesNothing("a text that is too long", func() {
		alice.post("/v1/setSelfStatus", `{"customStatus":"`+strings.Repeat("x", 65537)+`"}`).
			fails(400, "70402", "at most custom_status_bytes")
		alice.post("/v1/setSelfStatus", `{"customStatus":"`+strings.Repeat("é", 32769)+`"}`).
			fails(400, "70402", "custom_status_bytes counts bytes, not letters")
	})
	long := strings.Repeat("ü", 64)
	s.admin().post("/v1/admin/importUsers", `{"userIDList":["`+long+`"]}`).is(`{"failureUserList":[]}`, "an ID may have 128 bytes")
	alice.post("/v1/logout", `{"deviceID":"`+long+`"}`).is(`{}`, "an ID may have 128 bytes")
}

func TestBodySize(t *testing.T) {
	s := newServer(t)
	s.register("alice")
	const frame = `{"customStatus":"x","y":""}`
	s.user("alice").post("/v1/setSelfStatus", strings.Replace(frame, `""`, `"`+strings.Repeat("y", mebibyte-len(frame))+`"`, 1)).
		is(status("alice", presence.Unlogined, "x"), "a body may have 1 MiB")
	for _, size := range []int{mebibyte + 1, 3 * mebibyte} {
		s.changesNothing("a body over 1 MiB", func() {
			s.user("alice").post("/v1/setSelfStatus", strings.Replace(frame, `""`, `"`+strings.Repeat("y", size-len(frame))+`"`, 1)).
				fails(413, "70402", "a body has at most 1 MiB")
		})
	}
}

func TestBadQueries(t *testing.T) {
	s := newServer(t)
	s.register("alice")
	for _, query := range []string{"platform=toaster", "platform=WEB", "deviceID=%20a", "deviceID=%FF", "deviceID=%00",
		"deviceID=" + strings.Repeat("a", 129)} {
		s.changesNothing(query, func() {
			s.user("alice").get("/v1/events?"+query).fails(400, "70402", "an unknown platform or malformed ID is malformed")
		})
	}
	for _, path := range []string{"users?limit=0", "users?limit=1001", "users?limit=x", "users?limit=-1", "users?limit=%2B5", "users?limit=5.0",
		"users?limit=1e1", "users?limit=", "users?limit=%205", "users?limit=5&limit=6", "users?limit=99999999999999999999", "users?limti=5",
		"users?prefix=a&prefix=b", "users?Prefix=a", "users?after=a&after=b", "friends?userID=alice&userID=bob", "friends?userid=alice", "explain?userID=alice&x", "stats?x=1", "config?x=1",
		"subscriptions", "subscriptions?userID=", "subscriptions?userID=alice&limit=1", "subscriptions?userID=alice&userID=bob",
		"friends",
		"friends?userID=%20", "friends?userID=alice&limit=0", "explain", "explain?userID="} {
		s.admin().get("/v1/admin/"+path).fails(400, "70402", "a malformed query is malformed")
	}
	for _, path := range []string{"friends?userID=nobody", "explain?userID=nobody", "subscriptions?userID=nobody"} {
		s.admin().get("/v1/admin/"+path).fails(404, "70107", "no such user")
	}
	for path, body := range map[string]string{
		"kick": `{"userID":"nobody"}`, "setUserStatus": `{"userID":"nobody","customStatus":"x"}`,
		"addFriends":    `{"userID":"nobody","friendIDList":["alice"]}`,
		"removeFriends": `{"userID":"nobody","friendIDList":["alice"]}`,
		"setFriends":    `{"userID":"nobody","friendIDList":["alice"]}`,
		"logout":        `{"userID":"nobody","deviceID":"tab"}`,
		"renameUser":    `{"userID":"nobody","to":"alicia"}`,
	} {
		s.changesNothing(path, func() { s.admin().post("/v1/admin/"+path, body).fails(404, "70107", "no such user") })
	}
}

func TestPathsAndMethods(t *testing.T) {
	s := newServer(t)
	for _, path := range []string{"/", "/v1", "/v1/", "/v1/nothing", "/v1/events/", "/v1/dev/token", "/sdk", "/sdk/", "/sdk/demo",
		"/sdk/nothing.js", "/sdk/sdk.go", "/admin/nothing.js", "/admin/sub/", "/administrator", "/v1/getuserstatus"} {
		s.call("GET", path, "", "").fails(404, "70402", "an unknown path is answered in JSON")
	}
	for _, c := range []struct{ method, path, allow string }{
		{"GET", "/v1/setSelfStatus", "POST"}, {"PUT", "/v1/setSelfStatus", "POST"}, {"POST", "/v1/events", "GET"},
		{"DELETE", "/v1/subscriptions", "GET, HEAD"}, {"POST", "/sdk/presence.js", "GET, HEAD"}, {"OPTIONS", "/v1/logout", "POST"},
		{"POST", "/livez", "GET, HEAD"}, {"POST", "/admin/", "GET, HEAD"}, {"GET", "/v1/admin/kick", "POST"},
	} {
		a := s.call(c.method, c.path, adminKey, "")
		a.fails(405, "70402", "a wrong method is answered in JSON")
		a.has("Allow", c.allow, "405 says what is allowed")
	}
	head := s.call("HEAD", "/v1/events", s.issue("alice"), "")
	if head.status != http.StatusMethodNotAllowed || head.header.Get("Allow") != "GET" {
		t.Errorf("HEAD /v1/events would log in, but answers %d", head.status)
	}
	for _, path := range []string{"/livez", "/readyz", "/openapi.yaml", "/sdk/presence.js"} {
		if a := s.call("HEAD", path, "", ""); a.status != 200 {
			t.Errorf("HEAD %s answers %d, GET 200", path, a.status)
		}
	}
}
