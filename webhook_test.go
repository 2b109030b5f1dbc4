package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	server "github.com/presence-server/presence/deploy/testserver"
)

const webhookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// hook is a receiver of webhooks that may be down. It keeps its address.
type hook struct {
	t       *testing.T
	address string
	server  *httptest.Server
	arrived chan struct{} // has a buffer of one

	mu      sync.Mutex
	seen    map[string]server.Status // the last status of each user
	times   map[string]int           // how often each user was sent
	message string                   // the last one
}

func newHook(t *testing.T) *hook {
	t.Helper()
	h := &hook{t: t, address: "127.0.0.1:0", arrived: make(chan struct{}, 1)}
	h.up()
	t.Cleanup(func() { h.server.Close() })
	return h
}

// up starts the receiver, which has forgotten everything.
func (h *hook) up() {
	h.t.Helper()
	listener, err := net.Listen("tcp", h.address)
	if err != nil {
		h.t.Fatal(err)
	}
	h.address = listener.Addr().String()
	h.seen, h.times = make(map[string]server.Status), make(map[string]int)
	h.server = &httptest.Server{Listener: listener, Config: &http.Server{Handler: h}}
	h.server.Start()
}

func (h *hook) url() string { return "http://user:geheim@" + h.address + "/hook?token=geheim" }

// ServeHTTP stores a message.
func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var message struct {
		Data struct{ Statuses []server.Status }
	}
	if err := json.Unmarshal(body, &message); err != nil {
		h.t.Errorf("%s: %v", body, err)
	}
	if user, password, _ := r.BasicAuth(); err != nil || user != "user" || password != "geheim" || r.URL.Query().Get("token") != "geheim" {
		h.t.Errorf("the request to %s has no user, %v", r.URL, err)
	}
	h.mu.Lock()
	for _, s := range message.Data.Statuses {
		if before, found := h.seen[s.UserID]; found && before.Version >= s.Version {
			h.t.Errorf("version %d comes after %d", s.Version, before.Version)
		}
		h.seen[s.UserID] = s
		h.times[s.UserID]++
	}
	h.message = string(body)
	h.mu.Unlock()
	w.WriteHeader(http.StatusNoContent)
	select {
	case h.arrived <- struct{}{}:
	default:
	}
}

// awaits waits until a condition is true, which a message may make true.
func (h *hook) awaits(c *child, what string, condition func() bool) {
	h.t.Helper()
	for {
		h.mu.Lock()
		done := condition()
		h.mu.Unlock()
		if done {
			return
		}
		select {
		case <-h.arrived:
		case <-c.Ctx.Done():
			h.t.Fatalf("never true: %s\n%s", what, c.Log())
		}
	}
}

// TestWebhookMissesNothing checks that a receiver that is down while users change and
// are deleted receives the last status of each user once it is back, and only once,
// although the server is killed in between.
func TestWebhookMissesNothing(t *testing.T) {
	h := newHook(t)
	c := newChild(t, "WEBHOOKS__URLS="+h.url(), "WEBHOOKS__SECRET="+webhookSecret, "WEBHOOKS__BATCH=10ms")
	c.Start()
	awaitsWebhook(c, func(state webhookOf) bool { return state.Version > 0 })
	const users = 500
	change := func(round string) {
		for i := range users {
			c.Set(fmt.Sprint("user-", i), round)
		}
	}
	var all []string
	for i := range users {
		all = append(all, fmt.Sprint("user-", i))
	}
	c.Admin("importUsers", map[string]any{"userIDList": all}, nil)
	h.awaits(c, "all users are received", func() bool { return len(h.seen) == users })
	h.server.Close()

	change("first")
	awaitsWebhook(c, func(state webhookOf) bool {
		return strings.Contains(state.Failing, "connection refused") && state.Behind > 0
	})
	c.Admin("deleteUsers", map[string]any{"userIDList": all[:10]}, nil)
	c.Kill()
	c.Start()
	for _, user := range all[10:] {
		c.Set(user, "last")
	}
	c.Kill()
	h.up()
	c.Start()
	h.awaits(c, "all users are received again", func() bool { return len(h.seen) == users })
	awaitsWebhook(c, func(state webhookOf) bool { return state.Failing == "" && state.Behind == 0 })
	for i, user := range all {
		want := "3 last"
		if i < 10 {
			want = "0"
		}
		if got := strings.TrimSpace(fmt.Sprint(h.seen[user].StatusType, " ", h.seen[user].CustomStatus)); got != want || h.times[user] != 1 {
			t.Errorf("%s is received as %q, %d times, want %q once", user, got, h.times[user], want)
		}
	}
	if log := c.Log(); strings.Contains(log, "geheim") || strings.Contains(log, webhookSecret) || !strings.Contains(log, "http://"+h.address+"/hook") {
		t.Errorf("the log has a secret, or not the URL:\n%s", log)
	}
}

// webhookOf returns how far a webhook has come.
type webhookOf struct {
	URL     string
	Version int64
	Behind  float64
	Failing string
}

// awaitsWebhook waits until the first webhook is in a state.
func awaitsWebhook(c *child, is func(webhookOf) bool) {
	c.t.Helper()
	for {
		var data struct{ Webhooks []webhookOf }
		c.Admin("webhooks", nil, &data)
		if len(data.Webhooks) > 0 && is(data.Webhooks[0]) {
			return
		}
	}
}

