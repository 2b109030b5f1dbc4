// Package tabs_test runs tabs.test.js. It is a package of its own because it takes minutes.
package tabs_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	child "github.com/presence-server/presence/deploy/testserver"
)

var program child.Program

func TestMain(m *testing.M) { os.Exit(program.RunInFolder(m)) }

// TestTabs runs tabs.test.js, which tests how tabs share a stream, in Chromium and in
// Firefox.
func TestTabs(t *testing.T) {
	node := child.Require(t, "node", "Node runs tabs.test.js")
	if _, err := os.Stat(filepath.Join("..", "..", "node_modules", "puppeteer-core")); err != nil {
		child.Missing(t, "puppeteer-core is not installed: run npm install in sdk/")
	}
	for browser, name := range map[string]string{"chrome": "chromium", "firefox": "firefox-esr"} {
		t.Run(name, func(t *testing.T) {
			path := child.Require(t, name, "Firefox runs the SDK")
			ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
			defer cancel()
			command := exec.CommandContext(ctx, node, "--test", "tabs.test.js")
			command.Env = append(os.Environ(), "PRESENCE_BINARY="+program.Path(t), "BROWSER="+browser, "BROWSER_PATH="+path)
			if out, err := command.CombinedOutput(); err != nil {
				t.Fatalf("node --test: %v\n%s", err, out)
			}
		})
	}
}
