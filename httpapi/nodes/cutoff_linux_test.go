package nodes_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/presence-server/presence/deploy/testserver"
	"github.com/presence-server/presence/httpapi/webhook"
)

// TestCutOff checks what operators see of a node that can't reach the log.
func TestCutOff(t *testing.T) {
	t.Parallel()
	a := open(t, testserver.StartPostgres(t), "a", webhook.Config{})
	ready := func() (int, string) {
		t.Helper()
		got, err := a.call(t.Context(), "/readyz", "", "")
		if err != nil {
			t.Fatal(err)
		}
		return got.status, got.body
	}
	if status, body := ready(); status != http.StatusOK || a.metric("presence_log_up") != "1" {
		t.Fatalf("before: %d %s", status, body)
	}
	a.relay.setCut(true)
	until(t, "the node isn't ready", func() bool { status, _ := ready(); return status == http.StatusServiceUnavailable })
	if _, body := ready(); !strings.HasPrefix(body, `{"code":60022,"message":"the log can't be reached`) || strings.Contains(body, testserver.PostgresPassword) {
		t.Errorf("/readyz says %s", body)
	}
	for sample, want := range map[string]string{"presence_log_up": "0", "presence_ready": "0", "presence_nodes": "1"} {
		if got := a.metric(sample); got != want {
			t.Errorf("%s is %s, want %s", sample, got, want)
		}
	}
	a.must("/v1/admin/stats?nodes=true", testserver.AdminKey, "") // reads go on
	a.relay.setCut(false)
	until(t, "the node is ready again", func() bool {
		status, _ := ready()
		return status == http.StatusOK && a.metric("presence_log_up") == "1"
	})
}
