package httpapi

import (
	"math"
	"net/http"
	"time"
)

// webhookState is how far a webhook has come, as the server API shows it.
type webhookState struct {
	URL     string  `json:"url"`
	Version int64   `json:"version"`
	Behind  float64 `json:"behind"` // in seconds, to the millisecond
	Failing string  `json:"failing,omitempty"`
	Node    string  `json:"node,omitempty"` // the node that sends; empty without a log
}

func (h *Handler) listWebhooks(http.ResponseWriter, *http.Request) (object, error) {
	var all []webhookState
	node := h.leader()
	for _, s := range h.webhooks.States() {
		all = append(all, webhookState{s.URL, s.Version, s.Behind.Round(time.Millisecond).Seconds(), s.Failing, node})
	}
	return list(object{}, "webhooks", all), nil
}

// delivered collects the metrics of the webhooks. URLs that differ only in what is not
// shown share a label, so they are counted together.
func (c collector) delivered(out sink, version int64) {
	type total struct {
		sent, failed     uint64
		versions, behind float64
	}
	totals := make(map[string]total)
	for _, s := range c.h.webhooks.States() {
		t := totals[s.URL]
		t.sent, t.failed = t.sent+s.Sent, t.failed+s.Failed
		if s.Behind > 0 {
			t.versions, t.behind = math.Max(t.versions, float64(version-s.Version)), math.Max(t.behind, s.Behind.Seconds())
		}
		totals[s.URL] = t
	}
	for url, t := range totals {
		out.counter("presence_webhook_sent_total", "Messages that a webhook has received, by its URL without user and query.", t.sent, "url", url)
		out.counter("presence_webhook_failed_total", "Attempts to send a message to a webhook that failed.", t.failed, "url", url)
		out.gauge("presence_webhook_behind_versions",
			"Versions that a webhook has not received; zero means that it has received everything. A start of the server skips versions, which count too.", t.versions, "url", url)
		out.gauge("presence_webhook_behind_seconds",
			"Time since the oldest change that a webhook has not received, counted from the start of the server; zero means that it has received everything.", t.behind, "url", url)
	}
}
