package browser_test

import (
	"cmp"
	"crypto/rand"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/presence-server/presence/httpapi"
	"github.com/presence-server/presence/presence"
)

// chat is a program that embeds the server and has cookie sessions, as in the example
// of package httpapi. Each session is a device.
type chat struct {
	t        *testing.T
	svc      *presence.Service
	sessions sync.Map // the value of a cookie → httpapi.Credentials
	tokens   sync.Map // the Authorization headers that were sent
	URL      string
}

func startChat(t *testing.T, origins ...string) *chat {
	t.Helper()
	svc, err := presence.Open(t.Context(), presence.Config{Path: filepath.Join(t.TempDir(), "presence.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { svc.Close() })
	c := &chat{t: t, svc: svc}
	api, err := httpapi.New(httpapi.Config{Service: svc, Authenticate: c.session, Origins: origins})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, "<ol id=log></ol>")
	})
	mux.HandleFunc("POST /login", c.login)
	mux.Handle("/presence/", http.StripPrefix("/presence", api))
	server := httptest.NewServer(mux)
	t.Cleanup(func() {
		svc.Drain()
		server.CloseClientConnections()
		server.Close()
	})
	c.URL = server.URL
	return c
}

func (c *chat) session(r *http.Request) (credentials httpapi.Credentials, err error) {
	if token := r.Header.Get("Authorization"); token != "" {
		c.tokens.Store(token, true)
	}
	if cookie, err := r.Cookie("session"); err == nil {
		session, _ := c.sessions.Load(cookie.Value)
		credentials, _ = session.(httpapi.Credentials)
	}
	return credentials, nil
}

