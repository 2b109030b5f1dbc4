package browser_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	child "github.com/presence-server/presence/deploy/testserver"
)

func TestTwoPeople(t *testing.T) {
	s := startServer(t, true)
	b := startBrowser(t)
	alice, bob := b.profile().demo(s.URL, "alice"), b.profile().demo(s.URL, "bob")

	alice.await(`document.querySelector("#person-bob .status").textContent === "Online"`)
	bob.do(chromedp.Click(`#presets button[value="In a call"]`))
	alice.await(`document.querySelector("#person-bob .status").textContent === "Online · In a call"`)
	bob.await(`document.querySelector("#you-status").textContent === "Online · In a call"`)
	bob.do(chromedp.Click("#log-out"))
	alice.await(`document.querySelector("#person-bob .status").textContent.startsWith("Not logged in")`)
	bob.await(`!document.querySelector("#notice").hidden`)

	alice.isFine()
	bob.isFine()
}

func TestSubscribingInThePage(t *testing.T) {
	s := startServer(t, true)
	b := startBrowser(t)
	alice, dave := b.profile().demo(s.URL, "alice"), b.profile().demo(s.URL, "dave")

	dave.set("unheard")
	alice.do(chromedp.Click("#person-dave .subscribe"))
	alice.await(`document.querySelector("#person-dave .status").textContent.includes("unheard")`)
	dave.set("heard")
	alice.sees("dave 1 heard")
	alice.reload()
	alice.await(`document.querySelector("#person-dave .subscribe")?.textContent === "Unsubscribe"`)
	alice.isFine()
}

// TestKeyboard sets a status without a mouse, and reads the page as a screen reader
// does.
func TestKeyboard(t *testing.T) {
	s := startServer(t, true)
	alice := startBrowser(t).profile().demo(s.URL, "alice")
	alice.do(chromedp.Focus("#custom"), chromedp.KeyEvent("Typing\r"))
	alice.sees("alice 1 Typing")
	nameless := alice.eval(`[...document.querySelectorAll("button, input, select, a")].filter((e) => e.checkVisibility() &&
		!(e.ariaLabel || e.textContent.trim() || e.labels?.length)).map((e) => e.outerHTML)`)
	if nameless != "[]" {
		t.Errorf("without a name: %s", nameless)
	}

	// The element that was pressed disappears or is replaced, and the focus must not
	// return to the start of the page.
	alice.do(chromedp.Focus("#log-out"), chromedp.KeyEvent("\r"))
	alice.await(`document.activeElement.textContent === "Log in again"`)
	alice.do(chromedp.KeyEvent("\r"))
	alice.await("chat.isReady() && document.activeElement === main")
	alice.do(chromedp.Focus(`#switch button[value="dave"]`), chromedp.KeyEvent("\r"))
	alice.await(`chat.getLoginUser() === "dave" && document.activeElement.matches("[value=dave][aria-pressed=true]")`)
	alice.isFine()
}

// TestLooks checks what can be measured about the looks of the page: contrast, width
// and motion.
func TestLooks(t *testing.T) {
	contrast, err := os.ReadFile("testdata/contrast.js")
	if err != nil {
		t.Fatal(err)
	}
	s := startServer(t, true)
	b := startBrowser(t)
	alice, bob := b.profile().demo(s.URL, "alice"), b.profile().demo(s.URL, "bob")
	bob.set(strings.Repeat("W", 256))
	alice.sees("bob 1 " + strings.Repeat("W", 256))
	alice.eval(`chat.getUserStatus({ userIDList: [] }).catch(() => 0)`)
	alice.do(chromedp.Click(`#presets button`))
	alice.await(`document.querySelector("[aria-pressed=true][value='In a call']")`)
	for _, scheme := range []string{"light", "dark"} {
		alice.media("prefers-color-scheme", scheme)
		if faint := alice.eval("%s", contrast); faint != "[]" {
			t.Errorf("too faint when it is %s: %s", scheme, faint)
		}
	}
	alice.media("prefers-reduced-motion", "reduce")
	if moving := alice.eval("document.getAnimations().length"); moving != "0" {
		t.Errorf("%s animations, although less motion is preferred", moving)
	}
	for _, width := range []int64{320, 390, 700, 1280} {
		alice.do(chromedp.EmulateViewport(width, 800, chromedp.EmulateMobile))
		if wide := alice.eval("document.documentElement.scrollWidth"); wide != fmt.Sprint(width) {
			t.Errorf("the page is %s wide in a window of %d", wide, width)
		}
	}
}

