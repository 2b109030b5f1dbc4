package httpapi_test

import (
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/presence-server/presence/httpapi"
	"github.com/presence-server/presence/presence"
)

// What attackers have tried on the program, each attempt as a test.

// When a server ends, its log is searched for the tokens that were sent to it.
func TestATokenInAPathIsNotLogged(t *testing.T) {
	s := newServer(t)
	token := s.issue("alice")
	s.remember(token)
	for _, path := range []string{"/v1/events&access_token=", "/v1/events%3Faccess_token=", "/v1/events/"} {
		s.call(http.MethodGet, path+token, "", "").fails(404, "70402", "an unknown path must not be logged")
	}
}

func TestAStatusTextIsNotLogged(t *testing.T) {
	s := newServer(t)
	a := s.user("alice").post("/v1/setSelfStatus", `{"customStatus":"\ud800between us"}`)
	a.fails(400, "70402", "a lone surrogate is malformed")
	if strings.Contains(a.body+s.log.String(), "between us") {
		t.Errorf("the text of a status is in the response or the log: %s\n%s", a.body, s.log)
	}
}

func TestADeletedUserStaysDeleted(t *testing.T) {
	s := newServer(t)
	alice := s.user("alice")
	stream := alice.stream("deviceID", "d").ready()
	s.admin().post("/v1/admin/deleteUsers", `{"userIDList":["alice"]}`).is(`{"failureUserList":[]}`, "a user is deleted")
	stream.is("KICKED_OUT", `{"type":"REST_API_Kick"}`, "deleting ends the user's streams")
	if again := alice.open("deviceID", "d", "Last-Event-ID", stream.Cursor()); again.response.StatusCode != http.StatusNoContent {
		t.Errorf("a kicked device that only reconnects gets %s, want 204", again.response.Status)
	}
	s.admin().get("/v1/admin/explain?userID=alice").fails(404, "70107", "a user whose request is refused must not be registered")
}

func TestAMalformedQueryIsRefused(t *testing.T) {
	s := newServer(t)
	for _, query := range []string{"after=a%zz", "after=a;b"} {
		s.admin().get("/v1/admin/users?"+query).fails(400, "70402", "a query that is malformed in part is refused as a whole")
	}
}

func TestNobodyIsNotAUser(t *testing.T) {
	s := newServer(t, func(o *options) {
		o.config.Authenticate = func(*http.Request) (httpapi.Credentials, error) { return httpapi.Credentials{}, nil }
	})
	s.call(http.MethodGet, "/v1/subscriptions", "", "").fails(401, "70002", "an empty user ID is not a credential")
}

// TestAJWTIsUnambiguous checks this because a proxy in front may read the first of two
// members, or one in another case.
func TestAJWTIsUnambiguous(t *testing.T) {
	s := newServer(t)
	past, future := time.Now().Add(-time.Hour).Unix(), time.Now().Add(time.Hour).Unix()
	for why, claims := range map[string]string{
		"a name twice":      fmt.Sprintf(`{"sub":"alice","sub":"bob","exp":%d}`, future),
		"names in any case": fmt.Sprintf(`{"Sub":"alice","EXP":%d}`, future),
		"exp as a string":   fmt.Sprintf(`{"sub":"alice","exp":"%d"}`, future),
		"exp out of range":  `{"sub":"alice","exp":1e300}`,
		"half a surrogate":  fmt.Sprintf(`{"sub":"a\ud800","exp":%d}`, future),
		"issued in future":  fmt.Sprintf(`{"sub":"alice","iat":%d,"exp":%d}`, future, future),
	} {
		s.as(rawJWT(t, claims)).get("/v1/subscriptions").fails(401, "70003", why)
	}
	s.as(rawJWT(t, fmt.Sprintf(`{"sub":"alice","exp":%d,"EXP":%d}`, past, future))).
		get("/v1/subscriptions").fails(401, "70001", "EXP is not exp")
}

