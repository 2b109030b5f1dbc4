package httpapi_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/presence-server/presence/presence"
)

// TestOneUserCantTouchAnother has mallory make each call, with alice's name wherever a name could be taken from.
func TestOneUserCantTouchAnother(t *testing.T) {
	s := newServer(t)
	s.register("alice", "bob", "carol", "mallory")
	s.admin().post("/v1/admin/addFriends", `{"userID":"alice","friendIDList":["carol"]}`)
	alice := s.user("alice")
	alice.post("/v1/subscribeUserStatus", `{"userIDList":["bob"]}`)
	alice.post("/v1/setSelfStatus", `{"customStatus":"mine"}`)
	stream := alice.stream("deviceID", "tab").ready()
	before := s.explained("alice")

	const body = `{"userID":"alice","userIDList":["bob","carol"],"friendIDList":["bob"],"deviceID":"tab","platform":"web",` +
		`"sub":"alice","identifier":"alice","customStatus":"forged","mutual":true}`
	query := "?" + url.Values{"userID": {"alice"}, "user": {"alice"}, "sub": {"alice"}, "deviceID": {"tab"}}.Encode()
	for _, route := range s.api.Routes() {
		method, path, _ := strings.Cut(route, " ")
		if strings.HasPrefix(path, "/v1/") && path != "/v1/events" {
			s.asMallory(method, path+query, body)
		}
	}
	mallory := s.user("mallory").stream("userID", "alice", "deviceID", "tab", "Last-Event-ID", "0")
	if e := mallory.next(); !strings.Contains(e.Data, `"userID":"mallory"`) {
		t.Errorf("mallory's stream begins with %s", e.Raw)
	}
	s.user("mallory").post("/v1/logout", `{"deviceID":"tab"}`)
	s.user("mallory").post("/v1/logout", ``)

	if after := s.explained("alice"); after != before {
		t.Errorf("mallory has changed alice from\n%s\nto\n%s", before, after)
	}
	alice.get("/v1/subscriptions").is(`{"userList":[`+status("bob", presence.Unlogined, "")+`]}`, "alice's subscriptions are hers")
	alice.post("/v1/setSelfStatus", `{"customStatus":"still here"}`)
	stream.is("USER_STATUS_UPDATED", `[`+status("alice", presence.Online, "still here")+`]`, "alice's stream goes on, and was told nothing")
}

// explained is all there is to say of a user, but for the time at which it is said.
func (s *server) explained(userID string) string {
	s.t.Helper()
	return regexp.MustCompile(`"now":"[^"]+"`).ReplaceAllString(s.admin().get("/v1/admin/explain?userID="+userID).body, "")
}

// asMallory makes a call with every sign that is no credential of this server saying alice.
func (s *server) asMallory(method, target, body string) {
	s.t.Helper()
	token := s.issue("mallory")
	s.remember(token)
	header := http.Header{
		"Authorization": {"Bearer " + token}, "Cookie": {"userID=alice; access_token=alice"}, "X-User": {"alice"}, "X-User-Id": {"alice"},
		"X-Forwarded-User": {"alice"}, "X-Remote-User": {"alice"}, "X-Forwarded-For": {"127.0.0.1"}, "X-Http-Method-Override": {"DELETE"},
	}
	if method == http.MethodGet || method == http.MethodHead {
		body = ""
	}
	request, err := http.NewRequestWithContext(s.t.Context(), method, s.http.URL+target, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header = header
	response, err := s.http.Client().Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	response.Body.Close()
	admin := strings.HasPrefix(target, "/v1/admin/")
	if admin != (response.StatusCode == http.StatusForbidden) {
		s.t.Errorf("%s %s of a user is answered %s", method, target, response.Status)
	}
}

// TestNobodyElseIsTold: who neither is a friend nor subscribes is told nothing, and
// what a query tells is the status and no more.
func TestNobodyElseIsTold(t *testing.T) {
	s := newServer(t)
	s.register("alice", "friend", "subscriber", "stranger")
	s.admin().post("/v1/admin/addFriends", `{"userID":"friend","friendIDList":["alice"],"mutual":false}`)
	s.user("subscriber").post("/v1/subscribeUserStatus", `{"userIDList":["alice"]}`)
	streams := make(map[string]*stream)
	for _, userID := range []string{"friend", "subscriber", "stranger"} {
		streams[userID] = s.user(userID).stream().ready()
	}
	s.user("alice").post("/v1/setSelfStatus", `{"customStatus":"for those who watch"}`)
	s.user("stranger").post("/v1/setSelfStatus", `{"customStatus":"my own"}`)
	streams["stranger"].is("USER_STATUS_UPDATED", `[`+status("stranger", presence.Online, "my own")+`]`, "a stranger is told of nobody")
	for _, userID := range []string{"friend", "subscriber"} {
		streams[userID].is("USER_STATUS_UPDATED", `[`+status("alice", presence.Unlogined, "for those who watch")+`]`, "who watches is told")
	}
	s.user("stranger").post("/v1/getUserStatus", `{"userIDList":["alice"]}`).
		is(fmt.Sprintf(`{"successUserList":[%s],"failureUserList":[]}`, status("alice", presence.Unlogined, "for those who watch")),
			"a query tells the status, and nothing of devices, friends or subscriptions")
}