func (c *chat) login(w http.ResponseWriter, r *http.Request) {
	key := rand.Text()
	c.sessions.Store(key, httpapi.Credentials{UserID: r.FormValue("user"), DeviceID: sessionPrefix + rand.Text()})
	http.SetCookie(w, &http.Cookie{Name: "session", Value: key, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

// sessionPrefix begins the IDs of the devices that the chat states, unlike those of
// the SDK.
const sessionPrefix = "session "

// befriend makes two users friends.
func (c *chat) befriend(userID, friendID string) {
	c.t.Helper()
	if _, err := c.svc.Import(c.t.Context(), []string{userID, friendID}); err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.svc.AddFriends(c.t.Context(), userID, []string{friendID}, true); err != nil {
		c.t.Fatal(err)
	}
}

// streams returns the number of streams and of devices of a user. All devices must be
// sessions of the chat.
func (c *chat) streams(userID string) (streams, devices int) {
	c.t.Helper()
	e, err := c.svc.Explain(c.t.Context(), userID)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, d := range e.Devices {
		if !strings.HasPrefix(d.DeviceID, sessionPrefix) {
			c.t.Errorf("%s has the device %q, which is not a session of the program", userID, d.DeviceID)
		}
	}
	return e.Streams, len(e.Devices)
}

// logIn starts a session of the program in a browser.
func (c *chat) logIn(p *profile, userID string) {
	c.t.Helper()
	p.tab(c.URL).eval(`fetch("/login?user=%s", { method: "POST" }).then(() => 0)`, userID)
}

// open opens a page of the program in a browser whose user is logged in, and connects
// it to the server, which is that of the page by default. The script before is run
// first.
func (c *chat) open(p *profile, userID, before, server string) *tab {
	c.t.Helper()
	tab := p.tab(c.URL)
	tab.eval(`%s;
	import("/presence/sdk/presence.js").then(async ({ default: sdk }) => {
		window.TencentCloudChat = sdk;
		window.chat = sdk.create({ SDKAppID: 1, serverURL: %q, cookies: true });
		for (const name of Object.values(sdk.EVENT)) chat.on(name, ({ data }) => {
			const text = name + JSON.stringify(data ?? "");
			document.querySelector("#log").append(Object.assign(document.createElement("li"), { textContent: text }));
		});
		await chat.login({ userID: %q });
	})`, before, cmp.Or(server, "/presence"), userID)
	tab.await("chat.isReady()")
	tab.record()
	return tab
}

// TestCookies checks that a browser session is one device with one stream, and that
// its logout ends no other, with and without Web Locks.
func TestCookies(t *testing.T) {
	for how, before := range map[string]string{
		"leader":        "0",
		"shared worker": `Object.defineProperty(navigator, "locks", { value: undefined }), 0`,
		"alone":         withoutSharing,
	} {
		t.Run(how, func(t *testing.T) {
			c := startChat(t)
			c.befriend("alice", "bob")
			b := startBrowser(t)
			laptop, phone, other := b.profile(), b.profile(), b.profile()
			c.logIn(laptop, "alice")
			c.logIn(phone, "alice")
			c.logIn(other, "bob")
			first := c.open(laptop, "alice", before, "")
			onPhone, bob := c.open(phone, "alice", before, ""), c.open(other, "bob", before, "")
			if how != "alone" { // a device has one stream
				second := c.open(laptop, "alice", before, "")
				defer second.await(`document.querySelector("#log").textContent.includes("logout")`)
			}
			if streams, devices := c.streams("alice"); streams != 2 || devices != 2 {
				t.Errorf("alice has %d streams and %d devices in two browsers, want 2 of each", streams, devices)
			}
			bob.set("to both")
			first.sees("bob 1 to both")
			onPhone.sees("bob 1 to both")

			first.eval(`chat.logout().then(() => 0)`)
			first.await(`!chat.isReady()`)
			bob.set("to the phone")
			onPhone.sees("bob 1 to the phone")
			if streams, devices := c.streams("alice"); streams != 1 || devices != 1 {
				t.Errorf("after the logout of the laptop, alice has %d streams and %d devices, want 1 of each", streams, devices)
			}
			onPhone.set("still here")
			bob.sees("alice 1 still here")
			first.isFine()
			c.tokens.Range(func(token, _ any) bool {
				t.Errorf("a page that uses cookies sent the Authorization %q", token)
				return true
			})
		})
	}
}

// TestCookiesReconnect checks that the stream is restored with the cookie, and that
// the login ends when the program has ended the session.
func TestCookiesReconnect(t *testing.T) {
	c := startChat(t)
	c.befriend("alice", "bob")
	b := startBrowser(t)
	laptop, other := b.profile(), b.profile()
	c.logIn(laptop, "alice")
	c.logIn(other, "bob")
	alice, bob := c.open(laptop, "alice", "0", ""), c.open(other, "bob", "0", "")
	alice.goOffline(true)
	alice.await(`document.querySelector("#log").textContent.includes('"connecting"')`)
	bob.set("meanwhile")
	alice.goOffline(false)
	alice.sees("bob 1 meanwhile")

	c.sessions.Clear()
	alice.eval(`chat.getUserStatus({ userIDList: ["bob"] }).catch(() => 0)`)
	alice.await(`document.querySelector("#log").textContent.includes("userSigExpired")`)
	alice.isFine()
}

// TestCookiesOfAnotherOrigin checks that a page of another origin uses the cookies if
// its origin is listed, and otherwise reads nothing.
func TestCookiesOfAnotherOrigin(t *testing.T) {
	listed, stranger := startChat(t), startChat(t)
	c := startChat(t, listed.URL)
	b := startBrowser(t)
	alice := b.profile()
	c.logIn(alice, "alice") // cookies are not isolated by port
	tab := listed.open(alice, "alice", "0", c.URL+"/presence")
	if streams, _ := c.streams("alice"); streams != 1 {
		t.Errorf("the page of a listed origin has %d streams, want 1", streams)
	}
	tab.set("from a listed origin")
	tab.sees("alice 1 from a listed origin")
	read := alice.tab(stranger.URL).eval(`fetch("%s/presence/v1/setSelfStatus", {
		method: "POST", credentials: "include", body: '{"customStatus":"forged"}',
	}).then(() => "read", () => "refused")`, c.URL)
	if read != `"refused"` {
		t.Errorf("the response to a page of an origin that isn't listed is %s, want it to be refused", read)
	}
	if all, _ := c.svc.Get("alice"); all[0].CustomStatus != "from a listed origin" {
		t.Errorf("a page of an origin that isn't listed has set the status %q", all[0].CustomStatus)
	}
}
