package httpapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

// changeLines returns the lines about changes that were logged at level info.
func changeLines(t *testing.T, log *logBuffer) (lines []map[string]any) {
	t.Helper()
	for line := range strings.Lines(log.String()) {
		var one map[string]any
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if one["msg"] == "changed through the server API" && one["level"] == "INFO" {
			lines = append(lines, one)
		}
	}
	return lines
}

func jsonLog(log *logBuffer) func(*options) {
	return func(o *options) {
		o.config.Logger = slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelInfo}))
	}
}

// TestChangesBehindAProxyNameTheClient checks that the log has the whole address that a trusted proxy
// reports, and the peer's if there is none to trust.
func TestChangesBehindAProxyNameTheClient(t *testing.T) {
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	for _, c := range []struct {
		trusted         []netip.Prefix
		forwarded, want string // want is what the peer begins with
	}{
		{loopback, "203.0.113.9, 198.51.100.1", "198.51.100.1"},
		{loopback, "2001:db8:1:2:3:4:5:6", "2001:db8:1:2:3:4:5:6"},
		{loopback, "unknown", "127.0.0.1:"},
		{nil, "198.51.100.1", "127.0.0.1:"},
	} {
		log := new(logBuffer)
		s := newServer(t, jsonLog(log), func(o *options) { o.config.TrustedProxies = c.trusted })
		s.send("POST", "/v1/admin/importUsers", http.Header{
			"Authorization": {"Bearer " + adminKey}, "Content-Type": {"application/json"}, "X-Forwarded-For": {c.forwarded},
		}, `{"userIDList":["alice"]}`)
		lines := changeLines(t, log)
		if len(lines) != 1 || !strings.HasPrefix(fmt.Sprint(lines[0]["peer"]), c.want) {
			t.Errorf("with X-Forwarded-For %q from a proxy in %v, the log is %v, want the peer %s", c.forwarded, c.trusted, lines, c.want)
		}
	}
}

// TestChangesOfAdminsAreLogged checks that a line has the change, the users, the
// request ID and the peer.
func TestChangesOfAdminsAreLogged(t *testing.T) {
	log := new(logBuffer)
	s := newServer(t, jsonLog(log))
	var all []string
	for i := range 1000 {
		all = append(all, fmt.Sprintf(`"u%04d"`, i))
	}
	const first = `u0000 u0001 u0002 u0003 u0004 u0005 u0006 u0007 u0008 u0009`
	for _, c := range []struct{ call, body, want string }{
		{"importUsers", `{"userIDList":["alice","bob","bob","carol"," bad"]}`, `users=3 userIDs=[alice bob carol]`},
		{"importUsers", `{"userIDList":[` + strings.Join(all, ",") + `]}`, `users=1000 userIDs=[` + first + `]`},
		{"addFriends", `{"userID":"alice","friendIDList":["bob","nobody","alice"]}`, `user=alice mutual=true friends=1 friendIDs=[bob]`},
		{"removeFriends", `{"userID":"alice","friendIDList":["bob","carol"],"mutual":false}`,
			`user=alice mutual=false friends=2 friendIDs=[bob carol]`},
		{"addFriends", `{"list":[{"userID":"alice","friendIDList":["bob","nobody","bob"]},{"userID":"nobody","friendIDList":["bob"]},` +
			`{"userID":"carol","friendIDList":["bob","alice"],"mutual":false}]}`, `pairs=3 users=2 userIDs=[alice carol]`},
		{"setFriends", `{"userID":"alice","friendIDList":["carol","nobody"]}`, `user=alice mutual=true friends=1 friendIDs=[carol]`},
		{"setFriends", `{"userID":"alice","friendIDList":[],"mutual":false}`, `user=alice mutual=false friends=0 friendIDs=[]`},
		{"logout", `{"userID":"alice","deviceID":"tab"}`, `user=alice device=tab`},
		{"logout", `{"userID":"alice"}`, `user=alice device=`},
		{"setUserStatus", `{"userID":"alice","customStatus":"between us"}`, `user=alice`},
		{"issueToken", `{"userID":"alice","expiresIn":3600}`, `user=alice`},
		{"kick", `{"userID":"alice"}`, `user=alice`},
		{"renameUser", `{"userID":"alice","to":"alicia"}`, `user=alice to=alicia`},
		{"deleteUsers", `{"userIDList":["nobody","carol"]}`, `users=1 userIDs=[carol]`},
	} {
		before := len(changeLines(t, log))
		a := s.admin().post("/v1/admin/"+c.call, c.body)
		lines := changeLines(t, log)[before:]
		if a.status != 200 || len(lines) != 1 {
			t.Errorf("%s was answered %d and logged in %d lines: %v", a.call, a.status, len(lines), lines)
			continue
		}
		line := lines[0]
		if line["call"] != c.call || line["request"] != a.header.Get("X-Request-ID") || !strings.HasPrefix(fmt.Sprint(line["peer"]), "127.0.0.1:") {
			t.Errorf("the line about request %s of %s is %v", a.header.Get("X-Request-ID"), c.call, line)
		}
		for _, pair := range splitPairs(c.want) {
			if name, value, _ := strings.Cut(pair, "="); fmt.Sprint(line[name]) != value {
				t.Errorf("the line about %s has %s %v, want %s", c.call, name, line[name], value)
			}
		}
	}
	if strings.Contains(log.String(), "between us") {
		t.Errorf("a status text is in the log:\n%s", log)
	}
}

