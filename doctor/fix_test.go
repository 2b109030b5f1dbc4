package doctor

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// TestKeepaliveThatIsTold is one that the server takes, and well within what was
// measured.
func TestKeepaliveThatIsTold(t *testing.T) {
	for silence, want := range map[time.Duration]string{
		60*time.Second + 31*time.Millisecond: `"30s"`, 10 * time.Second: `"5s"`, time.Millisecond: `"100ms"`,
	} {
		if got := fixCut(silence)["presence.toml"]; !strings.Contains(got, "keepalive = "+want) {
			t.Errorf("cut after %s: %s, want %s", silence, got, want)
		}
	}
}

// TestLinesOfTheProxyThatIsThere: of the others only if it isn't known.
func TestLinesOfTheProxyThatIsThere(t *testing.T) {
	for said, want := range map[string][]string{
		"nginx/1.22.1": {"nginx"}, "Caddy": {"Caddy"}, "1.1 Caddy": {"Caddy"},
		"": {"nginx", "Caddy", "Traefik"}, "cloudflare": {"nginx", "Caddy", "Traefik"},
	} {
		text := print(Report{Proxy: said, Findings: []Finding{{Verdict: Problem, Fix: fixBuffering}}})
		for _, place := range places[:3] {
			if told := strings.Contains(text, " "+place+":\n"); told != slices.Contains(want, place) {
				t.Errorf("behind %q the lines of %s are told: %v", said, place, told)
			}
		}
	}
}