// TestComesBackAtOnce stops the timers of the page, so that only the events of the
// browser can make it reconnect.
func TestComesBackAtOnce(t *testing.T) {
	s := startServer(t, false)
	for _, locks := range []bool{true, false} {
		alice := startBrowser(t).profile().bare(s)
		if !locks {
			alice.eval(withoutSharing)
		}
		alice.login(s, "alice", 3600)
		alice.eval(`window.setTimeout = () => 0`)
		for _, event := range []string{
			`dispatchEvent(new Event("online"))`,
			`document.dispatchEvent(new Event("visibilitychange"))`,
			`dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true }))`,
		} {
			s.Kill()
			alice.await(`document.querySelector("#log").lastChild.textContent === "connecting"`)
			s.Start()
			alice.eval(event)
			alice.await(`document.querySelector("#log").lastChild.textContent === "connected"`)
		}
		alice.isFine()
	}
}

// TestOtherOrigin uses the SDK in a page that another server serves.
func TestOtherOrigin(t *testing.T) {
	site := startServer(t, false)
	s := startServer(t, false, "CORS__ORIGINS="+site.URL, "LIMITS__WINDOW=1s")
	s.Befriend("alice", "bob")
	alice := startBrowser(t).profile().bare(site)
	alice.eval(`import("%[1]s/sdk/presence.js").then(async ({ default: sdk }) => {
		window.TencentCloudChat = sdk;
		window.chat = sdk.create({ SDKAppID: 1, serverURL: "%[1]s/" });
		document.body.innerHTML = "<p id=net></p>";
		for (const name of Object.values(sdk.EVENT)) chat.on(name, ({ data }) => (net.textContent = data?.state ?? name));
		await chat.login({ userID: "alice", userSig: %[2]q });
	})`, s.URL, s.TokenOf("alice"))
	alice.record()
	bob := func(text string) {
		s.Do("/v1/setSelfStatus", s.TokenOf("bob"), map[string]any{"customStatus": text}, nil)
	}
	bob("before")
	alice.sees("bob 3 before")
	s.Kill()
	alice.await(`net.textContent === "disconnected"`)
	s.Start()
	bob("resumed") // with Last-Event-ID, which CORS must allow
	alice.sees("bob 3 resumed")
	waited := alice.eval(`(async () => {
		const start = performance.now();
		await Promise.all(Array.from({ length: 21 }, () => chat.getUserStatus({ userIDList: ["bob"] })));
		return performance.now() - start < 4000;
	})()`)
	if waited != "true" {
		t.Error("Retry-After can't be read from another origin: the SDK waited for longer than it says")
	}
	alice.isFine()
}

func TestOfflineAndOnline(t *testing.T) {
	s := startServer(t, true)
	b := startBrowser(t)
	bob, profile := b.profile().demo(s.URL, "bob"), b.profile()
	alice, second := profile.demo(s.URL, "alice"), profile.demo(s.URL, "alice")

	alice.goOffline(true)
	alice.await(`document.querySelector("#net").dataset.state !== "connected"`)
	second.await(`document.querySelector("#net").dataset.state !== "connected"`)
	bob.set("meanwhile")
	alice.goOffline(false)
	alice.sees("bob 1 meanwhile")
	second.sees("bob 1 meanwhile")
	alice.await(`document.querySelector("#net").dataset.state === "connected"`)
	second.await(`document.querySelector("#net").dataset.state === "connected"`)
	alice.set("back")
	bob.sees("alice 1 back")
	if got := bob.received("alice"); strings.Contains(got, "alice 3") {
		t.Errorf("bob saw alice flicker: %s", got)
	}
}

