package browser_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	child "github.com/presence-server/presence/deploy/testserver"
)

// admin opens the admin page at a hash, types the key, and waits until the page is
// live.
func (p *profile) admin(url, hash string) *tab {
	p.t.Helper()
	tab := p.tab(url + "/admin/" + hash)
	tab.unlock(child.AdminKey)
	tab.await(`document.querySelector("#net").dataset.state === "connected"`)
	return tab
}

// unlock types the key, and presses Enter.
func (p *tab) unlock(key string) {
	p.t.Helper()
	p.await(`document.activeElement === document.querySelector("#key")`)
	p.press(key, "\r")
}

// press types text and keys into the focused element.
func (p *tab) press(keys ...string) {
	p.t.Helper()
	for _, key := range keys {
		p.do(chromedp.KeyEvent(key))
	}
}

// tabTo presses Tab until the element has the focus, as a user without a mouse does.
func (p *tab) tabTo(selector string) {
	p.t.Helper()
	for range 200 {
		p.press(kb.Tab)
		if p.eval(`document.activeElement.matches(%q)`, selector) == "true" {
			return
		}
	}
	p.t.Fatalf("Tab never reaches %s\n%s", selector, p.text())
}

// reads waits until the text of an element contains a text.
func (p *tab) reads(selector, text string) {
	p.t.Helper()
	p.await(`document.querySelector(%q)?.textContent.includes(%q)`, selector, text)
}

func (s *server) importUsers(userIDs ...string) {
	s.t.Helper()
	s.Admin("importUsers", map[string]any{"userIDList": userIDs}, nil)
}

// device opens a stream, which makes its user ONLINE until it is closed.
func (s *server) device(userID, query string) *child.Stream {
	s.t.Helper()
	stream, err := s.Follow(s.Ctx, s.TokenOf(userID), query, "")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(stream.Close)
	return stream
}

// TestAdminExplainsAUser finds a user, and follows what happens to them.
func TestAdminExplainsAUser(t *testing.T) {
	s := startServer(t, false, "TIMING__RECONNECT_GRACE=1s")
	s.Befriend("alice", "bob")
	s.importUsers("alan", "carol")
	admin := startBrowser(t).profile().admin(s.URL, "")

	admin.reads("#counts", "Not logged in4")
	admin.press("al")
	admin.await(`[...document.querySelectorAll("#users .name")].map((e) => e.textContent).join() === "alan,alice"`)
	admin.reads("#users-state", "2 users whose ID begins with “\u2068al\u2069”.")
	admin.do(chromedp.Click(`#users [href="#user=alice"]`))
	admin.reads("#user-id", "alice")
	admin.reads("#why", "Not logged in because no device is logged in")
	admin.reads("#friends", "bob")

	phone := s.device("alice", "platform=ios&deviceID=phone")
	admin.reads("#user-status", "Online")
	admin.reads("#users [aria-current]", "Online")
	admin.reads("#why", "Online because 1 device is connected")
	admin.reads("#devices", "phoneios · Connected since")
	s.Do("/v1/subscribeUserStatus", s.TokenOf("alice"), map[string]any{"userIDList": []string{"carol"}}, nil)
	s.Set("bob", "at lunch")
	admin.reads("#friends", "at lunch")

	phone.Close()
	admin.reads("#devices", "Disconnected without logging out")
	admin.reads("#why", "Offline because no device is connected")
	admin.reads("#next", "Not logged in at")
	admin.reads("#announce", "is Offline")
	admin.do(chromedp.Reload())
	admin.reads("#subscriptions", "carol")
	admin.isFine()
}

