package httpapi_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/presence-server/presence/presence"
)

func TestUsersByPrefix(t *testing.T) {
	s := newServer(t)
	s.register("al", "alice", "alina", "bob", "Alan", "a%")
	one := func(userID string) string { return status(userID, presence.Unlogined, "") }
	admin := s.admin()
	admin.get("/v1/admin/users?prefix=al").is(`{"userList":[`+one("al")+`,`+one("alice")+`,`+one("alina")+`]}`, "IDs that begin with it")
	admin.get("/v1/admin/users?prefix=al&limit=2").is(`{"userList":[`+one("al")+`,`+one("alice")+`],"next":"alice"}`, "combines with limit")
	admin.get("/v1/admin/users?prefix=al&limit=2&after=alice").is(`{"userList":[`+one("alina")+`]}`, "combines with after")
	admin.get("/v1/admin/users?prefix=a%25").is(`{"userList":[`+one("a%")+`]}`, "there are no wildcards")
	admin.get("/v1/admin/users?prefix=").is(`{"userList":[`+one("Alan")+`,`+one("a%")+`,`+one("al")+`,`+one("alice")+`,`+one("alina")+`,`+one("bob")+`]}`,
		"all IDs begin with nothing")
	for _, none := range []string{"x", "%00", "%FF", "alicex", "ALICE"} {
		admin.get("/v1/admin/users?prefix="+none).is(`{"userList":[]}`, "nobody")
	}
}

func TestSubscriptionsOfAnyUser(t *testing.T) {
	s := newServer(t)
	s.register("alice", "bob", "carol")
	s.admin().get("/v1/admin/subscriptions?userID=alice").is(`{"userList":[]}`, "a list is never null")
	s.user("alice").post("/v1/subscribeUserStatus", `{"userIDList":["carol","bob"]}`)
	s.configure(func(settings *presence.Settings) { settings.UserStatus = false })
	s.admin().get("/v1/admin/subscriptions?userID=alice").
		is(`{"userList":[`+status("bob", presence.Unlogined, "")+`,`+status("carol", presence.Unlogined, "")+`]}`, "newest first, whatever the switch")
	s.admin().get("/v1/admin/subscriptions?userID=nobody").fails(404, "70107", "no such user")
}

func (s *server) configure(change func(*presence.Settings)) {
	s.t.Helper()
	settings := s.svc.Settings()
	change(&settings)
	if err := s.svc.Configure(s.t.Context(), settings); err != nil {
		s.t.Fatal(err)
	}
}

func TestAnAdminLogsDevicesOut(t *testing.T) {
	s := newServer(t)
	alice := s.user("alice")
	logout := func(members string) {
		s.admin().post("/v1/admin/logout", `{"userID":"alice"`+members+`}`).is(`{}`, "logging out succeeds")
	}
	tab, phone := alice.stream("deviceID", "tab").ready(), alice.stream("deviceID", "phone", "platform", "ios").ready()
	logout(`,"deviceID":"never seen"`)
	logout(`,"deviceID":"phone"`)
	phone.is("KICKED_OUT", `{"type":"logout"}`, "the device is logged out")
	alice.post("/v1/setSelfStatus", `{"customStatus":"still here"}`)
	tab.is("USER_STATUS_UPDATED", `[`+status("alice", presence.Online, "still here")+`]`, "other devices stay")
	alice.open("deviceID", "phone", "platform", "ios", "Last-Event-ID", phone.Cursor()).isRefused("logout")
	alice.stream("deviceID", "phone", "platform", "ios").ready() // logs in again, with the same token
	logout(``)
	tab.is("KICKED_OUT", `{"type":"logout"}`, "no deviceID: all devices")
	alice.post("/v1/getUserStatus", `{"userIDList":["alice"]}`).
		is(`{"successUserList":[`+status("alice", presence.Unlogined, "still here")+`],"failureUserList":[]}`, "tokens remain valid, and no device is left")
	s.admin().post("/v1/admin/logout", `{"userID":"nobody"}`).fails(404, "70107", "no such user")
}

