package httpapi_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/presence-server/presence/presence"
)

func TestCallsOfAUser(t *testing.T) {
	s := newServer(t)
	s.register("alice", "bob", "carol")
	alice := s.user("alice")
	bob, carol := status("bob", presence.Unlogined, ""), status("carol", presence.Unlogined, "")

	alice.post("/v1/setSelfStatus", `{"customStatus":"In a call"}`).
		is(status("alice", presence.Unlogined, "In a call"), "setSelfStatus returns the status object")
	alice.post("/v1/setSelfStatus", `{"customStatus":"Back soon","expiresIn":60}`).
		is(`{"userID":"alice","statusType":3,"customStatus":"Back soon","version":N,"expiresAt":"T"}`,
			"a custom status may carry an expiry")
	alice.post("/v1/setSelfStatus", `{"customStatus":"","expiresIn":60}`).
		is(status("alice", presence.Unlogined, ""), `"" clears the custom status`)

	alice.post("/v1/getUserStatus", `{"userIDList":["carol","nobody","bob","carol"," bad"]}`).
		is(`{"successUserList":[`+carol+`,`+bob+`],"failureUserList":[`+
			`{"userID":"nobody","code":70107,"message":"no such user"},`+
			`{"userID":" bad","code":70402,"message":"an ID must not begin or end with a space"}]}`,
			"the order of the request, without repeats, and an ID inside a list fails alone")
	alice.post("/v1/subscribeUserStatus", `{"userIDList":["bob","carol","nobody","alice"]}`).
		is(`{"successUserList":[`+bob+`,`+carol+`,`+status("alice", presence.Unlogined, "")+`],"failureUserList":[`+
			`{"userID":"nobody","code":70107,"message":"no such user"}],"evictedUserList":[]}`,
			"subscribing returns the statuses, and subscribing to oneself succeeds")
	alice.get("/v1/subscriptions").is(`{"userList":[`+carol+`,`+bob+`]}`,
		"newest first, and subscribing to oneself counts for nothing")
	alice.post("/v1/unsubscribeUserStatus", `{"userIDList":["bob","alice","nobody"]}`).
		is(`{"failureUserList":[{"userID":"nobody","code":70107,"message":"no such user"}]}`,
			"unsubscribing from someone registered but not subscribed succeeds")
	alice.get("/v1/subscriptions").is(`{"userList":[`+carol+`]}`, "unsubscribing ends that subscription only")
	for _, all := range []string{`{"userIDList":null}`, `{"userIDList":[]}`, `{}`, ``} {
		alice.post("/v1/subscribeUserStatus", `{"userIDList":["bob"]}`)
		alice.post("/v1/unsubscribeUserStatus", all).is(`{"failureUserList":[]}`, "absent, null or []: all")
		alice.get("/v1/subscriptions").is(`{"userList":[]}`, "absent, null or []: all")
	}
	alice.post("/v1/logout", `{"deviceID":"never seen"}`).is(`{}`, "logging out a device that isn't logged in is not an error")
	alice.post("/v1/logout", ``).is(`{}`, "no deviceID: all of the user's devices")
}

// TestFriendsOfAUser checks that a page can find out who the user's friends are.
func TestFriendsOfAUser(t *testing.T) {
	s := newServer(t)
	s.register("alice", "zed", "bob", "Carol", "dave")
	alice := s.user("alice")
	alice.get("/v1/friends").is(`{"userList":[]}`, "a list is never null")
	s.admin().post("/v1/admin/addFriends", `{"userID":"alice","friendIDList":["zed","bob","Carol"],"mutual":false}`)
	s.admin().post("/v1/admin/addFriends", `{"userID":"dave","friendIDList":["alice"],"mutual":false}`)
	s.user("bob").post("/v1/setSelfStatus", `{"customStatus":"hello"}`)
	alice.get("/v1/friends?new=1").is(`{"userList":[`+status("Carol", presence.Unlogined, "")+`,`+
		status("bob", presence.Unlogined, "hello")+`,`+status("zed", presence.Unlogined, "")+`]}`, "friends are sorted by userID")
	s.user("bob").get("/v1/friends").is(`{"userList":[]}`, "a follower is not a friend")
	s.admin().post("/v1/admin/deleteUsers", `{"userIDList":["bob"]}`)
	s.admin().post("/v1/admin/removeFriends", `{"userID":"alice","friendIDList":["zed"],"mutual":false}`)
	alice.get("/v1/friends").is(`{"userList":[`+status("Carol", presence.Unlogined, "")+`]}`, "a user who is no longer a friend is not listed")
}

