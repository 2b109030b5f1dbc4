package httpapi_test

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// This test compares what a client of the seed receives with what it received before there
// were entries, idle devices and invisible users.

// seedTranscript was recorded at commit e2aba1e, the last one without them: copy this file
// there, and run this test with -record-transcript. It must never be recorded with newer
// code, since it would then prove nothing.
const seedTranscript = "testdata/seed-transcript.txt"

var recordTranscript = flag.Bool("record-transcript", false, "rewrite "+seedTranscript)

// TestSeedTranscript makes all calls of the seed, those of the server API that have no new
// members, and all kinds of streams, and compares each byte of responses and events with
// what was recorded, apart from the numbers that differ from run to run.
func TestSeedTranscript(t *testing.T) {
	r := &transcript{t: t}
	for _, scene := range []func(*transcript){
		sceneOfStatuses, sceneOfQueries, sceneOfSubscriptions, sceneOfTheSwitch, sceneOfCredentials, sceneOfDevices, sceneOfDeadlines, sceneOfTheServerAPI,
	} {
		scene(r)
	}
	if *recordTranscript {
		if err := os.WriteFile(seedTranscript, []byte(r.text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(seedTranscript)
	if err != nil {
		t.Fatal(err)
	}
	got, before := strings.Split(r.text.String(), "\n"), strings.Split(string(want), "\n")
	for i := range min(len(got), len(before)) {
		if got[i] != before[i] {
			t.Fatalf("line %d of the transcript differs after\n%s\n\ngot  %s\nwant %s", i+1, strings.Join(before[max(0, i-12):i], "\n"), got[i], before[i])
		}
	}
	if len(got) != len(before) {
		t.Errorf("the transcript has %d lines, want %d", len(got), len(before))
	}
}

// transcript is what the clients of a server receive, as text.
type transcript struct {
	t    *testing.T
	s    *server
	base int64 // the version at the start of the scene
	text strings.Builder
}

// begin begins a scene with a server of its own. alice, bob and carol are registered, and
// alice and bob are friends.
func (r *transcript) begin(name string, change func(*options)) {
	r.s = newServer(r.t, change)
	r.s.register("alice", "bob", "carol")
	r.base = r.s.version()
	fmt.Fprintf(&r.text, "=== %s\n\n", name)
	r.admin("/v1/admin/addFriends", `{"userID":"alice","friendIDList":["bob"]}`)
}

func (r *transcript) admin(path, body string) { r.call(r.s.admin(), "the backend", path, body) }

func (r *transcript) user(name, path, body string) { r.call(r.s.user(name), name, path, body) }

// call makes a call, and adds the response. An empty body makes it a GET, and "-" sends none.
func (r *transcript) call(c caller, name, path, body string) {
	r.t.Helper()
	method := "POST"
	if body == "" {
		method = "GET"
	}
	a := r.s.call(method, path, c.token, strings.TrimPrefix(body, "-"))
	fmt.Fprintf(&r.text, "%s: %s %s %.100s\n%d\n", name, method, r.normal(path), r.normal(body), a.status)
	var lines []string
	for key, values := range a.header {
		lines = append(lines, key+": "+r.headerValue(key, strings.Join(values, ", ")))
	}
	slices.Sort(lines)
	fmt.Fprintf(&r.text, "%s\n\n%s\n", strings.Join(lines, "\n"), r.normal(a.body))
}

// headerValue returns the value of a header, without what differs from run to run.
func (r *transcript) headerValue(key, value string) string {
	switch key {
	case "Date", "X-Request-Id", "Retry-After", "Content-Length": // times have different lengths
		return "…"
	}
	return value
}

// stream opens a stream, and adds its header and first event.
func (r *transcript) stream(name string, more ...string) *stream {
	r.t.Helper()
	st := r.s.user(name).stream(more...)
	fmt.Fprintf(&r.text, "%s: GET /v1/events %s\n", name, r.normal(strings.Join(more, " ")))
	var lines []string
	for key, values := range st.response.Header {
		lines = append(lines, key+": "+r.headerValue(key, strings.Join(values, ", ")))
	}
	slices.Sort(lines)
	fmt.Fprintf(&r.text, "%s\n\n", strings.Join(lines, "\n"))
	r.event(name, st)
	return st
}

// event waits for the next event of a stream, and adds it.
func (r *transcript) event(name string, st *stream) {
	r.t.Helper()
	fmt.Fprintf(&r.text, "%s receives\n%s\n", name, r.normal(st.next().Raw))
}

// end adds the events up to the proper end of a stream.
func (r *transcript) end(name string, st *stream) {
	r.t.Helper()
	for {
		e, err := st.read()
		if err != nil {
			fmt.Fprintf(&r.text, "the stream of %s ends: %s\n\n", name, err)
			return
		}
		fmt.Fprintf(&r.text, "%s receives\n%s\n", name, r.normal(e.Raw))
	}
}

var (
	bigNumber = regexp.MustCompile(`\b\d{16}\b`)
	anyTime   = regexp.MustCompile(`\d{4}-\d\d-\d\dT[\d:.]+Z`)
	anyToken  = regexp.MustCompile(`"token":"[^"]+"`)
)

// normal replaces versions by their distance from the first, times, and tokens.
func (r *transcript) normal(text string) string {
	text = bigNumber.ReplaceAllStringFunc(text, func(digits string) string {
		n, _ := strconv.ParseInt(digits, 10, 64)
		return fmt.Sprintf("V%+d", n-r.base)
	})
	return anyToken.ReplaceAllString(anyTime.ReplaceAllString(text, "T"), `"token":"…"`)
}

func sceneOfStatuses(r *transcript) {
	r.begin("setSelfStatus", func(*options) {})
	bob := r.stream("bob", "deviceID", "tab")
	alice := r.stream("alice", "deviceID", "phone", "platform", "ios")
	r.event("bob", bob)
	for _, body := range []string{
		`{"customStatus":"In a call"}`, `{"customStatus":"In a call","expiresIn":3600}`, `{"customStatus":"In a call","expiresAt":` + in(time.Hour) + `}`,
		`{"customStatus":"\u2028 \"é\" \u0000","unknown":[null]}`, `{"customStatus":""}`,
	} {
		r.user("alice", "/v1/setSelfStatus", body)
		r.event("alice", alice)
		r.event("bob", bob)
	}
	for _, body := range []string{
		`{"customStatus":""}`, `{"customStatus":"","expiresIn":60}`, `{}`, `-`, `[]`, `{"customStatus":null}`, `{"customStatus":1}`, `{"CustomStatus":"x"}`, `{"expiresIn":60}`,
		`{"customStatus":"x"`, `{"customStatus":"x"} {}`, `{"customStatus":"` + strings.Repeat("x", 257) + `"}`, "{\"customStatus\":\"\xff\"}",
		`{"customStatus":"x","expiresIn":0}`, `{"customStatus":"x","expiresIn":null}`, `{"customStatus":"x","expiresIn":31536001}`, `{"customStatus":"x","expiresIn":1.5}`, `{"customStatus":1,"expiresIn":0}`,
		`{"customStatus":"x","expiresAt":"tomorrow"}`, `{"customStatus":"x","expiresAt":""}`, `{"customStatus":"x","expiresAt":"1970-01-01T00:00:00Z"}`,
		`{"customStatus":"x","expiresAt":"2020-01-01T00:00:00Z"}`, `{"customStatus":"x","expiresAt":` + in(year+time.Hour) + `}`,
		`{"customStatus":"x","expiresAt":"0001-01-01T00:00:00Z"}`, `{"expiresIn":0}`, `{"customStatus":1,"expiresAt":1}`, `{"expiresIn":60,"expiresAt":null}`,
		`{"customStatus":"x","expiresAt":` + in(time.Hour) + `,"expiresIn":60}`, `{"customStatus":"","expiresAt":"2020-01-01T00:00:00Z"}`,
	} {
		r.user("alice", "/v1/setSelfStatus", body)
	}
	r.user("alice", "/v1/logout", `{"deviceID":"phone"}`)
	r.end("alice", alice)
	r.event("bob", bob)
}

func sceneOfQueries(r *transcript) {
	r.begin("getUserStatus", func(o *options) { o.config.Limits.QueryUsers, o.config.Limits.CallsPerWindow = 3, 4 })
	r.user("bob", "/v1/setSelfStatus", `{"customStatus":"lunch","expiresIn":600}`)
	for _, body := range []string{`{"userIDList":["carol","bob","carol"]}`, `{"userIDList":["alice"]}`, `{"userIDList":["nobody"," bad","bob"]}`,
		`{"userIDList":["a","b","c","d"]}`, `{"userIDList":[]}`, `{"userIDList":null}`, `{"userIDList":["a",1]}`, `{}`,
		`{"userIDList":["bob"]}`, `{"userIDList":["bob"]}`, `{"userIDList":["bob"]}`, `{"userIDList":["alice"]}`} {
		r.user("alice", "/v1/getUserStatus", body)
	}
}

func sceneOfSubscriptions(r *transcript) {
	r.begin("subscribeUserStatus", func(o *options) { o.settings.Subscriptions, o.config.Limits.SubscribeUsers = 2, 4 })
	r.s.register("dave")
	alice := r.stream("alice", "deviceID", "tab")
	r.user("alice", "/v1/subscribeUserStatus", `{"userIDList":["carol","alice","nobody",""]}`)
	r.user("carol", "/v1/setSelfStatus", `{"customStatus":"hello"}`)
	r.event("alice", alice)
	r.user("alice", "/v1/subscribeUserStatus", `{"userIDList":["dave","bob"]}`)
	for _, list := range []string{`["a","b","c","d","e"]`, `[]`, `[null]`} {
		r.user("alice", "/v1/subscribeUserStatus", `{"userIDList":`+list+`}`)
		r.user("alice", "/v1/unsubscribeUserStatus", `{"userIDList":`+list+`}`)
	}
	r.user("alice", "/v1/subscribeUserStatus", `{"userIDList":["carol"]}`)
	r.user("alice", "/v1/subscriptions", "")
	r.user("alice", "/v1/friends", "")
	r.user("alice", "/v1/unsubscribeUserStatus", `{"userIDList":["carol","nobody"]}`)
	r.user("carol", "/v1/setSelfStatus", `{"customStatus":"nobody sees this"}`)
	r.user("alice", "/v1/unsubscribeUserStatus", `-`)
	r.user("bob", "/v1/setSelfStatus", `{"customStatus":"a friend"}`)
	r.event("alice", alice)
	r.user("alice", "/v1/logout", `{}`)
	r.end("alice", alice)
}

func sceneOfTheSwitch(r *transcript) {
	r.begin("the user status switch is off", func(o *options) { o.settings.UserStatus = false })
	for _, call := range []string{"getUserStatus", "subscribeUserStatus", "unsubscribeUserStatus"} {
		r.user("alice", "/v1/"+call, `{"userIDList":["bob"]}`)
	}
	r.user("alice", "/v1/getUserStatus", `{"userIDList":["alice"]}`)
	r.user("alice", "/v1/subscriptions", "")
	r.user("alice", "/v1/friends", "")
	r.user("alice", "/v1/setSelfStatus", `{"customStatus":"x"}`)
}

func sceneOfCredentials(r *transcript) {
	r.begin("credentials and paths", func(*options) {})
	stranger := r.s.as("") // what a wrong token is answered depends on how the server checks tokens
	r.call(stranger, "a stranger", "/v1/setSelfStatus", `{"customStatus":"x"}`)
	r.call(stranger, "a stranger", "/v1/events", "")
	r.call(stranger, "a stranger", "/v1/nothing", "")
	r.user("alice", "/v1/setSelfStatus", "")
	r.user("alice", "/v1/events?platform=toaster", "")
	r.user("alice", "/v1/events", `{}`)
	r.user("alice", "/v1/admin/stats", "")
	r.user("alice", "/readyz", "")
}

// sceneOfDevices: reconnecting, resuming, logging out, the device limit and a kick.
func sceneOfDevices(r *transcript) {
	r.begin("devices", func(o *options) { o.settings.DevicesPerPlatform, o.settings.ReconnectGrace = 2, 0 })
	bob := r.stream("bob", "deviceID", "tab")
	phone := r.stream("alice", "deviceID", "phone", "platform", "ios")
	r.event("bob", bob)
	cursor := phone.Cursor()
	phone.cancel()
	r.event("bob", bob)
	r.user("bob", "/v1/setSelfStatus", `{"customStatus":"while she was away"}`)
	r.event("bob", bob)
	phone = r.stream("alice", "deviceID", "phone", "platform", "ios", "Last-Event-ID", cursor)
	r.event("alice", phone)
	r.event("bob", bob)
	all := r.stream("alice", "deviceID", "tab1", "Last-Event-ID", "0")
	r.event("alice", all)
	r.stream("alice", "deviceID", "tab2")
	r.stream("alice", "deviceID", "tab3")
	r.end("alice, tab1", all)
	r.user("alice", "/v1/logout", `{"deviceID":"phone"}`)
	r.end("alice, phone", phone)
	r.call(r.s.user("alice"), "alice, phone", "/v1/events?deviceID=phone&platform=ios&lastEventId="+cursor, "")
	token := r.s.user("alice")
	r.admin("/v1/admin/kick", `{"userID":"alice"}`)
	r.event("bob", bob)
	r.call(token, "alice", "/v1/friends", "")
	r.admin("/v1/admin/deleteUsers", `{"userIDList":["alice"]}`)
	r.event("bob", bob)
	r.user("bob", "/v1/friends", "")
	r.user("bob", "/v1/logout", `-`)
	r.end("bob", bob)
}

// sceneOfDeadlines: a grace period, a retention, a custom status that expires, and one that
// is cleared after logout.
func sceneOfDeadlines(r *transcript) {
	r.begin("deadlines", func(o *options) {
		o.settings.ReconnectGrace, o.settings.OfflineRetention, o.settings.CustomStatusTTL = 300*time.Millisecond, time.Second, 600*time.Millisecond
		o.settings.Keepalive = 10 * time.Second
	})
	bob := r.stream("bob", "deviceID", "tab")
	alice := r.stream("alice", "deviceID", "phone", "platform", "ios")
	r.event("bob", bob)
	r.user("alice", "/v1/setSelfStatus", `{"customStatus":"for a second","expiresIn":1}`)
	r.event("bob", bob)
	r.event("bob", bob) // it has expired
	r.user("alice", "/v1/setSelfStatus", `{"customStatus":"until later"}`)
	r.event("bob", bob)
	alice.cancel()
	for range 3 { // OFFLINE, UNLOGINED, cleared
		r.event("bob", bob)
	}
	r.user("carol", "/v1/setSelfStatus", `{"customStatus":"without a device"}`)
	svc := r.s.svc // nobody watches carol
	until(r.t, "carol's text is cleared", func() bool {
		all, _ := svc.Get("carol")
		return all[0].CustomStatus == ""
	})
	r.user("bob", "/v1/getUserStatus", `{"userIDList":["carol"]}`)
	r.user("bob", "/v1/logout", `{}`)
	r.end("bob", bob)
}

func sceneOfTheServerAPI(r *transcript) {
	r.begin("the server API", func(o *options) { o.settings.Friends = 1 })
	for _, body := range []string{
		`{"userID":"bob","customStatus":"lunch"}`, `{"userID":"bob","customStatus":"lunch","expiresIn":60}`, `{"userID":"bob","customStatus":""}`, `{"userID":"bob"}`,
		`{"userID":"bob","customStatus":null}`, `{"customStatus":"x"}`, `{"userID":"","customStatus":"x"}`, `{"userID":"nobody","customStatus":"x"}`,
		`{"userID":"bob","customStatus":"x","other":1}`, `{"userID":"bob","customStatus":"x","expiresIn":0}`,
	} {
		r.admin("/v1/admin/setUserStatus", body)
	}
	r.admin("/v1/admin/getUserStatus", `{"userIDList":["bob","nobody"]}`)
	r.admin("/v1/admin/importUsers", `{"userIDList":["dave",""]}`)
	r.admin("/v1/admin/addFriends", `{"userID":"alice","friendIDList":["carol"]}`)
	r.admin("/v1/admin/friends?userID=alice", "")
	r.admin("/v1/admin/users?limit=2", "")
	r.admin("/v1/admin/subscriptions?userID=alice", "")
	r.admin("/v1/admin/stats", "")
	r.admin("/v1/admin/webhooks", "")
	r.admin("/v1/admin/issueToken", `{"userID":"alice","expiresIn":60}`)
	r.admin("/v1/admin/renameUser", `{"userID":"bob","to":"robert"}`)
	feed := r.s.feed("?since=0", "")
	r.event("the backend", feed)
	r.event("the backend", feed)
	r.admin("/v1/admin/setUserStatus", `{"userID":"dave","customStatus":"x"}`)
	r.event("the backend", feed)
	r.admin("/v1/admin/deleteUsers", `{"userIDList":["dave","nobody"]}`)
	r.event("the backend", feed)
}
