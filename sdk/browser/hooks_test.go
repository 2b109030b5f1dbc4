package browser_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/evanw/esbuild/pkg/api"

	child "github.com/presence-server/presence/deploy/testserver"
)

// TestHooks mounts a hundred components that show the same user, with the real React (in StrictMode) and the real Vue.
func TestHooks(t *testing.T) {
	bundle := bundleHooks(t)
	b := startBrowser(t)
	for _, framework := range []string{"react", "vue"} {
		t.Run(framework, func(t *testing.T) {
			s := startServer(t, false)
			s.Admin("importUsers", map[string]any{"userIDList": []string{"bob", "carol"}}, nil)
			alice := b.profile().login(s, "alice", 3600)
			alice.eval(`window.calls = [], new PerformanceObserver((list) => calls.push(...list.getEntries()
				.map(({ name }) => name.split("/").pop()).filter((name) => /subscribe/.test(name)))).observe({ type: "resource" })`)
			alice.eval(`%s; 0`, bundle)
			alice.eval(`document.body.append(Object.assign(document.createElement("main"), { id: "users" })), 0`)
			alice.eval(`window.app = mount[%q](document.querySelector("#users")), app.render("bob", 100), 0`, framework)
			alice.awaitUsers("bob 3", 100)
			s.Set("bob", "In a call")
			alice.awaitUsers("bob 3 In a call", 100)
			alice.eval(`new Promise((resolve) => { const look = () => calls.length ? resolve() : setTimeout(look); look(); }).then(() => 0)`)
			if calls := alice.eval("calls"); calls != `["subscribeUserStatus"]` {
				t.Errorf("a hundred components made the calls %s", calls)
			}

			alice.eval(`app.render("carol", 2), 0`)
			alice.awaitUsers("carol 3", 2)
			s.awaitSubscriptions("alice", "carol")
			alice.eval(`chat.logout().then(() => 0)`)
			alice.awaitUsers("carol -", 2)
			alice.eval(`chat.login({ userID: "alice", userSig: %q }).then(() => 0)`, s.TokenOf("alice"))
			alice.awaitUsers("carol 3", 2)
			if others := alice.eval(`document.querySelectorAll("#users :not(p), style").length`); others != "0" {
				t.Errorf("the page has %s more elements or styles than its components render", others)
			}
			alice.eval(`app.unmount(), 0`)
			s.awaitSubscriptions("alice")
			alice.isFine()
		})
	}
}

// bundleHooks returns testdata/hooks.jsx as one script, made as the bundler of a page makes it: the package's own
// exports are resolved.
func bundleHooks(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"react", "react-dom", "vue"} {
		if _, err := os.Stat(filepath.Join("..", "node_modules", name)); err != nil {
			child.Missing(t, "%s is not installed: run npm install in sdk/", name)
		}
	}
	folder, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	built := api.Build(api.BuildOptions{
		EntryPoints:   []string{filepath.Join("testdata", "hooks.jsx")},
		Bundle:        true,
		Format:        api.FormatIIFE,
		AbsWorkingDir: filepath.Join(folder, "browser"),
		Define: map[string]string{
			"process.env.NODE_ENV":                    `"development"`,
			"__VUE_OPTIONS_API__":                     "true",
			"__VUE_PROD_DEVTOOLS__":                   "false",
			"__VUE_PROD_HYDRATION_MISMATCH_DETAILS__": "false",
		},
	})
	if len(built.Errors) > 0 {
		t.Fatalf("esbuild: %v", built.Errors)
	}
	return string(built.OutputFiles[0].Contents)
}

// awaitUsers waits until the page shows this line as often as this, and nothing else.
func (p *tab) awaitUsers(line string, count int) {
	p.t.Helper()
	p.await(`((shown) => shown.length === %d && shown.every((p) => p.textContent === %q))([...document.querySelectorAll("#users p")])`, count, line)
}

// awaitSubscriptions waits until a user has subscribed to exactly these.
func (s *server) awaitSubscriptions(userID string, want ...string) {
	s.t.Helper()
	ctx := withPatience(s.t, s.Ctx)
	for ctx.Err() == nil {
		var got []string
		var answer struct{ UserList []child.Status }
		s.Admin(fmt.Sprintf("subscriptions?userID=%s", userID), nil, &answer)
		for _, status := range answer.UserList {
			got = append(got, status.UserID)
		}
		if slices.Equal(got, want) {
			return
		}
	}
	s.t.Fatalf("%s doesn't come to have subscribed to %v", userID, want)
}
