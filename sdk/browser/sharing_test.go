package browser_test

import (
	"fmt"
	"strings"
	"testing"
)

func TestTenTabsAreOneDevice(t *testing.T) {
	s := startServer(t, true)
	b := startBrowser(t)
	bob := b.profile().demo(s.URL, "bob")
	alice := b.profile()
	var tabs []*tab
	for range 10 {
		tabs = append(tabs, alice.demo(s.URL, "alice"))
	}
	if n := s.streams(); n != 2 {
		t.Errorf("%d streams for alice's ten tabs and bob's one, want 2", n)
	}
	bob.set("to all")
	for _, tab := range tabs {
		tab.sees("bob 1 to all") // over HTTP/1.1, which allows only six connections
		tab.eval(`chat.getUserStatus({ userIDList: ["bob"] }).then(() => 0)`)
	}
	tabs[9].eval(`chat.subscribeUserStatus({ userIDList: ["dave"] }).then(() => 0)`)
	tabs[0].await(`seen.some((s) => s.startsWith("dave 3"))`)

	tabs[0].eval(`chat.logout().then(() => 0)`) // the tab that leads
	bob.sees("alice 3")
	for i, tab := range tabs {
		tab.await(`!chat.isReady()`)
		if i != 0 {
			tab.await(`document.querySelector("#log").textContent.includes("KICKED_OUTlogout")`)
		}
		tab.isFine()
	}
}

// TestLeaderDies closes, crashes and reloads the tab that holds the stream, one after
// the other.
func TestLeaderDies(t *testing.T) {
	s := startServer(t, true, "TIMING__RECONNECT_GRACE=5s")
	b := startBrowser(t)
	bob := b.profile().demo(s.URL, "bob")
	alice := b.profile()
	first, second := alice.demo(s.URL, "alice"), alice.demo(s.URL, "alice")
	third, last := alice.demo(s.URL, "alice"), alice.demo(s.URL, "alice")

	bob.set("1")
	last.sees("bob 1 1")
	first.close()
	bob.set("2")
	last.sees("bob 1 2")
	second.crash()
	bob.set("3")
	last.sees("bob 1 3")
	third.reload()
	bob.set("4")
	last.sees("bob 1 4")
	if got := last.received("bob"); got != `["bob 1 1","bob 1 2","bob 1 3","bob 1 4"]` {
		t.Errorf("the last tab received %s", got)
	}
	last.set("still alice")
	bob.sees("alice 1 still alice")
	if got := bob.received("alice"); strings.Contains(got, "alice 3") || strings.Contains(got, "alice 0") {
		t.Errorf("bob saw alice flicker: %s", got)
	}
	last.isFine()
}

func TestReloadDoesNotFlicker(t *testing.T) {
	s := startServer(t, true)
	b := startBrowser(t)
	bob, alice := b.profile().demo(s.URL, "bob"), b.profile().demo(s.URL, "alice")
	bob.await(`document.querySelector("#person-alice .status").textContent === "Online"`)
	bob.eval("seen.length = 0")
	for i := range 3 {
		alice.reload()
		alice.set(fmt.Sprint("reload ", i))
	}
	bob.sees("alice 1 reload 2")
	if got := bob.received("alice"); got != `["alice 1 reload 0","alice 1 reload 1","alice 1 reload 2"]` {
		t.Errorf("bob received %s", got)
	}
	if devices := s.devices("alice"); len(devices) != 1 {
		t.Errorf("after her reloads alice has %d devices, want 1: %v", len(devices), devices)
	}
}

// withoutSharing removes what a browser lacks where each tab must connect by itself.
const withoutSharing = `Object.defineProperty(navigator, "locks", { value: undefined }), window.SharedWorker = undefined, 0`

// TestWithoutLocks checks that each tab is a device of its own where the browser has
// neither Web Locks nor SharedWorker.
func TestWithoutLocks(t *testing.T) {
	s := startServer(t, false)
	alice := startBrowser(t).profile()
	first, second := alice.bare(s), alice.bare(s)
	for _, tab := range []*tab{first, second} {
		tab.eval(withoutSharing)
		tab.login(s, "alice", 3600)
	}
	if n := s.streams(); n != 2 {
		t.Errorf("%d streams, want one for each tab", n)
	}
	second.set("to both")
	first.sees("alice 1 to both")
	first.eval(`chat.logout().then(() => 0)`)
	second.set("one is left")
	second.sees("alice 1 one is left")
}

// TestWorkerOfAnotherOrigin checks that each tab connects by itself where a page may
// not start a SharedWorker because it is of another origin.
func TestWorkerOfAnotherOrigin(t *testing.T) {
	site := startServer(t, false)
	s := startServer(t, false, "CORS__ORIGINS="+site.URL)
	alice := startBrowser(t).profile()
	for range 2 {
		page := alice.bare(site)
		page.eval(`Object.defineProperty(navigator, "locks", { value: undefined }), 0`)
		page.eval(`import("%[1]s/sdk/presence.js").then(({ default: sdk }) =>
			sdk.create({ SDKAppID: 1, serverURL: "%[1]s" }).login({ userID: "alice", userSig: %[2]q })).then(() => 0)`, s.URL, s.TokenOf("alice"))
		page.isFine()
	}
	if n := s.streams(); n != 2 {
		t.Errorf("%d streams, want one for each tab", n)
	}
}
