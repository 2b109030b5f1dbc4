package browser_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/chromedp"

	child "github.com/presence-server/presence/deploy/testserver"
)

// axe returns a program that finds what makes a page inaccessible to some users.
func axe(t *testing.T) string {
	t.Helper()
	script, err := os.ReadFile("../node_modules/axe-core/axe.min.js")
	if err != nil {
		child.Missing(t, "axe-core is not installed: run npm install in sdk/")
	}
	return string(script)
}

// findings returns the problems that axe finds in the page as it is now.
func (p *tab) findings() string {
	p.t.Helper()
	return p.eval(`axe.run().then(({ violations }) =>
		violations.map(({ id, nodes }) => id + ": " + nodes.map(({ html }) => html).join(" ")))`)
}

// cut returns the elements whose content is wider than their box, so that it is cut
// off or must be scrolled to.
func (p *tab) cut() string {
	p.t.Helper()
	return p.eval(`[...document.querySelectorAll("main, main *:not(input, textarea, svg *, .unseen)")]
		.filter((e) => e.clientWidth && e.scrollWidth > e.clientWidth).map((e) => e.id || e.className)`)
}

// TestAdminLooks checks each view of the page with axe, and checks the contrast of its
// texts and its width.
func TestAdminLooks(t *testing.T) {
	script := axe(t)
	contrast, err := os.ReadFile("testdata/contrast.js")
	if err != nil {
		t.Fatal(err)
	}
	s := startServer(t, false)
	s.Befriend("alice", "bob")
	s.importUsers(strings.Repeat("W", 128))
	s.Set("alice", "In a call")
	s.device("alice", "platform=ios&deviceID=phone")
	s.Admin("setUserStatus", map[string]any{"userID": "alice", "source": strings.Repeat("w", 64), "customStatus": strings.Repeat("W", 128), "availability": "busy",
		"expiresIn": 600}, nil)
	s.Do("/v1/setVisibility", s.TokenOf("alice"), map[string]any{"invisible": true}, nil)
	s.Do("/v1/subscribeUserStatus", s.TokenOf("alice"), map[string]any{"userIDList": []string{"bob"}}, nil)
	admin := startBrowser(t).profile().tab(s.URL + "/admin/")
	admin.do(chromedp.Evaluate[chromedp.Void](script))
	check := func(view string) {
		t.Helper()
		for _, width := range []int64{320, 390, 1280} {
			admin.do(chromedp.EmulateViewport(width, 800, chromedp.EmulateMobile))
			for _, scheme := range []string{"light", "dark"} {
				admin.media("prefers-color-scheme", scheme)
				if found := admin.findings(); found != "[]" {
					t.Errorf("%s, %s, %d wide: axe finds %s", view, scheme, width, found)
				}
				if faint := admin.eval("%s", contrast); faint != "[]" {
					t.Errorf("%s, %s: too faint: %s", view, scheme, faint)
				}
			}
			if cut := admin.cut(); cut != "[]" {
				t.Errorf("%s, %d wide: these are cut off: %s", view, width, cut)
			}
			if wide := admin.eval("document.documentElement.scrollWidth"); wide != fmt.Sprint(width) {
				t.Errorf("%s is %s wide in a window of %d", view, wide, width)
			}
		}
	}
	check("the form that asks for the key")
	admin.unlock(child.AdminKey)
	admin.await(`document.querySelector("#net").dataset.state === "connected" && document.querySelectorAll("#users a").length === 3`)
	admin.await(`document.querySelector("#config").children.length === 3`)
	check("the overview")
	admin.eval(`location.hash = "user=alice"`)
	admin.await(`document.querySelector("#devices").textContent.includes("phone") && document.querySelector("#subscriptions").textContent`)
	admin.do(chromedp.Click("#token-form button"))
	admin.await(`!document.querySelector("#note").hidden`)
	check("a user")
	admin.media("prefers-reduced-motion", "reduce")
	if moving := admin.eval("document.getAnimations().length"); moving != "0" {
		t.Errorf("%s animations, although less motion is preferred", moving)
	}
	admin.do(chromedp.Click("#delete"))
	check("the question before deleting")
	admin.do(chromedp.Click("#delete-no"))
	admin.eval(`location.hash = "user=nobody"`)
	admin.reads("#user-state", "Nobody with exactly this ID is registered.")
	check("a user who doesn't exist")
	s.Kill()
	admin.await(`!document.querySelector("#lost-box").hidden`)
	check("without a connection")
	admin.isFine()
}

// TestAdminUnderAPrefix uses the page behind a proxy that serves it in a folder.
func TestAdminUnderAPrefix(t *testing.T) {
	s := startServer(t, false)
	s.importUsers("alice")
	proxy := httptest.NewServer(http.StripPrefix("/a/b", reverse(t, s)))
	t.Cleanup(proxy.Close)
	t.Cleanup(s.Kill) // called before the proxy is closed, so that the feed ends
	admin := startBrowser(t).profile().admin(proxy.URL+"/a/b", "#user=alice")
	admin.reads("#why", "no device is logged in")
	s.Set("alice", "live")
	admin.reads("#user-status", "live")
	admin.isFine()
}

func reverse(t *testing.T, s *server) http.Handler {
	t.Helper()
	target, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return httputil.NewSingleHostReverseProxy(target)
}

// TestAdminReachesALimit checks that the page reports that a limit is reached, and
// that everything else continues to work.
func TestAdminReachesALimit(t *testing.T) {
	s := startServer(t, false, "LIMITS__STREAMS=1")
	s.importUsers("bob")
	stream := s.device("alice", "deviceID=phone")
	var busy atomic.Bool
	handler := reverse(t, s)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if busy.Load() && r.Method == http.MethodPost {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusTooManyRequests) // the response of a gateway, without a code of the server
			return
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(proxy.Close)
	t.Cleanup(s.Kill)
	admin := startBrowser(t).profile().tab(proxy.URL + "/admin/#user=bob")
	admin.unlock(child.AdminKey)
	admin.await(`!document.querySelector("#lost-box").hidden`)
	admin.reads("#lost-reason", "The server answers:")
	admin.reads("#why", "no device is logged in")
	busy.Store(true)
	admin.do(chromedp.Click("#kick"))
	admin.reads("#note", "The server received too many requests. Try again in 7 s.")
	busy.Store(false)
	stream.Close()
	admin.await(`document.querySelector("#net").dataset.state === "connected" && document.querySelector("#lost-box").hidden`)
	admin.isFine()
}