// splitPairs splits "a=1 b=[x y]" at the spaces before a name.
func splitPairs(text string) (pairs []string) {
	for word := range strings.FieldsSeq(text) {
		if strings.Contains(word, "=") {
			pairs = append(pairs, word)
		} else {
			pairs[len(pairs)-1] += " " + word
		}
	}
	return pairs
}

// TestCallsThatChangeNothingAreNotLogged covers queries, failures, and lists of which
// every entry fails.
func TestCallsThatChangeNothingAreNotLogged(t *testing.T) {
	log := new(logBuffer)
	s := newServer(t, jsonLog(log))
	s.register("alice", "bob")
	for _, path := range []string{"users", "friends?userID=alice", "explain?userID=alice", "stats", "subscriptions?userID=alice", "config"} {
		s.admin().get("/v1/admin/" + path)
	}
	for call, body := range map[string]string{
		"getUserStatus": `{"userIDList":["alice"]}`, "importUsers": `{"userIDList":[" bad"]}`, "deleteUsers": `{"userIDList":["nobody"]}`,
		"addFriends": `{"userID":"alice","friendIDList":["nobody"]}`, "removeFriends": `{"userID":"nobody","friendIDList":["bob"]}`,
		"setUserStatus": `{"userID":"nobody","customStatus":"x"}`, "kick": `{"userID":"nobody"}`, "issueToken": `{"userID":" bad"}`,
		"setFriends": `{"userID":"nobody","friendIDList":[]}`, "logout": `{"userID":"nobody"}`,
		"renameUser": `{"userID":"alice","to":"bob"}`,
	} {
		s.admin().post("/v1/admin/"+call, body)
		s.user("alice").post("/v1/admin/"+call, body).fails(403, "70403", "a user is not an admin")
	}
	s.admin().post("/v1/admin/addFriends", `{"list":[{"userID":"nobody","friendIDList":["bob"]}]}`)
	s.user("alice").post("/v1/setSelfStatus", `{"customStatus":"x"}`)
	if lines := changeLines(t, log); len(lines) > 0 {
		t.Errorf("no admin changed anything, but the log has %v", lines)
	}
}

