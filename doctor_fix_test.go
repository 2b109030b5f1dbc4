package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// TestDoctorPrintsAKeepalive: it is one that the server accepts, and well within the
// measured silence.
func TestDoctorPrintsAKeepalive(t *testing.T) {
	for silence, want := range map[time.Duration]string{
		60*time.Second + 31*time.Millisecond: `"30s"`, 10 * time.Second: `"5s"`, time.Millisecond: `"100ms"`,
	} {
		if got := fixCut(silence)["presence.toml"]; !strings.Contains(got, "keepalive = "+want) {
			t.Errorf("cut after %s: %s, want %s", silence, got, want)
		}
	}
}

// TestDoctorPrintsLinesOfOneProxy: it prints those of all proxies only if the proxy isn't
// known.
func TestDoctorPrintsLinesOfOneProxy(t *testing.T) {
	for said, want := range map[string][]string{
		"nginx/1.22.1": {"nginx"}, "Caddy": {"Caddy"}, "1.1 Caddy": {"Caddy"},
		"": {"nginx", "Caddy", "Traefik"}, "cloudflare": {"nginx", "Caddy", "Traefik"},
	} {
		text := printed(doctorReport{proxy: said, findings: []finding{{verdict: verdictProblem, fix: fixBuffering}}})
		for _, place := range fixPlaces[:3] {
			if printed := strings.Contains(text, " "+place+":\n"); printed != slices.Contains(want, place) {
				t.Errorf("behind %q the lines of %s are printed: %v", said, place, printed)
			}
		}
	}
}
