package browser_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/chromedp/chromedp"

	child "github.com/presence-server/presence/deploy/testserver"
	"github.com/presence-server/presence/sdk"
)

// startNodes starts three nodes that share a log in PostgreSQL. alice, bob and carol are
// friends.
func startNodes(t *testing.T, env ...string) (*child.Postgres, []*server) {
	t.Helper()
	child.Require(t, "chromium", "Chromium runs the demo page")
	postgres := child.StartPostgres(t)
	var nodes []*server
	for i := range 3 {
		nodes = append(nodes, startServer(t, false, append(env, "CLUSTER__LOG="+postgres.URL("postgres"), fmt.Sprint("CLUSTER__NAME=node", i+1))...))
	}
	for _, friends := range [][2]string{{"alice", "bob"}, {"bob", "carol"}, {"carol", "alice"}} {
		nodes[0].Befriend(friends[0], friends[1])
	}
	return postgres, nodes
}

// demoThrough returns the URL of the demo page behind nginx, which passes requests to a
// node, and to another one while that is away. A server with -dev can't be a node, so the
// pages and the tokens come from a server of their own.
func demoThrough(t *testing.T, node, other *server) string {
	t.Helper()
	address, err := child.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	child.Nginx(t, t.TempDir(), address, fmt.Sprintf(`
		upstream nodes { server %s fail_timeout=1s; server %s backup; }
		server {
			listen %[3]s;
			location / { proxy_pass %[4]s; }
			location /sdk/ { proxy_pass http://nodes; }
			location /v1/ { proxy_pass http://nodes; proxy_http_version 1.1; proxy_next_upstream error timeout http_503; }
			location = /v1/dev/token { proxy_pass %[4]s; }
		}`, node.Address, other.Address, address, pagesAndTokens(t, other)))
	return "http://" + address
}