// rawJWT signs claims that are given as text.
func rawJWT(t *testing.T, claims string) string {
	t.Helper()
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	text := part(`{"alg":"HS256","typ":"JWT"}`) + "." + part(claims)
	signature, err := jwt.SigningMethodHS256.Sign(text, []byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + part(string(signature))
}

// TestLargeBodiesAreBounded checks that clients that send large bodies slowly don't
// fill the memory, and keep out neither small bodies, nor other users, nor the server
// API.
func TestLargeBodiesAreBounded(t *testing.T) {
	s := newServer(t)
	large := func(c caller, path, members string) *answer {
		return c.post(path, `{`+members+`,"y":"`+strings.Repeat("y", 100<<10)+`"}`)
	}
	set := func(userID string) *answer { return large(s.user(userID), "/v1/setSelfStatus", `"customStatus":"x"`) }
	set("alice").is(status("alice", presence.Unlogined, "x"), "a body may be large")

	for range httpapi.MaxLarge {
		s.sendSlowly("alice", 1000) // takes no slot, because too little has arrived
	}
	set("alice").is(status("alice", presence.Unlogined, "x"), "bodies that don't arrive don't block other calls")
	takes := func(userID string, n, all int) (conns []net.Conn) {
		for range n {
			conns = append(conns, s.sendSlowly(userID, 70<<10))
		}
		until(t, "the slots are taken", func() bool { return s.api.LargeBodies() == all })
		return conns
	}
	conns := takes("alice", httpapi.MaxLargeOfUser, httpapi.MaxLargeOfUser)
	refused := set("alice")
	refused.fails(503, "60022", "a user has only a few large bodies at once")
	refused.has("Retry-After", "1", "the response says when to retry")
	set("bob").is(status("bob", presence.Unlogined, "x"), "one user doesn't block other users")
	s.user("alice").post("/v1/setSelfStatus", `{"customStatus":"small"}`).is(status("alice", presence.Unlogined, "small"), "small bodies are accepted")

	for all := httpapi.MaxLargeOfUser; all < httpapi.MaxLarge; {
		all += httpapi.MaxLargeOfUser
		takes(fmt.Sprint("user", all), httpapi.MaxLargeOfUser, all)
	}
	set("bob").fails(503, "60022", "all large bodies together are bounded")
	ids := `"userIDList":["` + strings.Repeat(`bob","`, 20<<10) + `bob"]`
	s.admin().post("/v1/admin/importUsers", `{`+ids+`}`).is(`{"failureUserList":[]}`, "the server API has slots of its own")
	for _, conn := range conns {
		conn.Close()
	}
	until(t, "large bodies are accepted again", func() bool { return set("alice").status == 200 })
}

// TestLargeBodiesNeedCredentials checks that requests without credentials take no
// slot.
func TestLargeBodiesNeedCredentials(t *testing.T) {
	s := newServer(t, func(o *options) { o.config.Dev = true })
	s.as("").post("/v1/dev/token", `{"userID":"alice","y":"`+strings.Repeat("y", 100<<10)+`"}`).
		fails(413, "70402", "a call without credentials has a small body")
	s.as("x").post("/v1/setSelfStatus", `{"y":"`+strings.Repeat("y", 100<<10)+`"}`).fails(401, "70003", "the body isn't read")
	s.as("x").post("/v1/admin/importUsers", `{"y":"`+strings.Repeat("y", 100<<10)+`"}`).fails(403, "70403", "the body isn't read")
	if n := s.api.LargeBodies(); n != 0 {
		t.Errorf("%d slots are taken without credentials", n)
	}
}

// sendSlowly sends the first n bytes of a chunked body, and then sends nothing more.
func (s *server) sendSlowly(userID string, size int) net.Conn {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.http.Listener.Addr().String())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	token := s.issue(userID)
	s.remember(token)
	fmt.Fprintf(conn, "POST %s/v1/setSelfStatus HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s",
		s.prefix, token, size+1, strings.Repeat(" ", size))
	return conn
}

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); {
		if time.Now().After(deadline) {
			t.Fatalf("this never becomes true: %s", what)
		}
	}
}

// TestAStreamReadsNothingAfterItsRequest checks that the server reads nothing after the
// request of a stream.
func TestAStreamReadsNothingAfterItsRequest(t *testing.T) {
	s := newServer(t)
	address, err := url.Parse(s.http.URL)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", address.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	token := s.issue("alice")
	s.remember(token)
	fmt.Fprintf(conn, "GET /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", token)
	buffer := make([]byte, 4096)
	if n, err := conn.Read(buffer); err != nil || !strings.Contains(string(buffer[:n]), "READY") {
		t.Fatalf("the stream begins with %q, %v", buffer[:n], err)
	}
	conn.Write([]byte("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"))
	for err == nil {
		_, err = conn.Read(buffer)
	}
	if e, ok := err.(net.Error); ok && e.Timeout() {
		t.Error("a client that continues to send keeps its stream")
	}
}