// TestAdminShowsAvailability: what is said about a user, what each device and entry adds, and
// what others see.
func TestAdminShowsAvailability(t *testing.T) {
	s := startServer(t, false)
	s.importUsers("bob")
	s.device("alice", "platform=ios&deviceID=phone")
	admin := startBrowser(t).profile().admin(s.URL, "")
	admin.reads("#counts", "Away0")
	s.Do("/v1/setIdle", s.TokenOf("alice"), map[string]any{"deviceID": "phone", "idle": true}, nil)
	admin.reads("#users", "aliceOnline, away")
	admin.reads("#counts", "Away1")
	s.Admin("setUserStatus", map[string]any{"userID": "bob", "availability": "dnd"}, nil)
	admin.reads("#users", "bobNot logged in, do not disturb")
	admin.reads("#counts", "Busy1")

	admin.eval(`location.hash = "user=alice"`)
	admin.reads("#entries-state", "Nothing.")
	admin.reads("#said", "away, because nobody is using any of the devices")
	admin.reads("#devices", "nobody is using it since")
	admin.reads("#devices", "Adds Online, and away unless another device is in use.")
	admin.await(`document.querySelector("#others-box").hidden`)
	s.Admin("setUserStatus", map[string]any{"userID": "alice", "source": "call", "customStatus": "<b>In a call", "availability": "busy", "expiresIn": 600}, nil)
	s.Do("/v1/setVisibility", s.TokenOf("alice"), map[string]any{"invisible": true}, nil)
	admin.reads("#user-status", "Online, busy · invisible to others · <b>In a call · until ")
	admin.reads("#entries", "call<b>In a call · Busy · priority 10 · until ")
	admin.reads("#entries", "Adds the custom status, and the availability busy.")
	admin.reads("#others", "Others see Not logged in, because the user is invisible")
	admin.reads("#devices", "nothing for others, because the user is invisible.")
	s.Do("/v1/setVisibility", s.TokenOf("alice"), map[string]any{"invisible": false}, nil)
	admin.await(`document.querySelector("#others-box").hidden`)
	admin.isFine()
}

// TestAdminCharts checks that the charts show what happens within seconds.
func TestAdminCharts(t *testing.T) {
	s := startServer(t, false)
	s.Befriend("alice", "bob")
	admin := startBrowser(t).profile().admin(s.URL, "")
	admin.awaitChart("Changes per second", `label.includes(": 0 now")`)
	s.device("bob", "deviceID=tab")
	admin.awaitChart("Open streams", `label.includes("between 1 and 2 in the last")`) // the feed of the page counts as a stream
	for i := range 20 {
		s.Set("alice", fmt.Sprint(i))
	}
	admin.awaitChart("Changes per second", `/: [1-9].* now/.test(label) && line.includes("L")`)
	admin.awaitChart("Deliveries per second", `/between .* and [1-9]/.test(label)`) // delivered to bob and to the page
	admin.isFine()
}

// awaitChart waits until the label and the line of a visible chart meet a condition.
func (p *tab) awaitChart(title, condition string) {
	p.t.Helper()
	p.await(`[...document.querySelectorAll(".chart svg")].some((chart) => {
		const label = chart.getAttribute("aria-label");
		const line = chart.querySelector(".line").getAttribute("d") ?? "";
		return label.startsWith(%q) && chart.checkVisibility() && %s;
	})`, title+": ", condition)
}

