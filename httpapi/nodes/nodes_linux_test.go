// Package nodes_test tests package httpapi on several nodes that share a log in PostgreSQL.
// These tests are not in package httpapi, because its tests would make every program that
// imports it download pgx.
package nodes_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/presence-server/presence/deploy/testserver"
	"github.com/presence-server/presence/httpapi"
	"github.com/presence-server/presence/httpapi/webhook"
	"github.com/presence-server/presence/pglog"
	"github.com/presence-server/presence/presence"
)

const patience = 2 * time.Minute // bounds one wait; every wait is for the event itself

// node is a node in the process of the test, on a real socket and a real database.
type node struct {
	t      testing.TB
	name   string
	svc    *presence.Service
	api    *httpapi.Handler
	tokens *httpapi.Tokens
	http   *httptest.Server
	relay  *relay
}

// open starts a node, which stops with the test.
func open(t testing.TB, postgres *testserver.Postgres, name string, hooks webhook.Config) *node {
	t.Helper()
	n := &node{t: t, name: name, relay: newRelay(t, postgres.Address)}
	log := slog.New(slog.NewTextHandler(t.Output(), nil)).With("node", name)
	shared, err := pglog.Open(t.Context(), strings.Replace(postgres.URL("postgres"), postgres.Address, n.relay.address(), 1), log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shared.Close() })
	n.svc, err = presence.Open(t.Context(), presence.Config{
		Path: filepath.Join(t.TempDir(), "presence.db"), Logger: log, Log: shared, Node: name, Agreement: []string{"the same"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.svc.Close() })
	n.tokens = &httpapi.Tokens{Secret: []byte(testserver.Secret)}
	n.api, err = httpapi.New(httpapi.Config{Service: n.svc, Tokens: n.tokens, AdminKey: testserver.AdminKey, Webhooks: hooks, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	n.http = httptest.NewServer(n.api)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := n.api.Shutdown(ctx, n.http.Config); err != nil {
			t.Error(err)
		}
	})
	return n
}

// answer is the response to a call.
type answer struct {
	status int
	header http.Header
	body   string
}

// seen returns the position that the response contains.
func (a answer) seen() string { return a.header.Get("Presence-Version") }

// call makes a call, a GET if body is "". seen are the values of the header Presence-Version.
func (n *node) call(ctx context.Context, path, token, body string, seen ...string) (answer, error) {
	method := http.MethodPost
	if body == "" {
		method = http.MethodGet
	}
	request, err := http.NewRequestWithContext(ctx, method, n.http.URL+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	for _, value := range seen {
		request.Header.Add("Presence-Version", value)
	}
	response, err := n.http.Client().Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, string(text)}, err
}

// must makes a call that must succeed.
func (n *node) must(path, token, body string, seen ...string) answer {
	n.t.Helper()
	a, err := n.call(n.t.Context(), path, token, body, seen...)
	if err != nil || a.status != http.StatusOK {
		n.t.Fatalf("%s %s at %s: %v, %d %s", path, body, n.name, err, a.status, a.body)
	}
	return a
}

func (n *node) admin(path, body string, seen ...string) answer {
	n.t.Helper()
	return n.must("/v1/admin/"+path, testserver.AdminKey, body, seen...)
}

func (n *node) token(userID string) string {
	n.t.Helper()
	token, _, err := n.tokens.Issue(userID, time.Hour)
	if err != nil {
		n.t.Fatal(err)
	}
	return token
}

// metrics returns what Prometheus would receive.
func (n *node) metrics() string {
	recorder := httptest.NewRecorder()
	n.api.Metrics().ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return recorder.Body.String()
}

// metric returns the value of a sample, such as of presence_log_up, or "" if there is none.
func (n *node) metric(sample string) string {
	found := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(sample) + ` (.*)$`).FindStringSubmatch(n.metrics())
	if found == nil {
		return ""
	}
	return found[1]
}

// until waits until a condition is true.
func until(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("never true: %s", what)
		}
	}
}

// TestNodes runs all tests that only need nodes that can reach the log.
func TestNodes(t *testing.T) {
	t.Parallel()
	postgres := testserver.StartPostgres(t)
	a, b := open(t, postgres, "a", webhook.Config{}), open(t, postgres, "b", webhook.Config{})
	for name, test := range map[string]func(t *testing.T, a, b *node){
		"what was written at one node is read at the other":  readElsewhere,
		"a position that isn't reached is refused after 5 s": neverReached,
		"a malformed position is refused by reads":           malformedPosition,
		"all calls return the position, with credentials":    returnsPosition,
		"the metrics of both nodes can be compared":          metricsOfNodes,
		"the stats list the nodes on request":                listsNodes,
		"a feed resumes at a node that lags":                 feedLags,
	} {
		t.Run(name, func(t *testing.T) {
			here, there := *a, *b
			here.t, there.t = t, t
			test(t, &here, &there)
		})
	}
}