// TestServerKilled kills the server with -9 and starts it again on the same database.
func TestServerKilled(t *testing.T) {
	s := startServer(t, false)
	s.Befriend("alice", "bob")
	b := startBrowser(t)
	alice, bob := b.profile().login(s, "alice", 3600), b.profile().login(s, "bob", 3600)
	alice.set("before")
	bob.sees("alice 1 before")

	s.Kill()
	alice.await(`document.querySelector("#log").textContent.includes("disconnected")`)
	s.Start()
	for _, tab := range []*tab{alice, bob} { // one tab may be back at the first attempt
		tab.await(`/(connecting|disconnected)connected/.test(document.querySelector("#log").textContent)`)
	}
	alice.set("after")
	bob.sees("alice 1 after")
	if got := bob.received("alice"); got != `["alice 1 before","alice 1 after"]` {
		t.Errorf("bob received %s", got)
	}
}

// TestTokenExpiry checks that a stream opened with a token that expires continues with
// the token of another tab, and that both tabs are logged out in the same way when
// that expires, too.
func TestTokenExpiry(t *testing.T) {
	s := startServer(t, false)
	s.Befriend("alice", "bob")
	b := startBrowser(t)
	bob, alice := b.profile().login(s, "bob", 3600), b.profile()
	first, second := alice.login(s, "alice", 15), alice.login(s, "alice", 20)

	first.await(`/connecting.*connected/.test(document.querySelector("#log").textContent)`)
	bob.set("after one expired")
	for _, tab := range []*tab{first, second} {
		tab.sees("bob 1 after one expired")
		tab.eval(`chat.getUserStatus({ userIDList: ["bob"] }).then(() => 0)`)
	}
	if got := bob.received("alice"); strings.Contains(got, "alice 3") {
		t.Errorf("bob saw alice flicker: %s", got)
	}
	for _, tab := range []*tab{first, second} {
		tab.await(`document.querySelector("#log").textContent.includes("userSigExpired") && !chat.isReady()`)
		if code := tab.eval(`chat.getUserStatus({ userIDList: ["bob"] }).catch((error) => error.code)`); code != "3004" {
			t.Errorf("after all tokens have expired, calls are rejected with %s, want 3004", code)
		}
	}
}

func TestKick(t *testing.T) {
	s := startServer(t, false)
	alice := startBrowser(t).profile()
	first, second := alice.login(s, "alice", 3600), alice.login(s, "alice", 3600)
	s.Admin("kick", map[string]any{"userID": "alice"}, nil)
	for _, p := range []*tab{first, second} {
		p.await(`document.querySelector("#log").textContent.includes("REST_API_Kick")`)
		p.await("!chat.isReady()")
		if code := p.eval(`chat.getUserStatus({ userIDList: ["alice"] }).catch((error) => error.code)`); code != "3006" {
			t.Errorf("after a kick calls are rejected with %s, want 3006", code)
		}
	}
	first.eval(`chat.login({ userID: "alice", userSig: %q }).then(() => 0)`, s.TokenOf("alice"))
}

// TestProxy puts nginx with its default buffering in front of the server.
func TestProxy(t *testing.T) {
	s := startServer(t, true)
	address, err := child.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	child.Nginx(t, t.TempDir(), address, fmt.Sprintf("server { listen %s; location / { proxy_pass %s; } }", address, s.URL))
	proxy := "http://" + address
	b := startBrowser(t)
	alice, bob := b.profile().demo(proxy, "alice"), b.profile().demo(proxy, "bob")
	for i := range 5 {
		bob.set(fmt.Sprint("through ", i))
		alice.sees(fmt.Sprint("bob 1 through ", i))
	}
	bob.eval(`chat.logout().then(() => 0)`)
	alice.sees("bob 3 through 4")
	alice.isFine()
}

// TestSeedInConsole runs every snippet of the original's documentation in the page,
// word for word.
func TestSeedInConsole(t *testing.T) {
	s := startServer(t, true)
	alice := startBrowser(t).profile().demo(s.URL, "alice")
	snippets, err := filepath.Glob("../testdata/seed/*.ts")
	if err != nil || len(snippets) < 7 {
		t.Fatalf("%d snippets, %v", len(snippets), err)
	}
	for _, name := range snippets {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		alice.console(string(text))
		if strings.Contains(string(text), "let promise") {
			alice.eval("promise.then(({ code }) => { if (code !== 0) throw code; })")
		}
	}
	alice.sees("alice 1 xxx")
	alice.isFine()
}
