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

// TestOneUserCantTouchAnother makes each call as mallory, with alice's ID everywhere
// an ID could be taken from.
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
		t.Errorf("mallory changed alice from\n%s\nto\n%s", before, after)
	}
	alice.get("/v1/subscriptions").is(`{"userList":[`+status("bob", presence.Unlogined, "")+`]}`, "alice's subscriptions are hers")
	alice.post("/v1/setSelfStatus", `{"customStatus":"still here"}`)
	stream.is("USER_STATUS_UPDATED", `[`+status("alice", presence.Online, "still here")+`]`, "alice's stream continues, and has received nothing")
}

// explained is the whole explanation of a user, without the time at which it was made.
func (s *server) explained(userID string) string {
	s.t.Helper()
	return regexp.MustCompile(`"now":"[^"]+"`).ReplaceAllString(s.admin().get("/v1/admin/explain?userID="+userID).body, "")
}

// asMallory makes a call in which everything that is not a credential of this server
// names alice.
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
		s.t.Errorf("%s %s by a user was answered %s", method, target, response.Status)
	}
}

// TestOthersReceiveNothing checks that a user who is neither a friend nor a subscriber
// receives nothing, and that a query returns the status and no more.
func TestOthersReceiveNothing(t *testing.T) {
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
	streams["stranger"].is("USER_STATUS_UPDATED", `[`+status("stranger", presence.Online, "my own")+`]`, "a stranger receives nothing about anybody")
	for _, userID := range []string{"friend", "subscriber"} {
		streams[userID].is("USER_STATUS_UPDATED", `[`+status("alice", presence.Unlogined, "for those who watch")+`]`, "a watcher receives the change")
	}
	s.user("stranger").post("/v1/getUserStatus", `{"userIDList":["alice"]}`).
		is(fmt.Sprintf(`{"successUserList":[%s],"failureUserList":[]}`, status("alice", presence.Unlogined, "for those who watch")),
			"a query returns the status, and nothing about devices, friends or subscriptions")
}
