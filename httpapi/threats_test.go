package httpapi_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/presence-server/presence/httpapi"
)

// What SECURITY.md says about threats, where no other test checks it.

// isProtected checks the headers that every response must have.
func isProtected(t *testing.T, what string, h http.Header) {
	t.Helper()
	policy := h.Get("Content-Security-Policy")
	for rule, kept := range map[string]bool{
		"browsers must not guess the type":            h.Get("X-Content-Type-Options") == "nosniff",
		"the address must not be sent to other sites": h.Get("Referrer-Policy") == "no-referrer",
		"nothing is loaded by default":                strings.HasPrefix(policy, "default-src 'none';"),
		"no page may embed it in a frame":             strings.Contains(policy, "frame-ancestors 'none'"),
		"no proxy may cache it":                       strings.HasPrefix(h.Get("Cache-Control"), "no-"),
	} {
		if !kept {
			t.Errorf("%s: broken: %s\n%v", what, rule, h)
		}
	}
}

func TestEveryAnswerIsProtected(t *testing.T) {
	s := newServer(t, func(o *options) { o.config.Dev, o.config.Origins = true, []string{"https://chat.example.com"} })
	token := s.issue("alice")
	for _, route := range s.api.Routes() {
		method, path, _ := strings.Cut(route, " ")
		for _, as := range []string{"", token, adminKey} {
			isProtected(t, route, s.head(method, path, as, ""))
		}
		isProtected(t, "PATCH "+path, s.head("PATCH", path, "", ""))
	}
	isProtected(t, "an unknown path", s.head("GET", "/nothing", "", ""))
	isProtected(t, "a file of the SDK", s.head("GET", "/sdk/presence.js", "", ""))
	isProtected(t, "the SDK's worker", s.head("GET", "/sdk/worker.js", "", ""))
	isProtected(t, "a body that is too large", s.head("POST", "/v1/setSelfStatus", token, strings.Repeat(" ", mebibyte+1)))
	isProtected(t, "a preflight", s.exchange("OPTIONS", "/v1/logout", "https://chat.example.com",
		http.Header{"Access-Control-Request-Method": {"POST"}}).Header)

	stream := s.user("alice").stream("deviceID", "d").ready()
	s.user("alice").post("/v1/logout", ``)
	gone := s.user("alice").open("deviceID", "d", "Last-Event-ID", stream.Cursor())
	if isProtected(t, "the stream ends", gone.response.Header); gone.response.StatusCode != http.StatusNoContent {
		t.Errorf("a device that was logged out gets %s", gone.response.Status)
	}

	starting := httptest.NewServer(http.HandlerFunc(httpapi.Starting))
	defer starting.Close()
	s.http.URL = starting.URL
	isProtected(t, "a service that is starting", s.head("GET", "/readyz", "", ""))
}

// head returns the header of a response, and discards the rest.
func (s *server) head(method, path, token, body string) http.Header {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), method, s.http.URL+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := s.http.Client().Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	response.Body.Close()
	return response.Header
}

// TestPagesRunNothingElse checks that a script injected into the demo page or the
// admin page doesn't run, and that nothing is sent to other servers.
func TestPagesRunNothingElse(t *testing.T) {
	s := newServer(t, func(o *options) { o.config.Dev = true })
	directives := []string{"default-src 'none'", "script-src 'self'", "connect-src 'self'", "base-uri 'none'", "form-action 'none'"}
	for path, more := range map[string][]string{"/": nil, "/admin/": {"require-trusted-types-for 'script'", "trusted-types 'none'"}} {
		policy := s.head("GET", path, "", "").Get("Content-Security-Policy")
		for _, directive := range append(more, directives...) {
			if !strings.Contains(policy+";", directive+";") {
				t.Errorf("the policy of %s has no %s: %s", path, directive, policy)
			}
		}
		if strings.Contains(policy, "unsafe") {
			t.Errorf("the policy of %s allows what it should forbid: %s", path, policy)
		}
	}
}

// TestSecretsAreComparedInConstantTime checks this because == reveals, by the time it
// takes, how much of a guess is right.
func TestSecretsAreComparedInConstantTime(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	set, constant := token.NewFileSet(), 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BinaryExpr:
				if n.Op == token.EQL || n.Op == token.NEQ {
					for x, y := range map[ast.Expr]ast.Expr{n.X: n.Y, n.Y: n.X} {
						if isSecret(x) && !isEmpty(y) {
							t.Errorf("%s: a secret is compared with %s", set.Position(n.Pos()), n.Op)
						}
					}
				}
			case *ast.CallExpr:
				constant += compares(t, set, n)
			}
			return true
		})
	}
	if constant != 2 {
		t.Errorf("%d comparisons in constant time, want those of the admin key and of a UserSig", constant)
	}
}

