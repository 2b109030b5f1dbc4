package nodes_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/presence-server/presence/deploy/testserver"
	"github.com/presence-server/presence/httpapi/webhook"
)

const hookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// receiver is the backend that webhooks are sent to. It checks that versions never go back.
type receiver struct {
	*httptest.Server
	t testing.TB

	mu      sync.Mutex
	refuses bool
	version int64
	texts   []string // that were received
	refused []string
}

func newReceiver(t testing.TB) *receiver {
	r := &receiver{t: t}
	r.Server = httptest.NewServer(http.HandlerFunc(r.receive))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) receive(w http.ResponseWriter, request *http.Request) {
	body, _ := io.ReadAll(request.Body)
	var message struct {
		Data struct{ Statuses []testserver.Status }
	}
	if err := json.Unmarshal(body, &message); err != nil {
		return // the sender was stopped while it sent
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, status := range message.Data.Statuses {
		if r.refuses {
			r.refused = append(r.refused, status.CustomStatus)
			continue
		}
		if status.Version < r.version {
			r.t.Errorf("version %d after %d", status.Version, r.version)
		}
		r.version = status.Version
		r.texts = append(r.texts, status.CustomStatus)
	}
	if r.refuses {
		w.WriteHeader(http.StatusInternalServerError)
	}
}

func (r *receiver) refuse(refuses bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refuses = refuses
}

// has reports whether a text was received, and how often.
func (r *receiver) has(text string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return count(r.texts, text)
}

func (r *receiver) hasRefused(text string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return count(r.refused, text) > 0
}

func count(texts []string, text string) (n int) {
	for _, one := range texts {
		if one == text {
			n++
		}
	}
	return n
}

// sends reports whether a node has a feed open for the receiver.
func (n *node) sends() bool {
	return !strings.Contains(n.admin("webhooks", "").body, `"version":0,`)
}

func (n *node) set(userID, text string) {
	n.t.Helper()
	n.admin("setUserStatus", fmt.Sprintf(`{"userID":%q,"customStatus":%q}`, userID, text))
}

// TestWebhooksFollowTheLead checks that one node sends, that another takes over when that
// one is cut off from the log or stops, and that nothing is lost.
func TestWebhooksFollowTheLead(t *testing.T) {
	t.Parallel()
	postgres, to := testserver.StartPostgres(t), newReceiver(t)
	hooks := webhook.Config{URLs: []string{to.URL}, Secret: hookSecret}
	a, b := open(t, postgres, "a", hooks), open(t, postgres, "b", hooks)
	until(t, "a sends", a.sends)
	a.admin("importUsers", `{"userIDList":["alice","bob"]}`)
	received := func(n *node, userID, text string) {
		t.Helper()
		n.set(userID, text)
		until(t, text+" is received", func() bool { return to.has(text) > 0 })
	}
	received(b, "alice", "one")
	if b.sends() {
		t.Error("b sends although a leads")
	}
	if got := b.admin("webhooks", "").body; !strings.Contains(got, `"node":"a"`) {
		t.Errorf("b doesn't name the node that sends: %s", got)
	}

	to.refuse(true)
	a.set("alice", "two")
	until(t, "a's message is refused", func() bool { return to.hasRefused("two") })
	a.relay.setCut(true)
	until(t, "a doesn't send any more", func() bool { return !a.sends() })
	if a.metric("presence_webhook_behind_seconds{url=\""+to.URL+"\"}") != "0" {
		t.Error("a node that doesn't send isn't behind")
	}
	to.refuse(false)
	until(t, "b sends what a could not", func() bool { return to.has("two") > 0 })
	received(b, "bob", "three")

	a.relay.setCut(false)
	until(t, "a is back", func() bool { return a.metric("presence_nodes") == "2" && a.metric("presence_log_up") == "1" })
	received(a, "alice", "four")
	if a.sends() || !b.sends() {
		t.Error("a must not send once b leads")
	}

	if err := b.api.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.set("alice", "five") // while neither sends
	b.svc.Close()
	until(t, "a sends again", func() bool { return to.has("five") > 0 })
	for _, text := range []string{"one", "two", "three", "four", "five"} {
		if n := to.has(text); n > 2 {
			t.Errorf("%q was received %d times", text, n)
		}
	}
}

// program is the program for the tests with processes.
var program testserver.Program

func TestMain(m *testing.M) { os.Exit(program.Run(m)) }

// TestWebhooksSurviveAKill kills the process that sends, as kill -9 does, while its
// messages are refused. The other one sends them.
func TestWebhooksSurviveAKill(t *testing.T) {
	t.Parallel()
	postgres, to := testserver.StartPostgres(t), newReceiver(t)
	var nodes []*testserver.Child
	for _, name := range []string{"a", "b"} {
		n := testserver.NewChild(t, program.Path(t), "CLUSTER__LOG="+postgres.URL("postgres"), "CLUSTER__NAME="+name,
			"WEBHOOKS__URLS="+to.URL, "WEBHOOKS__SECRET="+hookSecret)
		n.Start()
		nodes = append(nodes, n)
	}
	a, b := nodes[0], nodes[1]
	b.Admin("importUsers", map[string]any{"userIDList": []string{"alice", "bob", "carol"}}, nil)
	until(t, "a sends the first change", func() bool { return webhookVersion(a) > 0 })
	b.Set("alice", "one")
	until(t, "a sends the first change", func() bool { return to.has("one") > 0 })
	to.refuse(true)
	b.Set("bob", "two")
	until(t, "a's message is refused", func() bool { return to.hasRefused("two") })
	a.Kill()
	to.refuse(false)
	b.Set("carol", "three")
	until(t, "b sends what a could not, and the rest", func() bool { return to.has("two") > 0 && to.has("three") > 0 })
	a.Start()
	b.Set("alice", "four")
	until(t, "b still sends", func() bool { return to.has("four") > 0 })
	if webhookVersion(a) > 0 || webhookVersion(b) == 0 {
		t.Error("a must not send after its restart, because b leads")
	}
}

// webhookVersion returns up to which version a node has sent everything, or zero if it
// doesn't send.
func webhookVersion(n *testserver.Child) int64 {
	var data struct{ Webhooks []struct{ Version int64 } }
	if err := n.Must(context.Background(), "/v1/admin/webhooks", testserver.AdminKey, nil, &data); err != nil || len(data.Webhooks) != 1 {
		return 0
	}
	return data.Webhooks[0].Version
}