// TestAnAdminWhoDisconnectsIsLogged checks that the change is made, and therefore
// logged.
func TestAnAdminWhoDisconnectsIsLogged(t *testing.T) {
	log := new(logBuffer)
	s := newServer(t, jsonLog(log))
	s.register("alice")
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for call, body := range map[string]string{"setUserStatus": `{"userID":"alice","customStatus":"x"}`, "kick": `{"userID":"alice"}`} {
		request := httptest.NewRequestWithContext(gone, http.MethodPost, "/v1/admin/"+call, strings.NewReader(body))
		request.Header.Set("Authorization", "Bearer "+adminKey)
		s.api.ServeHTTP(httptest.NewRecorder(), request)
	}
	if lines := changeLines(t, log); len(lines) != 2 {
		t.Errorf("two changes of a client that disconnects are logged in %d lines: %v", len(lines), lines)
	}
	status, _ := s.svc.Get("alice")
	if status[0].CustomStatus != "x" {
		t.Errorf("the change is logged, but has not happened: %+v", status[0])
	}
}

// TestTheServerAPIRejectsUnknownMembers checks this because a member that restricts a
// call in a newer version must not be ignored.
func TestTheServerAPIRejectsUnknownMembers(t *testing.T) {
	s := newServer(t)
	s.register("alice", "bob")
	bodies := map[string]string{
		"importUsers": `"userIDList":["new"]`, "deleteUsers": `"userIDList":["alice"]`, "getUserStatus": `"userIDList":["alice"]`,
		"addFriends": `"userID":"alice","friendIDList":["bob"]`, "removeFriends": `"userID":"alice","friendIDList":["bob"]`,
		"setUserStatus": `"userID":"alice","customStatus":"x"`, "kick": `"userID":"alice"`, "renameUser": `"userID":"alice","to":"alicia"`, "issueToken": `"userID":"alice"`,
		"setFriends": `"userID":"alice","friendIDList":["bob"]`, "logout": `"userID":"alice"`,
	}
	for _, route := range s.api.Routes() {
		method, path, _ := strings.Cut(route, " ")
		call, ok := strings.CutPrefix(path, "/v1/admin/")
		if !ok || method != http.MethodPost {
			continue
		}
		if bodies[call] == "" {
			t.Errorf("no test of %s", route)
		}
		for member, shown := range map[string]string{
			`"device":"x"`: `unknown member \"device\"`, `"UserID":"x"`: `unknown member \"UserID\"`, `"device":null`: `unknown member \"device\"`,
			`"":1`: `"unknown member"`, `"eyJhbGciOiJIUzI1NiJ9.x":1`: `"unknown member"`, `"` + strings.Repeat("a", 5000) + `":1`: `"unknown member"`,
		} {
			s.changesNothing(member, func() {
				a := s.admin().post(path, `{`+bodies[call]+`,`+member+`}`)
				a.fails(400, "70402", "the server API rejects unknown members")
				if !strings.Contains(a.body, shown) {
					t.Errorf("%s with %.40s was answered %.200s, want %s", call, member, a.body, shown)
				}
			})
		}
		s.changesNothing("an unknown parameter", func() {
			s.admin().post(path+"?deviceID=x", `{`+bodies[call]+`}`).fails(400, "70402", "the server API rejects unknown parameters")
		})
		if a := s.admin().post(path, `{`+bodies[call]+`}`); a.status != 200 {
			t.Errorf("%s without unknown members was answered %d %s", call, a.status, a.body)
		}
		s.register("alice", "bob")
	}
}

// TestUserCallsIgnoreUnknownMembers checks this so that an older server works with a
// newer client.
func TestUserCallsIgnoreUnknownMembers(t *testing.T) {
	s := newServer(t)
	s.register("alice", "bob")
	for call, body := range userCalls {
		if path, ok := strings.CutPrefix(call, "POST "); ok {
			with := strings.Replace(strings.Replace(body, "{", `{"new":1,`, 1), ",}", "}", 1)
			if a := s.user("alice").post(path+"?new=1", with); a.status != 200 {
				t.Errorf("%s %s was answered %d %s", path, with, a.status, a.body)
			}
		}
	}
}