// compares counts calls that compare in constant time, and rejects other calls that
// are given a secret.
func compares(t *testing.T, set *token.FileSet, call *ast.CallExpr) int {
	selector, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return 0
	}
	switch name := selector.Sel.Name; name {
	case "ConstantTimeCompare":
		return 1
	case "Equal", "EqualFold", "Compare", "HasPrefix", "Contains":
		if x, ok := selector.X.(*ast.Ident); ok && x.Name == "hmac" {
			return 1
		}
		for _, argument := range call.Args {
			if isSecret(argument) {
				t.Errorf("%s: a secret is passed to %s", set.Position(call.Pos()), name)
			}
		}
	}
	return 0
}

// isSecret reports whether an expression is one of the names that secrets have.
func isSecret(e ast.Expr) bool {
	name := ""
	switch e := e.(type) {
	case *ast.Ident:
		name = e.Name
	case *ast.SelectorExpr:
		name = e.Sel.Name
	}
	switch strings.ToLower(name) {
	case "adminkey", "secret", "sig", "mac", "signature", "given", "want":
		return true
	}
	return false
}

func isEmpty(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BasicLit:
		return e.Value == `""`
	case *ast.Ident:
		return e.Name == "nil"
	}
	return false
}

// TestAForgedTokenRevealsNothing checks that the response reveals neither whether the
// user exists nor a part of the token.
func TestAForgedTokenRevealsNothing(t *testing.T) {
	s := newServer(t)
	s.register("alice")
	s.admin().post("/v1/admin/kick", `{"userID":"alice"}`)
	answers := make(map[string]bool)
	for _, userID := range []string{"alice", "nobody"} {
		for _, forged := range []string{
			signed(t, jwt.SigningMethodHS256, []byte("a guess"), jwt.MapClaims{"sub": userID, "exp": time.Now().Add(time.Hour).Unix()}),
			userSig("a guess", userID, appID, time.Now().Unix(), 3600),
		} {
			a := s.as(forged).get("/v1/subscriptions")
			a.fails(401, "70003", "a forged token is refused")
			answers[a.body] = true
			for part := range strings.SplitSeq(forged, ".") {
				if strings.Contains(a.body, part) {
					t.Errorf("the response contains the token: %s", a.body)
				}
			}
		}
	}
	if len(answers) != 1 {
		t.Errorf("the responses differ: %v", answers)
	}
}

func TestKickRevokesAUserSig(t *testing.T) {
	s := newServer(t)
	s.register("alice")
	sig := s.as(userSig(secret, "alice", appID, time.Now().Unix(), 3600))
	stream := sig.stream("deviceID", "d").ready()
	s.admin().post("/v1/admin/kick", `{"userID":"alice"}`)
	stream.is("KICKED_OUT", `{"type":"REST_API_Kick"}`, "a kick ends the stream")
	for range 2 { // also removed from the remembered tokens
		sig.get("/v1/subscriptions").fails(401, "70052", "a UserSig issued before a kick is revoked")
		sig.get("/v1/events?deviceID=other").fails(401, "70052", "a UserSig issued before a kick opens no stream")
	}
}

func TestCORSForAllHasNoCredentials(t *testing.T) {
	s := newServer(t, func(o *options) { o.config.Origins = []string{"*"} })
	response := s.exchange("GET", "/v1/subscriptions", "https://evil.example.com", http.Header{})
	if got := response.Header.Get("Access-Control-Allow-Origin"); got != "*" {
		t.Errorf("all origins are allowed by name, as if cookies mattered: %q", got)
	}
	if response.Header.Get("Access-Control-Allow-Credentials") != "" {
		t.Error("responses never allow cookies")
	}
}

// TestDeepNesting checks that a body can't make the parser use more memory than the
// body has bytes, or recurse without end.
func TestDeepNesting(t *testing.T) {
	s := newServer(t)
	s.register("alice")
	for _, opened := range []string{"[", `{"a":`} {
		deep := `{"customStatus":"x","y":` + strings.Repeat(opened, (mebibyte-100)/len(opened))
		s.changesNothing("deep nesting", func() {
			s.user("alice").post("/v1/setSelfStatus", deep).fails(400, "70402", "a body that is nested too deep is malformed")
		})
	}
}