// TestAdminWebhooks shows a failing webhook, and a page without webhooks.
func TestAdminWebhooks(t *testing.T) {
	profile := startBrowser(t).profile()
	without := profile.admin(startServer(t, false).URL, "")
	without.reads("#webhooks-state", "No webhook is configured.")

	address, err := child.FreeAddress() // no server listens there
	if err != nil {
		t.Fatal(err)
	}
	s := startServer(t, false, "WEBHOOKS__URLS=http://"+address+"/hook?key=hidden",
		"WEBHOOKS__SECRET=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	s.Befriend("alice", "bob")
	admin := profile.admin(s.URL, "")
	admin.reads("#webhooks .url", "http://"+address+"/hook")
	s.Set("alice", "changed")
	admin.reads("#webhooks .failing", "It fails: ")
	if admin.eval(`document.body.textContent.includes("hidden")`) != "false" {
		t.Error("the page shows the query of a webhook")
	}
	without.isFine()
	admin.isFine()
}

// TestAdminByKeyboard does everything without a mouse. The element that was pressed
// may disappear, but the focus must not be lost.
func TestAdminByKeyboard(t *testing.T) {
	s := startServer(t, false)
	s.importUsers("alice", "bob")
	s.device("alice", "platform=ios&deviceID=phone")
	s.device("alice", "platform=web&deviceID=laptop")
	admin := startBrowser(t).profile().admin(s.URL, "")
	admin.await(`document.activeElement.id === "search" && document.querySelector("#users a")`)
	admin.press(kb.ArrowDown, kb.ArrowDown, kb.ArrowUp, "\r")
	admin.await(`document.activeElement.id === "user-id"`)
	admin.await(`document.querySelector("#devices").children.length === 2`)

	admin.tabTo("#devices button")
	admin.press("\r")
	admin.await(`document.querySelector("#devices").children.length === 1 && document.activeElement.id === "devices-title"`)
	admin.reads("#note", "is logged out on one device")
	admin.tabTo("#custom")
	admin.press("in a call\r")
	admin.reads("#user-status", "in a call")
	admin.tabTo("#clear-status")
	admin.press("\r")
	admin.await(`!document.querySelector("#user-status").textContent.includes("in a call") && document.activeElement.id === "custom"`)
	admin.tabTo("#token-form button")
	admin.press("\r")
	admin.await(`document.activeElement.id === "token"`)
	var self struct{ SuccessUserList []child.Status }
	token := strings.Trim(admin.eval(`document.querySelector("#token").value`), `"`)
	s.Do("/v1/getUserStatus", token, map[string]any{"userIDList": []string{"alice"}}, &self)
	if len(self.SuccessUserList) != 1 {
		t.Error("the token that the page issued is not accepted")
	}
	admin.tabTo("#kick")
	admin.press("\r")
	admin.reads("#note", "is kicked")
	admin.reads("#devices-state", "No device is logged in")
	admin.await(`document.activeElement.id === "kick"`)

	admin.tabTo("#delete")
	admin.press("\r")
	admin.await(`document.activeElement.id === "delete-no"`)
	admin.press(kb.Escape)
	admin.await(`document.activeElement.id === "delete" && !document.querySelector("#delete-dialog").open`)
	admin.press("\r")
	admin.tabTo("#delete-yes")
	admin.press("\r")
	admin.await(`document.activeElement.id === "search" && !document.querySelector("#users").textContent.includes("alice")`)
	admin.reads("#note:not([hidden])", "is deleted")
	admin.isFine()
}

// TestAdminKey tries wrong keys, a right key, and a key that the server no longer
// accepts.
func TestAdminKey(t *testing.T) {
	s := startServer(t, false)
	profile := startBrowser(t).profile()
	admin := profile.tab(s.URL + "/admin/")
	for _, wrong := range []string{"wrong", "schlüssel", "キー"} {
		admin.unlock(wrong) // which replaces the wrong key
		admin.reads("#gate-problem", "This is not the admin key of this server.")
		admin.await(`document.querySelector("#app").hidden && sessionStorage.length === 0`)
		admin.eval(`document.querySelector("#gate-problem").textContent = ""`)
	}
	admin.unlock(child.AdminKey)
	admin.await(`document.querySelector("#net").dataset.state === "connected"`)
	admin.do(chromedp.Reload())
	admin.await(`document.querySelector("#net").dataset.state === "connected"`)

	other := profile.tab(s.URL + "/admin/")
	other.await(`document.activeElement === document.querySelector("#key")`)
	other.close()

	s.Kill()
	s.Env = append(s.Env, "AUTH__ADMIN_KEY=another admin key, 32 bytes long")
	s.Start()
	admin.reads("#gate-problem", "The server no longer accepts this admin key.")
	admin.await(`document.querySelector("#app").hidden && sessionStorage.length === 0`)
	admin.isFine()
}

// TestAdminServerKilled kills the server with -9 while the page is open, and starts it again after a change.
func TestAdminServerKilled(t *testing.T) {
	s := startServer(t, false)
	s.importUsers("alice", "bob")
	b := startBrowser(t)
	overview, admin := b.profile().admin(s.URL, ""), b.profile().admin(s.URL, "#user=alice")
	admin.reads("#why", "no device")
	s.Set("alice", "before")
	admin.reads("#user-status", "before")

	s.Kill()
	admin.await(`!document.querySelector("#lost-box").hidden`)
	admin.reads("#lost", "The connection was lost at")
	// The server is ready again before the page notices, so the feed doesn't send this
	// change.
	quiet := newServerIn(t, s.Folder)
	quiet.Start()
	quiet.Set("alice", "meanwhile")
	quiet.importUsers("aaron")
	quiet.Kill()
	s.Start()
	overview.reads("#users", "aaron")
	overview.await(`document.querySelector("#lost-box").hidden`)
	admin.reads("#user-status", "meanwhile")
	admin.reads("#users", "aaron")
	admin.await(`document.querySelector("#lost-box").hidden`)
	s.Set("alice", "after")
	admin.reads("#user-status", "after")
	admin.isFine()
}

// TestAdminNastyNames shows IDs and texts that look like markup, that have no place to
// break a line, and that are written from right to left.
func TestAdminNastyNames(t *testing.T) {
	s := startServer(t, false)
	names := []string{
		`<img src=x onerror="window.hacked=1">`, "line\u2028separator", strings.Repeat("W", 128), "\u202eתירבע/#?&%",
		strings.Repeat("👩‍👩‍👧‍👦", 5), `"'; </script>`, "__proto__",
	}
	s.importUsers(append(names, "plain")...)
	s.Admin("addFriends", map[string]any{"userID": "plain", "friendIDList": names}, nil)
	admin := startBrowser(t).profile().admin(s.URL, "")
	admin.do(chromedp.EmulateViewport(390, 800, chromedp.EmulateMobile))
	for _, name := range names {
		s.Set(name, name)
		admin.eval(`location.hash = "user=" + encodeURIComponent(%q)`, name)
		admin.await(`document.querySelector("#user-id").textContent === %q`, name)
		admin.await(`document.querySelector("#user-status .custom")?.textContent === %q`, name)
		admin.await(`document.querySelector("#users [aria-current] .name")?.textContent === %q`, name)
		admin.await(`document.querySelector("#why").textContent.length > 0`)
		if wide := admin.eval("document.documentElement.scrollWidth"); wide != "390" {
			t.Errorf("the page of %q is %s wide in a window of 390", name, wide)
		}
	}
	admin.eval(`location.hash = "user=plain"`)
	admin.await(`document.querySelector("#friends").children.length === %d`, len(names))
	if admin.eval(`window.hacked === undefined && document.querySelectorAll("img, script").length`) != "2" {
		t.Error("an ID became markup")
	}
	admin.eval(`location.hash = "user=%%E0%%A4%%A"`) // the page never writes such a hash
	admin.await(`!document.querySelector("#overview").hidden`)
	admin.isFine()
}

// TestAdminManyUsers checks that the page loads only what it shows.
func TestAdminManyUsers(t *testing.T) {
	s := startServer(t, false)
	for i := range 5 {
		var names []string
		for j := range 1000 {
			names = append(names, fmt.Sprintf("user-%d%03d", i, j))
		}
		s.importUsers(names...)
	}
	admin := startBrowser(t).profile().admin(s.URL, "")
	admin.reads("#counts", "5,000")
	admin.await(`document.querySelector("#users").children.length === 50`)
	admin.reads("#users-state", "The first 50 users. Type more of the ID to narrow it down.")
	admin.do(chromedp.Click("#more"))
	admin.await(`document.querySelector("#users").children.length === 100`)
	admin.do(chromedp.Focus("#search"))
	admin.press("user-4242")
	admin.await(`document.querySelector("#users").textContent === "user-4242Not logged in"`)
	admin.press("\r")
	admin.reads("#user-id", "user-4242")
	admin.eval(`document.querySelector("#search").select()`)
	admin.press("user-9")
	admin.reads("#users-state", "No ID begins with “\u2068user-9\u2069”.")
	s.importUsers("user-9")
	admin.await(`document.querySelector("#users").textContent === "user-9Not logged in"`)
	admin.isFine()
}
