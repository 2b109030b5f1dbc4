package browser_test

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"
)

// demoPage opens the page with two people, and waits until both are logged in.
func demoPage(s *server, b *browser) *tab {
	b.t.Helper()
	page := b.profile().tab(s.URL + "/")
	page.await(`"ready" in document.body.dataset`)
	page.shows("bob-sees-alice", "online")
	return page
}

// shows waits until one of the two sees a person as words say.
func (p *tab) shows(id, words string) {
	p.t.Helper()
	p.await(`document.querySelector("#" + %q + " .status").textContent.replace(/[\u2068\u2069]/g, "") === %q`, id, words)
}

// flip clicks a switch, and waits until it is on or off.
func (p *tab) flip(name string, on bool) {
	p.t.Helper()
	p.eval(`[...document.querySelectorAll("[role=switch]")].find((b) => b.textContent === %q).click()`, name)
	p.await(`[...document.querySelectorAll("[role=switch]")].find((b) => b.textContent === %q).ariaChecked === %q`, name, fmt.Sprint(on))
}

// TestDemo flips every switch of the page with two people, and reads what the other one is sent.
func TestDemo(t *testing.T) {
	s := startServer(t, true)
	page := demoPage(s, startBrowser(t))
	page.do(chromedp.SendKeys("#text", "Hello\r"))
	page.shows("bob-sees-alice", "online, “Hello”")
	page.flip("In a call", true)
	page.shows("bob-sees-alice", "online, busy, “In a call”")
	page.flip("Do not disturb", true)
	page.shows("bob-sees-alice", "online, do not disturb, “In a call”")
	page.flip("In a call", false)
	page.shows("bob-sees-alice", "online, do not disturb, “Hello”")
	page.flip("Do not disturb", false)
	page.shows("bob-sees-alice", "online, “Hello”")
	page.flip("At lunch", true)
	page.shows("bob-sees-alice", "online, away, “Hello”")

	page.flip("Invisible", true)
	page.shows("bob-sees-alice", "not logged in, “Hello”")
	page.shows("alice-sees-alice", "online, away, “Hello”, invisible to others")
	page.flip("At lunch", false)
	page.shows("alice-sees-alice", "online, “Hello”, invisible to others")
	page.await(`(row => row.cells[1].textContent === "Alice is back at her device" && row.cells[3].textContent === "nothing")(timeline.rows[0])`)
	page.flip("Invisible", false)
	page.shows("bob-sees-alice", "online, “Hello”")

	page.flip("Pull the plug", true)
	page.await(`alice.isReady() && document.querySelector("#timeline").rows[0].cells[3].textContent === "nothing"`)
	page.shows("bob-sees-alice", "online, “Hello”")
	page.flip("Pull the plug", false)
	page.do(chromedp.SendKeys("#text", "Back\r"))
	page.shows("bob-sees-alice", "online, “Back”")
	page.shows("alice-sees-alice", "online, “Back”")
	page.isFine()
}

// TestDemoGrace leaves the plug out for longer than the grace.
func TestDemoGrace(t *testing.T) {
	s := startServer(t, true, "TIMING__RECONNECT_GRACE=1s")
	page := demoPage(s, startBrowser(t))
	page.flip("Pull the plug", true)
	page.shows("bob-sees-alice", "not logged in")
	page.flip("Pull the plug", false)
	page.shows("bob-sees-alice", "online")
	page.isFine()
}

// TestDemoLooks holds the page to axe, and to its width.
func TestDemoLooks(t *testing.T) {
	script := axe(t)
	s := startServer(t, true)
	b := startBrowser(t)
	page := demoPage(s, b)
	page.do(chromedp.Evaluate[chromedp.Void](script))
	page.flip("In a call", true)
	page.flip("Invisible", true)
	page.shows("bob-sees-alice", "not logged in, busy, “In a call”")
	for _, width := range []int64{320, 390, 1280} {
		page.do(chromedp.EmulateViewport(width, 800, chromedp.EmulateMobile))
		for _, scheme := range []string{"light", "dark"} {
			page.media("prefers-color-scheme", scheme)
			if found := page.findings(); found != "[]" {
				t.Errorf("%s, %d wide: axe finds %s", scheme, width, found)
			}
		}
		if wide := page.eval("document.documentElement.scrollWidth"); wide != fmt.Sprint(width) {
			t.Errorf("the page is %s wide in a window of %d", wide, width)
		}
	}
}
