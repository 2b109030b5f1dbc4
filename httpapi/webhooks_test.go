package httpapi_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/presence-server/presence/httpapi"
	"github.com/presence-server/presence/httpapi/webhook"
)

const webhookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// hook returns a server that receives webhooks.
func hook(t *testing.T, respond http.HandlerFunc) string {
	t.Helper()
	h := httptest.NewServer(respond)
	t.Cleanup(h.Close)
	return h.URL
}

// TestWebhooks checks that the server API and the metrics report how far each URL has
// come, without its user and query, and that Shutdown ends the deliveries.
func TestWebhooks(t *testing.T) {
	received := make(chan string, 1)
	working := hook(t, func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		received <- string(body)
	})
	failing := hook(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	config := webhook.Config{Secret: webhookSecret, URLs: []string{working + "/a?token=geheim", failing + "/b?1", failing + "/b?2"}}
	s := newServer(t, func(o *options) { o.config.Webhooks = config })
	t.Cleanup(func() { s.api.Shutdown(t.Context()) })
	until(t, "the feeds are open", func() bool { return s.svc.Metrics().Streams == 3 })
	s.register("alice")
	if body := <-received; !strings.Contains(body, `"data":{"statuses":[{"userID":"alice","statusType":3,"customStatus":"","version":`) {
		t.Errorf("got %s", body)
	}
	sent := `presence_webhook_sent_total{url="` + working + `/a"} 1`
	s.comesToCount(sent)
	s.comesToCount(`presence_webhook_failed_total{url="` + failing + `/b"} 2`)
	s.counts(`presence_webhook_behind_versions{url="` + working + `/a"} 0`)
	s.counts(`presence_webhook_behind_versions{url="` + failing + `/b"} 1`)
	got := s.admin().get("/v1/admin/webhooks")
	for _, want := range []string{
		`{"url":"` + working + `/a","version":`, `,"behind":0},{`,
		`{"url":"` + failing + `/b","version":`, `"failing":"the response is 418 I'm a teapot"}]}}`,
	} {
		if !strings.Contains(got.body, want) {
			t.Errorf("got %s, want %s", got.body, want)
		}
	}
	if text := s.scrape() + got.body + s.log.String(); strings.Contains(text, "geheim") {
		t.Errorf("a query is shown:\n%s", text)
	}
	s.admin().get("/v1/admin/webhooks?x=1").fails(400, "70402", "an unknown parameter is an error")
	s.user("alice").get("/v1/admin/webhooks").fails(403, "70403", "only admins see the webhooks")

	s.api.SetWebhooks(webhook.Config{})
	s.admin().get("/v1/admin/webhooks").is(`{"webhooks":[]}`, "removed webhooks are not listed")
	s.api.SetWebhooks(config)
	until(t, "the feeds are open again", func() bool { return s.svc.Metrics().Streams == 3 })
	if err := s.api.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := s.svc.Metrics().Streams; n != 0 {
		t.Errorf("after Shutdown %d feeds are open", n)
	}
}

// TestWebhooksSendTheServerSidesView: that of an invisible user, with the availability.
func TestWebhooksSendTheServerSidesView(t *testing.T) {
	received := make(chan string, 10)
	url := hook(t, func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		received <- normal(string(body))
	})
	s := newServer(t, func(o *options) {
		o.config.Webhooks = webhook.Config{Secret: webhookSecret, URLs: []string{url}, Batch: time.Millisecond}
	})
	t.Cleanup(func() { s.api.Shutdown(t.Context()) })
	until(t, "the feed is open", func() bool { return s.svc.Metrics().Streams == 1 })
	alice := s.user("alice")
	alice.stream("deviceID", "tab").ready()
	alice.post("/v1/setVisibility", `{"invisible":true}`)
	alice.post("/v1/setIdle", `{"deviceID":"tab","idle":true}`)
	alice.post("/v1/setSelfStatus", `{"source":"call","customStatus":"In a call","availability":"busy","expiresIn":600}`)
	const last = `"statuses":[{"userID":"alice","statusType":1,"customStatus":"In a call","version":N,"expiresAt":"T","availability":"busy","invisible":true}]`
	for body := ""; !strings.Contains(body, last); {
		select {
		case body = <-received:
		case <-time.After(patience):
			t.Fatalf("no webhook has %s; the last is %s", last, body)
		}
	}
}

// TestWebhooksMustBeValid checks that New refuses an invalid configuration of
// webhooks.
func TestWebhooksMustBeValid(t *testing.T) {
	s := newServer(t)
	for _, config := range []webhook.Config{{URLs: []string{"https://a.example"}}, {Secret: "x"}, {Batch: -time.Second}} {
		_, err := httpapi.New(httpapi.Config{Service: s.svc, Tokens: s.tokens, Webhooks: config})
		if err == nil || !strings.Contains(err.Error(), "Webhooks.") {
			t.Errorf("%+v: got %v", config, err)
		}
	}
}
