package openapi_test

import (
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	child "github.com/presence-server/presence/deploy/testserver"
)

var program child.Program

func TestMain(m *testing.M) { os.Exit(program.Run(m)) }

// TestNodesAreInOpenAPI validates what only one of several nodes sends: the recorded tests
// of httpapi have no log.
func TestNodesAreInOpenAPI(t *testing.T) {
	postgres := child.StartPostgres(t)
	s := child.NewChild(t, program.Path(t), "CLUSTER__LOG="+postgres.URL("postgres"), "CLUSTER__NAME=a",
		"WEBHOOKS__URLS=http://127.0.0.1:1/hook", "WEBHOOKS__SECRET=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	s.Start()
	s.Open("alice", "")
	for _, c := range []struct{ path, token, seen, part string }{
		{"/v1/self", s.TokenOf("alice"), "1.2", `"alice"`},
		{"/v1/self", s.TokenOf("alice"), "1", `"alice"`},
		{"/v1/subscriptions", s.TokenOf("alice"), "once", "70402"},
		{"/v1/admin/stats?nodes=true", child.AdminKey, "", `"nodes":[{"name":"a"`},
		{"/v1/admin/explain?userID=alice", child.AdminKey, "", `"node":"a"`},
		{"/v1/admin/webhooks", child.AdminKey, "", `"node":"a"`},
	} {
		request, err := http.NewRequestWithContext(s.Ctx, http.MethodGet, s.URL+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+c.token)
		if c.seen != "" {
			request.Header.Set("Presence-Version", c.seen)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || !strings.Contains(string(body), c.part) {
			t.Fatalf("%s is answered %s %v", c.path, body, err)
		}
		if c.seen != "once" && response.Header.Get("Presence-Version") == "" {
			t.Errorf("%s is answered without Presence-Version", c.path)
		}
		if err := openSpec(t).check("GET", c.path, request.Header, nil, response.StatusCode, response.Header, body); err != nil {
			t.Errorf("%s is answered %s: %v", c.path, body, err)
		}
	}
}