func TestConfigShowsWhatTheProgramChooses(t *testing.T) {
	streams := 7
	s := newServer(t, func(o *options) {
		o.config.ShownConfig = func() map[string]any {
			return map[string]any{"limits": map[string]any{"streams": streams}, "listen": ":80", "cors": map[string]any{"origins": []any{}}}
		}
	})
	s.admin().get("/v1/admin/config").is(`{"cors":{"origins":[]},"limits":{"streams":7},"listen":":80"}`, "what the program shows")
	streams = 8
	s.admin().get("/v1/admin/config").is(`{"cors":{"origins":[]},"limits":{"streams":8},"listen":":80"}`, "what it shows now")
}

// TestConfigOfAnEmbedder checks that it contains the current settings and limits,
// under the keys of presence.toml.
func TestConfigOfAnEmbedder(t *testing.T) {
	s := newServer(t, func(o *options) { o.config.Limits.QueryUsers = 77 })
	s.configure(func(settings *presence.Settings) { settings.FriendNotifications = false })
	var got struct {
		Data map[string]map[string]any
	}
	a := s.admin().get("/v1/admin/config")
	if err := json.Unmarshal([]byte(a.body), &got); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	sample, err := os.ReadFile("../presence.toml")
	if err != nil {
		t.Fatal(err)
	}
	_, shared, _ := strings.Cut(string(sample), "\n[features]\n")
	shared, _, _ = strings.Cut(shared, "\n[tls]\n")
	var want, keys []string
	for _, found := range regexp.MustCompile(`(?m)^(\w+) = `).FindAllStringSubmatch(shared, -1) {
		want = append(want, found[1])
	}
	for _, table := range got.Data {
		keys = slices.AppendSeq(keys, maps.Keys(table))
	}
	if slices.Sort(want); fmt.Sprint(slices.Sorted(slices.Values(keys))) != fmt.Sprint(want) {
		t.Errorf("the keys are %q, want those of presence.toml: %q", keys, want)
	}
	for key, is := range map[string]bool{
		"features.friend_notifications": got.Data["features"]["friend_notifications"] == false,
		"limits.query_users":            got.Data["limits"]["query_users"] == 77.0,
		"limits.window":                 got.Data["limits"]["window"] == "5s",
		"timing.keepalive":              got.Data["timing"]["keepalive"] == s.svc.Settings().Keepalive.String(),
	} {
		if !is {
			t.Errorf("%s is not as it is set: %s", key, a.body)
		}
	}
}

// TestRenameUser checks that watchers receive both IDs, that streams of the old ID end and
// its tokens are refused, for streams and calls, and that friends and subscriptions belong
// to the new ID.
func TestRenameUser(t *testing.T) {
	s := newServer(t)
	s.register("alice", "bob")
	alice, bob := s.user("alice"), s.user("bob")
	s.admin().post("/v1/admin/addFriends", `{"userID":"alice","friendIDList":["bob"]}`)
	tab := alice.stream("deviceID", "tab").ready()
	alice.post("/v1/setSelfStatus", `{"customStatus":"hello"}`)
	watcher := bob.stream().ready()
	feed := s.feed("", "")
	feed.is("READY", `{"version":N}`, "the feed begins")
	s.admin().post("/v1/admin/renameUser", `{"userID":"alice","to":"alicia"}`).is(status("alicia", presence.Unlogined, "hello"), "the status under the new ID")
	both := `[` + status("alice", presence.Unknown, "") + `,` + status("alicia", presence.Unlogined, "hello") + `]`
	watcher.is("USER_STATUS_UPDATED", both, "a watcher receives both IDs")
	feed.is("USER_STATUS_UPDATED", both, "and so does a feed")
	tab.is("USER_STATUS_UPDATED", `[`+status("alice", presence.Online, "hello")+`]`, "what was sent before")
	tab.is("KICKED_OUT", `{"type":"REST_API_Kick"}`, "streams of the old ID end as after a kick")
	alice.get("/v1/friends").fails(401, "70052", "a call with a token of the old ID")
	alice.get("/v1/events").fails(401, "70052", "a stream with a token of the old ID")
	s.user("alicia").get("/v1/friends").is(`{"userList":[`+status("bob", presence.Online, "")+`]}`, "friends stay with the user")
	bob.get("/v1/friends").is(`{"userList":[`+status("alicia", presence.Unlogined, "hello")+`]}`, "on both sides")
	s.admin().post("/v1/admin/renameUser", `{"userID":"alicia","to":"bob"}`).fails(400, "70402", "the new ID belongs to a user")
}