// readElsewhere holds up what b receives, so that b answers old statuses. With the
// position of a's response, b answers once it has caught up.
func readElsewhere(t *testing.T, a, b *node) {
	alice, bob := a.token("alice"), a.token("bob")
	first := a.must("/v1/setSelfStatus", alice, `{"customStatus":"old"}`)
	a.must("/v1/setSelfStatus", bob, `{"customStatus":""}`)
	version, _, _ := strings.Cut(first.seen(), ".")
	if !strings.Contains(first.body, `"version":`+version) {
		t.Errorf("a position begins with the version, but it is %s after %s", first.seen(), first.body)
	}
	subscribed := a.must("/v1/subscribeUserStatus", bob, `{"userIDList":["alice"]}`)
	for path, body := range map[string]string{"/v1/getUserStatus": `{"userIDList":["alice"]}`, "/v1/subscriptions": "", "/v1/self": "", "/v1/friends": ""} {
		b.must(path, bob, body, subscribed.seen())
	}

	for i, read := range []struct{ path, token, body string }{
		{"/v1/getUserStatus", bob, `{"userIDList":["alice"]}`},
		{"/v1/subscriptions", bob, ""},
		{"/v1/self", alice, ""},
		{"/v1/admin/getUserStatus", testserver.AdminKey, `{"userIDList":["alice"]}`},
		{"/v1/admin/users", testserver.AdminKey, ""},
		{"/v1/admin/explain?userID=alice", testserver.AdminKey, ""},
	} {
		b.relay.setHeld(true)
		text := fmt.Sprint("new ", i)
		written := a.must("/v1/setSelfStatus", alice, `{"customStatus":"`+text+`"}`)
		if got := b.must(read.path, read.token, read.body); strings.Contains(got.body, text) {
			t.Fatalf("b doesn't lag: %s", got.body)
		}
		answers := make(chan answer)
		for _, seen := range []string{written.seen(), versionOf(written)} {
			go func() {
				got, err := b.call(t.Context(), read.path, read.token, read.body, seen)
				if err != nil {
					t.Error(err)
				}
				answers <- got
			}()
		}
		until(t, "both reads wait", func() bool { return goroutinesIn("(*Service).Await") == 2 })
		b.relay.setHeld(false)
		for range 2 {
			if got := <-answers; got.status != http.StatusOK || !strings.Contains(got.body, text) {
				t.Errorf("%s with a position is answered %d %s, want %q in it", read.path, got.status, got.body, text)
			}
		}
	}
}

// versionOf returns the version alone of a position.
func versionOf(a answer) string {
	version, _, _ := strings.Cut(a.seen(), ".")
	return version
}

// goroutinesIn returns how many goroutines are in a function.
func goroutinesIn(name string) int {
	stacks := make([]byte, 4<<20)
	return strings.Count(string(stacks[:runtime.Stack(stacks, true)]), name+"(")
}

func neverReached(t *testing.T, _, b *node) {
	token := b.token("alice")
	began := time.Now()
	got, err := b.call(t.Context(), "/v1/self", token, "", "9223372036854775807")
	if err != nil || got.status != http.StatusServiceUnavailable || !strings.Contains(got.body, `"code":60022`) || got.header.Get("Retry-After") != "1" {
		t.Errorf("got %v %d %s, Retry-After %q", err, got.status, got.body, got.header.Get("Retry-After"))
	}
	if took := time.Since(began); took < 4900*time.Millisecond || took > 7*time.Second {
		t.Errorf("it took %v, want 5s", took)
	}
	if got := b.must("/v1/setSelfStatus", token, `{"customStatus":"x"}`, "9223372036854775807.1"); got.seen() == "" {
		t.Error("a write doesn't wait")
	}
}

func malformedPosition(t *testing.T, _, b *node) {
	token := b.token("alice")
	for _, seen := range [][]string{
		{""}, {"x"}, {"-1"}, {"+1"}, {"1."}, {".1"}, {"1.2.3"}, {"1,2"}, {"1, 2"}, {"0x1"}, {"1_0"}, {"1e3"}, {"1.-2"}, {"1 .2"},
		{"9223372036854775808"}, {"0.9223372036854775808"}, {"0", "0"}, {"1.2", "1.2"},
	} {
		for path, token := range map[string]string{"/v1/self": token, "/v1/subscriptions": token, "/v1/admin/stats": testserver.AdminKey, "/v1/admin/config": testserver.AdminKey} {
			got, err := b.call(t.Context(), path, token, "", seen...)
			if err != nil || got.status != http.StatusBadRequest || !strings.HasPrefix(got.body, `{"code":70402,"message":"Presence-Version must be `) {
				t.Errorf("%s with %q is answered %v %d %s", path, seen, err, got.status, got.body)
			}
		}
	}
	for _, seen := range []string{"0", "0.0", "1", "00.1"} {
		b.must("/v1/self", token, "", seen)
	}
}