func TestExpiresAt(t *testing.T) {
	s := newServer(t)
	alice := s.user("alice")
	at := time.Now().Add(time.Hour).Truncate(time.Second)
	set := func(text string) *answer {
		return alice.post("/v1/setSelfStatus", `{"customStatus":"x","expiresAt":"`+text+`"}`)
	}
	shows := func(a *answer, want time.Time) {
		t.Helper()
		if expiry := `"expiresAt":"` + want.UTC().Format(time.RFC3339Nano) + `"`; a.status != 200 || !strings.Contains(a.body, expiry) {
			t.Errorf("%s was answered %d %s, want %s", a.call, a.status, a.body, expiry)
		}
	}
	for _, text := range []string{
		at.UTC().Format(time.RFC3339), at.In(time.FixedZone("", 3*3600+1800)).Format(time.RFC3339), strings.ToLower(at.UTC().Format(time.RFC3339)),
	} {
		shows(set(text), at)
	}
	shows(set(at.Add(1500*time.Microsecond).UTC().Format(time.RFC3339Nano)), at.Add(2*time.Millisecond))
	before := s.version()
	shows(set(at.Add(2*time.Millisecond).UTC().Format(time.RFC3339Nano)), at.Add(2*time.Millisecond))
	if s.version() != before {
		t.Error("setting the same text with the same expiry again changes nothing, but the version grew")
	}
	shows(set(at.Add(time.Minute).UTC().Format(time.RFC3339)), at.Add(time.Minute))
	if s.version() == before {
		t.Error("setting the same text with another expiry is a change, but the version stayed")
	}
	alice.post("/v1/setSelfStatus", `{"customStatus":"","expiresAt":"`+at.Format(time.RFC3339)+`"}`).
		is(status("alice", presence.Unlogined, ""), `"" clears the custom status`)
	shows(set(at.AddDate(0, 0, 364).UTC().Format(time.RFC3339)), at.AddDate(0, 0, 364))
}

func TestTheEarliestSubscriptionsAreEvicted(t *testing.T) {
	s := newServer(t, func(o *options) { o.settings.Subscriptions = 2 })
	s.register("alice", "bob", "carol", "dave")
	alice := s.user("alice")
	alice.post("/v1/subscribeUserStatus", `{"userIDList":["bob","carol"]}`)
	alice.post("/v1/subscribeUserStatus", `{"userIDList":["bob"]}`)
	alice.post("/v1/subscribeUserStatus", `{"userIDList":["dave"]}`).
		is(`{"successUserList":[`+status("dave", presence.Unlogined, "")+`],"failureUserList":[],"evictedUserList":["carol"]}`,
			"the earliest are dropped for new ones, subscribing again makes it the newest, and the answer names them")
}

