package httpapi_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"html/template"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"sync"

	"github.com/presence-server/presence/httpapi"
	"github.com/presence-server/presence/presence"
)

// chatPage shows the changes of friends. It receives the user ID of the session, or "".
var chatPage = template.Must(template.New("").Parse(`<!doctype html><title>Chat</title>
{{if .}}<form action="logout" method="post"><button>Log out</button></form><ul id="log"></ul>
<script type="module">
import sdk from "/presence/sdk/presence.js";
const chat = sdk.create({ SDKAppID: 1, serverURL: "/presence", cookies: true });
const show = ({ userID, customStatus }) => log.append(userID + ": " + customStatus, document.createElement("br"));
chat.on(sdk.EVENT.USER_STATUS_UPDATED, ({ data }) => data.forEach(show));
chat.on(sdk.EVENT.KICKED_OUT, () => location.reload());
await chat.login({ userID: {{.}} });
</script>{{else}}<form action="login" method="post"><input name="user"><button>Log in</button></form>{{end}}`))

// chat is a program with cookie sessions. Each session is a device of its user.
type chat struct {
	presence *presence.Service
	sessions sync.Map // the value of the cookie → httpapi.Credentials
}

// session is the one function from a request to its credentials. Without a session they are empty.
func (c *chat) session(r *http.Request) (credentials httpapi.Credentials, err error) {
	if cookie, err := r.Cookie("session"); err == nil {
		session, _ := c.sessions.Load(cookie.Value)
		credentials, _ = session.(httpapi.Credentials)
	}
	return credentials, nil
}

func (c *chat) page(w http.ResponseWriter, r *http.Request) {
	session, _ := c.session(r)
	chatPage.Execute(w, session.UserID)
}

func (c *chat) login(w http.ResponseWriter, r *http.Request) {
	userID, key := r.FormValue("user"), rand.Text() // a real program checks a password
	if failed, err := c.presence.Import(r.Context(), []string{userID}); err != nil || len(failed) > 0 {
		http.Error(w, "can't log in as this user", http.StatusBadRequest)
		return
	}
	c.sessions.Store(key, httpapi.Credentials{UserID: userID, DeviceID: rand.Text()})
	http.SetCookie(w, &http.Cookie{Name: "session", Value: key, HttpOnly: true, Secure: true, SameSite: http.SameSiteLaxMode})
	http.Redirect(w, r, ".", http.StatusSeeOther)
}

// logout ends the session, and then its stream. The other sessions of the user continue.
func (c *chat) logout(w http.ResponseWriter, r *http.Request) {
	if session, _ := c.session(r); session.UserID != "" {
		cookie, _ := r.Cookie("session")
		c.sessions.Delete(cookie.Value)
		if err := c.presence.Logout(r.Context(), session.UserID, session.DeviceID); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	http.Redirect(w, r, ".", http.StatusSeeOther)
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// Example_cookies is a chat with cookie sessions: its page, its login and logout, and
// the Handler under a prefix. Set Config.Registerer to add the metrics to the program's.
func Example_cookies() {
	folder, _ := os.MkdirTemp("", "chat")
	defer os.RemoveAll(folder)
	c := &chat{presence: must(presence.Open(context.Background(), presence.Config{Path: filepath.Join(folder, "presence.db")}))}
	defer c.presence.Close()
	api := must(httpapi.New(httpapi.Config{Service: c.presence, Authenticate: c.session}))
	mux, protection := http.NewServeMux(), http.NewCrossOriginProtection() // no other site logs users in or out
	mux.HandleFunc("GET /{$}", c.page)
	mux.Handle("POST /login", protection.Handler(http.HandlerFunc(c.login)))
	mux.Handle("POST /logout", protection.Handler(http.HandlerFunc(c.logout)))
	mux.Handle("/presence/", http.StripPrefix("/presence", api))
	server := httptest.NewTLSServer(mux) // browsers protect cookies over HTTPS only
	defer server.Close()

	laptop, phone := *server.Client(), *server.Client()
	for _, browser := range []*http.Client{&laptop, &phone} {
		browser.Jar = must(cookiejar.New(nil))
		must(browser.PostForm(server.URL+"/login", url.Values{"user": {"alice"}})).Body.Close()
	}
	must(laptop.PostForm(server.URL+"/logout", nil)).Body.Close()
	for _, browser := range []*http.Client{&laptop, &phone} {
		response := must(browser.Get(server.URL + "/presence/v1/subscriptions"))
		response.Body.Close()
		fmt.Println(response.Status)
	}
	// Output:
	// 401 Unauthorized
	// 200 OK
}