func returnsPosition(t *testing.T, a, _ *node) {
	position := regexp.MustCompile(`^[0-9]+[.][1-9][0-9]*$`)
	alice := a.token("alice")
	for _, c := range []struct {
		path, token, body string
		status            int
		has               bool
	}{
		{"/v1/self", alice, "", 200, true},
		{"/v1/logout", alice, "{}", 200, true},
		{"/v1/setSelfStatus", alice, "{}", 400, true},
		{"/v1/setIdle", alice, `{"deviceID":"none","idle":true}`, 400, true},
		{"/v1/admin/importUsers", testserver.AdminKey, `{"userIDList":["bob"]}`, 200, true},
		{"/v1/admin/addFriends", testserver.AdminKey, `{"userID":"alice","friendIDList":["bob"]}`, 200, true},
		{"/v1/admin/explain?userID=nobody", testserver.AdminKey, "", 404, true},
		{"/v1/self", "wrong", "", 401, false},
		{"/v1/admin/stats", "wrong", "", 403, false},
		{"/readyz", "", "", 200, false},
		{"/v1/nothing", alice, "", 404, false},
	} {
		got, err := a.call(t.Context(), c.path, c.token, c.body)
		if err != nil || got.status != c.status || position.MatchString(got.seen()) != c.has {
			t.Errorf("%s is answered %v %d %s with the position %q", c.path, err, got.status, got.body, got.seen())
		}
	}
}

func metricsOfNodes(t *testing.T, a, b *node) {
	for _, n := range []*node{a, b} {
		for sample, want := range map[string]string{"presence_nodes": "2", "presence_log_up": "1", "presence_log_silent_seconds": "0"} {
			until(t, sample+" is "+want, func() bool { return n.metric(sample) == want })
		}
		for _, sample := range []string{`presence_node_beats_total{node="a"}`, `presence_node_beats_total{node="b"}`,
			"presence_log_place", "presence_log_entries_total", "presence_log_append_seconds_count"} {
			if n.metric(sample) == "" {
				t.Errorf("%s has no metric %s:\n%s", n.name, sample, n.metrics())
			}
		}
	}
	until(t, "a minute has begun, and both nodes have the same digest of the same place", func() bool {
		place, other := a.metric("presence_log_digest_place"), b.metric("presence_log_digest_place")
		if place == "" || place != other {
			return false
		}
		digest, other := a.metric("presence_log_digest"), b.metric("presence_log_digest")
		return digest != "" && digest == other && a.metric("presence_log_digest_place") == place
	})
}

func listsNodes(t *testing.T, a, b *node) {
	pattern := regexp.MustCompile(`"nodes":\[\{"name":"a","run":\d+,"beats":\d+,"own":true,"leads":true\},\{"name":"b","run":\d+,"beats":\d+\}\]\}\}`)
	if got := a.admin("stats?nodes=true", ""); !pattern.MatchString(got.body) {
		t.Errorf("a lists %s", got.body)
	}
	pattern = regexp.MustCompile(`"nodes":\[\{"name":"a","run":\d+,"beats":\d+,"leads":true\},\{"name":"b","run":\d+,"beats":\d+,"own":true\}\]\}\}`)
	if got := b.admin("stats?nodes=true", ""); !pattern.MatchString(got.body) {
		t.Errorf("b lists %s", got.body)
	}
	if got := b.admin("stats", ""); strings.Contains(got.body, "nodes") {
		t.Errorf("without the parameter, the stats are %s", got.body)
	}
}

// feedLags resumes a feed at b from a version that b has not applied. If b took it for one
// that was never issued, it would send all users.
func feedLags(t *testing.T, a, b *node) {
	a.must("/v1/setSelfStatus", a.token("carol"), `{"customStatus":"before"}`)
	b.relay.setHeld(true)
	written := a.must("/v1/setSelfStatus", a.token("carol"), `{"customStatus":"after"}`)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.http.URL+"/v1/admin/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+testserver.AdminKey)
	request.Header.Set("Last-Event-ID", versionOf(written))
	responses, failed := make(chan *http.Response, 1), make(chan error, 1)
	go func() {
		response, err := b.http.Client().Do(request)
		responses <- response
		failed <- err
	}()
	until(t, "the feed waits", func() bool { return goroutinesIn("(*Service).Await") == 1 })
	b.relay.setHeld(false)
	response := <-responses
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	stream := testserver.Read(response.Body)
	if e, err := stream.Next(); err != nil || e.ID != versionOf(written) {
		t.Fatalf("got %+v, %v, want READY with the id %s", e, err, versionOf(written))
	}
	a.must("/v1/setSelfStatus", a.token("carol"), `{"customStatus":"at last"}`)
	if e, err := stream.Next(); err != nil || !strings.Contains(e.Data, "at last") || strings.Contains(e.Data, "alice") {
		t.Errorf("got %+v, %v", e, err)
	}
}