// pagesAndTokens starts a server for the demo page, which issues tokens to anyone. It
// returns its URL.
func pagesAndTokens(t *testing.T, node *server) string {
	pages := http.NewServeMux()
	pages.Handle("/", http.FileServerFS(sdk.Demo()))
	pages.HandleFunc("POST /v1/dev/token", func(w http.ResponseWriter, r *http.Request) {
		var user struct{ UserID string }
		err := json.NewDecoder(r.Body).Decode(&user)
		if err == nil {
			user.UserID, err = node.Token(r.Context(), user.UserID, 3600)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		json.NewEncoder(w).Encode(map[string]any{"code": 0, "data": map[string]any{"token": user.UserID}})
	})
	s := httptest.NewServer(pages)
	t.Cleanup(s.Close)
	return s.URL
}

// recordShown stores each text that the page shows as the status of a friend from now on
// in window.shown, as "bob: Online", unless it is the same as before, and each new state of
// the connection in window.nets.
func (p *tab) recordShown() {
	p.t.Helper()
	p.eval(`window.shown = [];
		for (const item of document.querySelectorAll("#friends li")) {
			let last;
			const note = () => {
				const { textContent } = item.querySelector(".status");
				if (textContent !== last) shown.push(item.querySelector(".name").textContent + ": " + textContent);
				last = textContent;
			};
			new MutationObserver(note).observe(item, { subtree: true, childList: true, characterData: true });
			note();
		}
		window.nets = [];
		const net = document.querySelector("#net");
		new MutationObserver(() => nets.push(net.dataset.state)).observe(net, { attributes: true, attributeFilter: ["data-state"] });
		undefined`)
}

// awaitsShown waits until the page shows the status of a friend as a text.
func (p *tab) awaitsShown(friendID, text string) {
	p.t.Helper()
	p.await(`document.querySelector("#person-%s .status").textContent === %q`, friendID, text)
}

// hasShown checks everything that the page has shown since recordShown.
func (p *tab) hasShown(want ...string) {
	p.t.Helper()
	var got []string
	if err := json.Unmarshal([]byte(p.eval("shown")), &got); err != nil || !slices.Equal(got, want) {
		p.t.Errorf("the page has shown %q, %v, want %q", got, err, want)
	}
}

// picture saves a screenshot among the artifacts of the test.
func (p *tab) picture(name string) {
	p.t.Helper()
	image, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.t.ArtifactDir(), name+".png"), image, 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// lookAtEachOther opens the pages of two people at two nodes, who also look at carol, and
// records what the pages show.
func lookAtEachOther(t *testing.T, nodes []*server) (alice, bob *tab) {
	t.Helper()
	b := startBrowser(t)
	alice = b.profile().demo(demoThrough(t, nodes[0], nodes[2]), "alice")
	bob = b.profile().demo(demoThrough(t, nodes[1], nodes[2]), "bob")
	for _, page := range []*tab{alice, bob} {
		page.do(chromedp.EmulateViewport(1000, 700))
		page.awaitsShown("carol", "Online")
	}
	alice.awaitsShown("bob", "Online")
	bob.awaitsShown("alice", "Online")
	alice.recordShown()
	bob.recordShown()
	return alice, bob
}

// TestNodeKilled kills the node of one of two people who look at each other.
func TestNodeKilled(t *testing.T) {
	_, nodes := startNodes(t, "TIMING__RESTART_GRACE=5s")
	carol := nodes[0].Open("carol", "")
	alice, bob := lookAtEachOther(t, nodes)

	nodes[0].Kill()
	alice.await(`nets.some((state) => state !== "connected") && nets.at(-1) === "connected"`) // her page may be back before the test looks at it
	// Carol doesn't come back. So this shows that Alice has outlived her grace.
	carol.Close()
	bob.awaitsShown("carol", "Not logged in")
	alice.awaitsShown("carol", "Not logged in")
	alice.preset("In a call")
	bob.awaitsShown("alice", "Online · In a call")
	bob.preset("Focusing")
	alice.awaitsShown("bob", "Online · Focusing")

	alice.hasShown("bob: Online", "carol: Online", "carol: Not logged in", "bob: Online · Focusing")
	bob.hasShown("alice: Online", "carol: Online", "carol: Not logged in", "alice: Online · In a call")
	alice.picture("alice")
	bob.picture("bob")
	alice.isFine()
	bob.isFine()
}

// TestPostgresRestarted kills PostgreSQL and starts it again while two people look at each
// other: once at once, and once after the nodes have ended their streams because it is
// away.
func TestPostgresRestarted(t *testing.T) {
	postgres, nodes := startNodes(t)
	nodes[2].Open("carol", "")
	alice, bob := lookAtEachOther(t, nodes)
	start := func() {
		if err := postgres.Start(); err != nil {
			t.Fatal(err)
		}
	}

	postgres.Kill()
	start()
	alice.preset("In a call")
	bob.awaitsShown("alice", "Online · In a call")

	postgres.Kill()
	alice.net("!==", "connected")
	bob.net("!==", "connected")
	bob.picture("without-postgres")
	start()
	alice.net("===", "connected")
	bob.net("===", "connected")
	bob.preset("Focusing")
	alice.awaitsShown("bob", "Online · Focusing")

	alice.hasShown("bob: Online", "carol: Online", "bob: Online · Focusing")
	bob.hasShown("alice: Online", "carol: Online", "alice: Online · In a call")
	alice.picture("alice")
	bob.picture("bob")
	alice.isFine()
	bob.isFine()
}

// net waits until the state of the connection that the page shows is one, or isn't.
func (p *tab) net(comparison, state string) {
	p.t.Helper()
	p.await(`document.querySelector("#net").dataset.state %s %q`, comparison, state)
}

// preset clicks a status.
func (p *tab) preset(text string) {
	p.t.Helper()
	p.do(chromedp.Click(fmt.Sprintf(`#presets button[value=%q]`, text)))
}
