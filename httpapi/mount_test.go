package httpapi_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/presence-server/presence/httpapi"
	"github.com/presence-server/presence/presence"
)

// TestMounted runs one transcript at the root and under a prefix of another program's
// mux.
func TestMounted(t *testing.T) {
	for _, prefix := range []string{"", "/a/b"} {
		t.Run("at "+prefix+"/", func(t *testing.T) {
			s := newServer(t, func(o *options) { o.prefix, o.config.Dev = prefix, true })
			s.as("").get("/livez").is(`{}`, "a mounted handler lives")
			s.as("").get("/readyz").is(`{}`, "a mounted handler is ready")
			s.as("").post("/v1/dev/token", `{"userID":"alice"}`).is(`{"token":"…","expiresAt":"T"}`, "-dev issues tokens for any user")
			s.admin().post("/v1/admin/importUsers", `{"userIDList":["alice","bob"]}`).is(`{"failureUserList":[]}`, "importing")
			alice, bob := s.user("alice"), s.user("bob")
			bob.post("/v1/subscribeUserStatus", `{"userIDList":["alice"]}`).
				is(`{"successUserList":[`+status("alice", presence.Unlogined, "")+`],"failureUserList":[],"evictedUserList":[]}`, "subscribing")
			token := s.issue("bob")
			s.remember(token)
			st := s.as("").stream("access_token", token, "deviceID", "tab").ready()
			alice.post("/v1/setSelfStatus", `{"customStatus":"hello"}`)
			st.is("USER_STATUS_UPDATED", `[`+status("alice", presence.Unlogined, "hello")+`]`, "a watcher receives the change")
			bob.post("/v1/logout", ``).is(`{}`, "logging out")
			st.is("KICKED_OUT", `{"type":"logout"}`, "logging out ends the stream")
			s.as("").get("/nothing").fails(404, "70402", "no such path")
			for path, kind := range map[string]string{
				"/": "text/html", "/demo.js": "text/javascript", "/sdk/presence.js": "text/javascript", "/openapi.yaml": "application/yaml",
				"/admin": "text/html", "/admin/": "text/html", "/admin/index.html": "text/html", "/admin/admin.js": "text/javascript", "/admin/admin.css": "text/css",
			} {
				s.serves(path, kind)
			}
		})
	}
}

// serves checks the response to GET for a file, which openapi.yaml may not describe.
func (s *server) serves(path, kind string) http.Header {
	s.t.Helper()
	response, err := s.http.Client().Get(s.http.URL + s.prefix + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	if got := response.Header.Get("Content-Type"); response.StatusCode != 200 || !strings.HasPrefix(got, kind) || len(text) == 0 {
		s.t.Errorf("GET %s answers %s, %s, %d bytes; want %s", path, response.Status, got, len(text), kind)
	}
	return response.Header
}

func TestSDKFiles(t *testing.T) {
	s := newServer(t)
	tag := s.serves("/sdk/presence.js", "text/javascript").Get("ETag")
	if tag == "" {
		t.Fatal("a file of the SDK has an ETag")
	}
	if a := s.send("GET", "/sdk/presence.js", http.Header{"If-None-Match": {tag}}, ""); a.status != 304 || a.body != "" {
		t.Errorf("a copy that is still the newest is answered 304, not %d", a.status)
	}
	if a := s.send("GET", "/sdk/presence.js", http.Header{"If-None-Match": {`"old"`}}, ""); a.status != 200 {
		t.Errorf("a copy that is old is answered 200, not %d", a.status)
	}
	if a := s.call("GET", "/sdk/presence.js", "", ""); a.header.Get("Cache-Control") != "no-cache" {
		t.Error("a browser asks each time whether its copy of the SDK is still the newest")
	}
}

// ExampleNew mounts presence under a prefix of another program, which authenticates
// its users already.
func ExampleNew() {
	folder, _ := os.MkdirTemp("", "presence")
	defer os.RemoveAll(folder)
	svc, err := presence.Open(context.Background(), presence.Config{Path: filepath.Join(folder, "presence.db")})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer svc.Close()
	api, err := httpapi.New(httpapi.Config{
		Service: svc,
		Authenticate: func(r *http.Request) (httpapi.Credentials, error) {
			cookie, err := r.Cookie("user") // in a real program this cookie would be signed
			if err != nil {
				return httpapi.Credentials{}, &presence.Error{Code: httpapi.CodeNoToken, Message: "log in first"}
			}
			return httpapi.Credentials{UserID: cookie.Value}, nil
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "the other program") })
	mux.Handle("/presence/", http.StripPrefix("/presence", api))
	server := httptest.NewServer(mux)
	defer server.Close()

	ask := func(user string) {
		request, _ := http.NewRequestWithContext(context.Background(), "POST", server.URL+"/presence/v1/getUserStatus",
			strings.NewReader(`{"userIDList":["bob"]}`))
		if user != "" {
			request.AddCookie(&http.Cookie{Name: "user", Value: user})
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			fmt.Println(err)
			return
		}
		defer response.Body.Close()
		text, _ := io.ReadAll(response.Body)
		fmt.Print(response.StatusCode, " ", string(text))
	}
	ask("")
	ask("alice")
	// Output:
	// 401 {"code":70002,"message":"log in first"}
	// 200 {"code":0,"data":{"successUserList":[],"failureUserList":[{"userID":"bob","code":70107,"message":"no such user"}]}}
}