func TestCallsOfTheBackend(t *testing.T) {
	s := newServer(t)
	admin := s.admin()
	for range 2 {
		admin.post("/v1/admin/importUsers", `{"userIDList":["bob","alice","alice","carol","\u0000","\u0000"]}`).
			is(`{"failureUserList":[{"userID":"\u0000","code":70402,"message":"an ID must not contain control characters"}]}`,
				"a malformed ID inside a list fails alone, and importing again succeeds")
	}
	before := s.version()
	admin.post("/v1/admin/importUsers", `{"userIDList":["alice"]}`).is(`{"failureUserList":[]}`, "importing again succeeds")
	if s.version() != before {
		t.Error("importing again changes nothing, but the version grew")
	}
	a, b, c := status("alice", presence.Unlogined, ""), status("bob", presence.Unlogined, ""), status("carol", presence.Unlogined, "")
	admin.get("/v1/admin/users?limit=2").is(`{"userList":[`+a+`,`+b+`],"next":"bob"}`, "a page names the next")
	admin.get("/v1/admin/users?after=bob&limit=2").is(`{"userList":[`+c+`]}`, "next is absent on the last page")
	admin.get("/v1/admin/users?after=zed").is(`{"userList":[]}`, "userList is never null")

	admin.post("/v1/admin/addFriends", `{"userID":"alice","friendIDList":["bob","carol","alice","nobody","nobody"]}`).
		is(`{"failureUserList":[{"userID":"alice","code":70402,"message":"a user can't be their own friend"},`+
			`{"userID":"nobody","code":70107,"message":"no such user"}]}`, "an ID inside a list fails alone")
	admin.get("/v1/admin/friends?userID=alice&limit=1").is(`{"friendIDList":["bob"],"next":"bob"}`, "a page names the next")
	admin.get("/v1/admin/friends?userID=alice&after=bob").is(`{"friendIDList":["carol"]}`, "next is absent on the last page")
	admin.get("/v1/admin/friends?userID=bob").is(`{"friendIDList":["alice"]}`, "friendships are mutual by default")
	admin.post("/v1/admin/removeFriends", `{"userID":"alice","friendIDList":["bob"],"mutual":false}`).
		is(`{"failureUserList":[]}`, "removing returns the failures")
	admin.get("/v1/admin/friends?userID=bob").is(`{"friendIDList":["alice"]}`, "mutual false removes one direction only")
	admin.get("/v1/admin/friends?userID=alice").is(`{"friendIDList":["carol"]}`, "mutual false removes one direction")

	admin.post("/v1/admin/setUserStatus", `{"userID":"alice","customStatus":"On holiday","expiresIn":31536000}`).
		is(`{"userID":"alice","statusType":3,"customStatus":"On holiday","version":N,"expiresAt":"T"}`, "setUserStatus returns the status")
	admin.post("/v1/admin/getUserStatus", `{"userIDList":["bob","nobody"]}`).
		is(`{"successUserList":[`+b+`],"failureUserList":[{"userID":"nobody","code":70107,"message":"no such user"}]}`,
			"admin/getUserStatus returns what users receive")
	admin.post("/v1/admin/issueToken", `{"userID":"alice","expiresIn":60}`).is(`{"token":"…","expiresAt":"T"}`, "issueToken returns a token")
	admin.post("/v1/admin/kick", `{"userID":"alice"}`).is(`{}`, "kick answers {}")
	admin.post("/v1/admin/deleteUsers", `{"userIDList":["bob","nobody","bob","nobody"]}`).
		is(`{"failureUserList":[{"userID":"nobody","code":70107,"message":"no such user"}]}`, "deleting returns the users that don't exist")
	admin.get("/v1/admin/friends?userID=bob").fails(404, "70107", "deleting removes every trace")
	admin.get("/v1/admin/stats").is(`{"users":{"online":0,"offline":0,"unlogined":2},"streams":0,"subscriptions":0,"version":N}`,
		"stats counts users, streams and subscriptions")
}

