package main

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestDoctorPrintsAKeepalive checks that the printed value is accepted by the server,
// and is well below the measured silence.
func TestDoctorPrintsAKeepalive(t *testing.T) {
	for silence, want := range map[time.Duration]string{
		60*time.Second + 31*time.Millisecond: `"30s"`, 10 * time.Second: `"5s"`, time.Millisecond: `"100ms"`,
	} {
		if got := fixCut(silence)["presence.toml"]; !strings.Contains(got, "keepalive = "+want) {
			t.Errorf("cut after %s: %s, want %s", silence, got, want)
		}
	}
}

// TestDoctorPrintsLinesOfOneProxy checks that lines for all proxies are printed only
// if the proxy isn't known.
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

// TestDoctorPrintsNoTerminalEscapes checks that what a proxy or server sends can't
// control the terminal.
func TestDoctorPrintsNoTerminalEscapes(t *testing.T) {
	text := printed(doctorReport{proxy: "nginx\x1b[31m", findings: []finding{{verdict: verdictGood, found: "HTTP/1.1 200 \x1b]0;owned\a"}}})
	if strings.ContainsAny(text, "\x1b\a") || !strings.Contains(text, `nginx\x1b[31m`) {
		t.Errorf("the report is %q", text)
	}
}

// TestTraefikSample checks that the sample for Traefik has the lines that doctor prints, and
// none of the middlewares that doctor warns about.
func TestTraefikSample(t *testing.T) {
	text, err := os.ReadFile("deploy/traefik.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(fixCut(0)["Traefik"]) {
		if line = strings.TrimSpace(line); !strings.Contains(string(text), line) {
			t.Errorf("the sample has no %q", line)
		}
	}
	for _, middleware := range []string{"buffering:", "compress:"} {
		if strings.Contains(string(text), middleware) {
			t.Errorf("the sample has the middleware %s", middleware)
		}
	}
}
