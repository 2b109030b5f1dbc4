package doctor

import (
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