func TestExplain(t *testing.T) {
	s := newServer(t)
	s.register("alice", "bob")
	s.user("alice").stream("deviceID", "phone", "platform", "ios").ready()
	s.admin().post("/v1/admin/addFriends", `{"userID":"alice","friendIDList":["bob"]}`)
	s.user("alice").post("/v1/setSelfStatus", `{"customStatus":"x","expiresIn":60}`)
	s.admin().get("/v1/admin/explain?userID=alice").is(
		`{"now":"T","status":{"userID":"alice","statusType":1,"customStatus":"x","version":N,"expiresAt":"T"},`+
			`"why":"ONLINE because 1 device is connected; the last connected at T",`+
			`"said":"the custom status is that of the user's own entry; no availability, because no entry states one, and the user isn't idle",`+
			`"next":"ONLINE while a device is connected; after the last one disconnects, for 10s more (reconnect_grace), `+
			`then OFFLINE for 168h (offline_retention), then UNLOGINED",`+
			`"audience":"the user's own streams, and those of the 1 follower, when connected",`+
			`"entries":[{"source":"","customStatus":"x","priority":0,"setAt":"T","expiresAt":"T","adds":"the custom status, and no availability"}],`+
			`"devices":[{"deviceID":"phone","platform":"ios","state":"connected","since":"T","loginAt":"T","idle":false,"adds":"ONLINE"}],`+
			`"deadlines":[{"at":"T","what":"the user's own entry expires"},{"at":"T","what":"the token of device phone expires, which ends its stream"}],"refused":[],`+
			`"switches":{"userStatus":true,"friendNotifications":true},"friends":1,"followers":1,"streams":1}`,
		"explain returns why the status is what it is, and what changes next")
	s.admin().post("/v1/admin/kick", `{"userID":"alice"}`)
	s.user("alice").post("/v1/setSelfStatus", `{"customStatus":""}`)
	s.admin().get("/v1/admin/explain?userID=alice").is(
		`{"now":"T","status":{"userID":"alice","statusType":3,"customStatus":"","version":N},`+
			`"why":"UNLOGINED because no device is logged in: there never was one, or each was logged out or kicked, or has been disconnected `+
			`for too long; the last kick, rename or deletion, at T, also revoked all tokens issued before",`+
			`"said":"no custom status, because no entry has a text; no availability, because no entry states one, and the user isn't idle",`+
			`"next":"UNLOGINED until a device logs in",`+
			`"audience":"the user's own streams, and those of the 1 follower, when connected",`+
			`"entries":[],"devices":[],"deadlines":[],"refused":[{"deviceID":"phone","type":"REST_API_Kick","until":"T"},{"deviceID":"","type":"REST_API_Kick","until":"T"}],"kickedAt":"T",`+
			`"switches":{"userStatus":true,"friendNotifications":true},"friends":1,"followers":1,"streams":0}`,
		"explain reports a kick")
}

func TestFriendsLimit(t *testing.T) {
	s := newServer(t, func(o *options) { o.settings.Friends = 2 })
	s.register("alice", "bob", "carol", "dave")
	add := func(list string) *answer {
		return s.admin().post("/v1/admin/addFriends", `{"userID":"alice","friendIDList":`+list+`}`)
	}
	const full = `{"failureUserList":[{"userID":"dave","code":70398,"message":"the friend list is full"}]}`
	add(`["bob","carol","dave"]`).is(full, "being over friends fails the ones over")
	add(`["carol","dave","bob"]`).is(full, "being over friends does not fail those that already are friends")
}

// TestLimitsCountDistinctIDs sends more IDs than allowed, repeats included.
func TestLimitsCountDistinctIDs(t *testing.T) {
	s := newServer(t, func(o *options) { o.config.Limits.QueryUsers, o.config.Limits.SubscribeUsers = 3, 2 })
	s.register("alice", "a0", "a1", "a2", "a3")
	list := func(n int) string {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf(`"a%d","a%d"`, i, i))
		}
		return `{"userIDList":[` + strings.Join(all, ",") + `]}`
	}
	for _, c := range []struct {
		path string
		most int
	}{{"/v1/getUserStatus", 3}, {"/v1/subscribeUserStatus", 2}, {"/v1/unsubscribeUserStatus", 2}} {
		if a := s.user("alice").post(c.path, list(c.most)); a.status != 200 {
			t.Errorf("%s: limits count distinct IDs, but %d of them, each twice, answer %d %s", c.path, c.most, a.status, a.body)
		}
		s.user("alice").post(c.path, list(c.most+1)).fails(400, "70206", "more than the limit is an error, the list is never cut silently")
	}
	var many []string
	for i := range 1001 {
		many = append(many, fmt.Sprintf(`"u%d"`, i))
	}
	all := strings.Join(many, ",")
	for _, path := range []string{"importUsers", "deleteUsers", "getUserStatus"} {
		s.admin().post("/v1/admin/"+path, `{"userIDList":[`+all+`]}`).fails(400, "70206", "up to 1000 IDs")
	}
	s.admin().post("/v1/admin/addFriends", `{"userID":"alice","friendIDList":[`+all+`]}`).fails(400, "70206", "up to 1000 IDs")
}