// TestReloadChangesWebhooks checks that SIGHUP re-reads [webhooks].
func TestReloadChangesWebhooks(t *testing.T) {
	h := newHook(t)
	c := newChild(t)
	file := filepath.Join(c.Folder, "presence.toml")
	write(t, file, "")
	c.Start()
	write(t, file, fmt.Sprintf("[webhooks]\nurls = [%q]\nsecret = %q\nbatch = '5ms'", h.url(), webhookSecret))
	c.Signal(syscall.SIGHUP)
	c.awaitsLog("configuration changed")
	awaitsWebhook(c, func(state webhookOf) bool { return state.Version > 0 })
	c.Admin("importUsers", map[string]any{"userIDList": []string{"alice"}}, nil)
	h.awaits(c, "alice is received", func() bool { return len(h.seen) == 1 })
	keys := c.shownKeys()
	if url, key := keys.Strings("webhooks.urls"), keys.String("webhooks.secret"); len(url) != 1 || url[0] != "http://"+h.address+"/hook" || key != hidden {
		t.Errorf("shown are %q and %q", url, key)
	}
	write(t, file, fmt.Sprintf("[webhooks]\nurls = [%q]", h.url()))
	c.Signal(syscall.SIGHUP)
	c.awaitsLog("webhooks.secret = …: must be")
	if strings.Contains(c.Log(), "geheim") {
		t.Errorf("the log has a secret:\n%s", c.Log())
	}
}

// TestWebhookErrorsShowNoSecret covers URLs and secrets that can't be used.
func TestWebhookErrorsShowNoSecret(t *testing.T) {
	for text, want := range map[string]string{
		"secret = '" + mistyped + "'":                                         "webhooks.secret = …: must be \"whsec_\" and",
		"secret = ['" + mistyped + "']":                                       "webhooks.secret = …: must be a string",
		"urls = '" + mistyped + "'":                                           "webhooks.urls = …: must be a list of strings",
		"urls = ['" + mistyped + "']":                                         `webhooks.urls = "…": must begin with http`,
		"urls = ['https://a.example/x?" + mistyped + "']":                     "webhooks.secret = …: must be",
		"urls = ['ftp://u:" + mistyped + "@a.example']":                       `webhooks.urls = "ftp://a.example": must begin with http`,
		"urls = ['http://a/?" + mistyped + "', 'http://a/?" + mistyped + "']": `webhooks.urls = "http://a/": must be given once`,
		"batch = '-1s'":  `webhooks.batch = "-1s": must not be negative`,
		"batch = 'soon'": `webhooks.batch = "soon": must be a duration`,
	} {
		t.Run(text, func(t *testing.T) {
			_, err := configOf(t, "[webhooks]\n"+text)
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "geheim") {
				t.Errorf("got %v, want %q", err, want)
			}
		})
	}
	c, err := configOf(t, "", "PRESENCE_WEBHOOKS__URLS=https://a.example/x, https://b.example/?y", "PRESENCE_WEBHOOKS__SECRET="+webhookSecret, "PRESENCE_WEBHOOKS__BATCH=3s")
	if err != nil || len(c.Webhooks.URLs) != 2 || c.Webhooks.Secret != webhookSecret || c.Webhooks.Batch.Seconds() != 3 {
		t.Errorf("the environment gives %d URLs, %v: %v", len(c.Webhooks.URLs), c.Webhooks.Batch, err)
	}
}

// TestCommandWebhookTest checks that the command reports the response, and shows no
// secret.
func TestCommandWebhookTest(t *testing.T) {
	h := newHook(t)
	c := newChild(t)
	_, complaint := c.calls(1, "webhook", "test", h.url())
	c.mentions(complaint, "webhooks.secret is not set")
	c.Env = append(c.Env, "WEBHOOKS__SECRET="+mistyped)
	_, complaint = c.calls(1, "webhook", "test", h.url())
	c.mentions(complaint, "PRESENCE_WEBHOOKS__SECRET = …: must be")

	c.Env = append(c.Env, "WEBHOOKS__SECRET="+webhookSecret)
	out, _ := c.calls(0, "webhook", "test", h.url())
	c.mentions(out, "http://"+h.address+"/hook responds 204 No Content after ")
	if !strings.Contains(h.message, `"data":{"statuses":[{"userID":"presence-webhook-test","statusType":0,"customStatus":"","version":0}]}`) {
		t.Errorf("the sample is %s", h.message)
	}
	rejecting := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "the signature\x1b[31m is wrong", http.StatusUnauthorized)
	}))
	defer rejecting.Close()
	out, complaint = c.calls(1, "webhook", "test", rejecting.URL+"/?token=geheim")
	c.mentions(out, "responds 401 Unauthorized after ", "the signature\\x1b[31m is wrong")
	c.mentions(complaint, "not received by "+rejecting.URL+"/: the response is 401 Unauthorized")
	h.server.Close()
	_, complaint = c.calls(1, "webhook", "test", h.url())
	c.mentions(complaint, "connection refused")
	if strings.Contains(out+complaint, "geheim") {
		t.Errorf("a secret is shown: %s %s", out, complaint)
	}
}
