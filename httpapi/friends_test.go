package httpapi_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/presence-server/presence/presence"
)

func TestFriendsOfManyUsersAtOnce(t *testing.T) {
	s := newServer(t)
	s.register("alice", "bob", "carol", "dave")
	add := func(list string) *answer { return s.admin().post("/v1/admin/addFriends", `{"list":[`+list+`]}`) }
	const list = `{"userID":"alice","friendIDList":["bob","carol","bob"]},{"userID":"dave","friendIDList":["bob"],"mutual":false},` +
		`{"userID":"alice","friendIDList":["bob","alice"]},{"userID":"nobody","friendIDList":["bob","carol"]},` +
		`{"userID":" bad","friendIDList":["bob"]},{"userID":"bob","friendIDList":["nobody",""]}`
	var version int64
	for range 2 {
		add(list).is(`{"failureUserList":[`+
			`{"userID":"alice","friendID":"alice","code":70402,"message":"a user can't be their own friend"},`+
			`{"userID":"nobody","friendID":"bob","code":70107,"message":"no such user"},`+
			`{"userID":"nobody","friendID":"carol","code":70107,"message":"no such user"},`+
			`{"userID":" bad","friendID":"bob","code":70402,"message":"an ID must not begin or end with a space"},`+
			`{"userID":"bob","friendID":"nobody","code":70107,"message":"no such user"},`+
			`{"userID":"bob","friendID":"","code":70402,"message":"an ID must not be empty"}]}`, "each pair fails alone")
		s.friendsAre("alice", `"bob","carol"`)
		s.friendsAre("bob", `"alice"`)
		s.friendsAre("dave", `"bob"`)
		if version != 0 && s.version() != version {
			t.Error("adding again changes nothing, but the version grew")
		}
		version = s.version()
	}
	add(`{"userID":"carol","friendIDList":["dave"]}`).is(`{"failureUserList":[]}`, "a list is never null")
}

func (s *server) friendsAre(userID, want string) {
	s.t.Helper()
	s.admin().get("/v1/admin/friends?userID="+userID).is(`{"friendIDList":[`+want+`]}`, "the friends of "+userID)
}

func TestFriendsOfManyUsersAreLimited(t *testing.T) {
	s := newServer(t)
	s.register("alice", "bob")
	list := func(users, friends int) string {
		var all []string
		for i := range users {
			var ids []string
			for j := range friends {
				ids = append(ids, fmt.Sprintf(`"f%d"`, j))
			}
			all = append(all, fmt.Sprintf(`{"userID":"u%d","friendIDList":[%s]}`, i, strings.Join(ids, ",")))
		}
		return strings.Join(all, ",")
	}
	if a := s.admin().post("/v1/admin/addFriends", `{"list":[`+list(10, 100)+`,`+list(10, 100)+`]}`); a.status != 200 {
		t.Errorf("1,000 distinct pairs, each twice, were answered %d %.200s", a.status, a.body)
	}
	for _, body := range []string{
		`{"list":[` + list(10, 100) + `,{"userID":"alice","friendIDList":["bob"]}]}`, `{"list":[` + list(1, 1001) + `]}`,
		`{"list":[]}`, `{"list":[{"userID":"alice","friendIDList":[]}]}`, `{"list":[{"userID":"alice"}]}`,
		`{"list":[{"userID":"alice","friendIDList":["bob"]},{"userID":"bob","friendIDList":null}]}`,
	} {
		s.changesNothing("too many or none", func() {
			s.admin().post("/v1/admin/addFriends", body).fails(400, "70206", "1 to 1000 pairs in all")
		})
	}
}

func TestMalformedListsOfFriends(t *testing.T) {
	s := newServer(t)
	s.register("alice", "bob")
	good := `{"userID":"alice","friendIDList":["bob"]}`
	for body, shown := range map[string]string{
		`{"list":[` + good + `],"userID":"alice"}`:                              "list and userID can't be given together",
		`{"list":[` + good + `],"friendIDList":["bob"]}`:                        "list and friendIDList can't",
		`{"list":[` + good + `],"mutual":true}`:                                 "list and mutual can't",
		`{"list":null,"userID":"alice","friendIDList":["bob"]}`:                 "list",
		`{"list":[],"userID":"alice","friendIDList":["bob"]}`:                   "list and userID can't",
		`{"list":[` + good + `],"other":1}`:                                     `unknown member \"other\"`,
		`{"list":null}`:                                                         "list must be a list of objects",
		`{"list":{}}`:                                                           "list must be a list of objects",
		`{"list":"alice"}`:                                                      "list must be a list of objects",
		`{"list":` + good + `}`:                                                 "list must be a list of objects",
		`{"list":[` + good + `,null]}`:                                          "list must be a list of objects",
		`{"list":[` + good + `,"bob"]}`:                                         "list must be a list of objects",
		`{"list":[` + good + `,[]]}`:                                            "list must be a list of objects",
		`{"list":[` + good + `,{}]}`:                                            "list[1]: userID must be a string",
		`{"list":[` + good + `,{"userID":1,"friendIDList":["bob"]}]}`:           "list[1]: userID must be a string",
		`{"list":[{"userID":null,"friendIDList":["bob"]},` + good + `]}`:        "list[0]: userID must be a string",
		`{"list":[{"userID":"alice","friendIDList":"bob"}]}`:                    "list[0]: friendIDList must be a list of strings",
		`{"list":[` + good + `,{"userID":"alice","friendIDList":["bob",1]}]}`:   "list[1]: friendIDList must be a list of strings",
		`{"list":[{"userID":"alice","friendIDList":["bob"],"mutual":null}]}`:    "list[0]: mutual must be true or false",
		`{"list":[{"userID":"alice","friendIDList":["bob"],"mutual":"true"}]}`:  "list[0]: mutual must be true or false",
		`{"list":[{"userID":"alice","friendIDList":["bob"],"Mutual":false}]}`:   `list[0]: unknown member \"Mutual\"`,
		`{"list":[{"userID":"alice","friendIDList":["bob"],"list":[]}]}`:        `list[0]: unknown member \"list\"`,
		`{"list":[{"userID":"alice","userID":"alice","friendIDList":["bob"]}]}`: "the body must be one JSON object",
		"{\"list\":[{\"userID\":\"alice\",\"friendIDList\":[\"\xff\"]}]}":       "the body must be one JSON object",
		`{"list":[{"userID":"alice","friendIDList":["bob"],"mutual":true,}]}`:   "the body must be one JSON object",
	} {
		s.changesNothing(body, func() {
			a := s.admin().post("/v1/admin/addFriends", body)
			a.fails(400, "70402", "nothing of a malformed list takes effect")
			if !strings.Contains(a.body, shown) {
				t.Errorf("%s was answered %s, want %s", body, a.body, shown)
			}
		})
		s.friendsAre("alice", "")
	}
}

func TestSetFriends(t *testing.T) {
	s := newServer(t)
	s.register("alice", "bob", "carol", "dave", "fan")
	set := func(members string) *answer {
		return s.admin().post("/v1/admin/setFriends", `{"userID":"alice",`+members+`}`)
	}
	s.admin().post("/v1/admin/addFriends", `{"userID":"fan","friendIDList":["alice"],"mutual":false}`)
	set(`"friendIDList":["bob","carol","bob","nobody"]`).
		is(`{"failureUserList":[{"userID":"nobody","code":70107,"message":"no such user"}]}`, "an ID inside a list fails alone")
	s.friendsAre("alice", `"bob","carol"`)
	s.friendsAre("bob", `"alice"`)

	stream := s.user("alice").stream().ready()
	set(`"friendIDList":["carol","dave"]`).is(`{"failureUserList":[]}`, "the list is exactly the one given")
	stream.is("USER_STATUS_UPDATED", `[`+status("dave", presence.Unlogined, "")+`]`, "only new friends are sent")
	s.friendsAre("alice", `"carol","dave"`)
	s.friendsAre("bob", ``)
	s.friendsAre("dave", `"alice"`)

	set(`"friendIDList":["carol"],"mutual":false`).is(`{"failureUserList":[]}`, "one-sided")
	s.friendsAre("alice", `"carol"`)
	s.friendsAre("dave", `"alice"`)
	for _, body := range []string{``, `"friendIDList":null`, `"friendIDList":"bob"`, `"friendIDList":[1]`, `"friendIDList":["bob"],"mutual":1`,
		`"friendIDList":[],"list":[]`} {
		s.changesNothing(body, func() {
			s.admin().post("/v1/admin/setFriends", strings.Replace(`{"userID":"alice",`+body+`}`, ",}", "}", 1)).
				fails(400, "70402", "an absent list could be a mistake that removes all friends")
		})
		s.friendsAre("alice", `"carol"`)
	}
	set(`"friendIDList":[]`).is(`{"failureUserList":[]}`, "an empty list removes all")
	s.friendsAre("alice", "")
	s.friendsAre("carol", "")
	s.friendsAre("fan", `"alice"`)
}

// TestSetFriendsAcceptsAFullList checks that a list may have limits.friends IDs, even
// if other lists may have fewer.
func TestSetFriendsAcceptsAFullList(t *testing.T) {
	for _, c := range []struct{ friends, most int }{{1200, 1200}, {2, 1000}} {
		s := newServer(t, func(o *options) { o.settings.Friends = c.friends })
		var ids, quoted []string
		for i := range c.most + 1 {
			ids = append(ids, fmt.Sprintf("u%04d", i))
			quoted = append(quoted, `"`+ids[i]+`"`)
		}
		s.register(append(ids, "alice")...)
		set := func(ids []string) *answer {
			return s.admin().post("/v1/admin/setFriends", `{"userID":"alice","friendIDList":[`+strings.Join(ids, ",")+`]}`)
		}
		a := set(quoted[:c.most])
		if failed := strings.Count(a.body, `"code":70398,"message":"the friend list is full"`); a.status != 200 || failed != c.most-c.friends {
			t.Errorf("limits.friends = %d: a list of %d was answered %d %.200s", c.friends, c.most, a.status, a.body)
		}
		s.changesNothing("too many", func() { set(quoted).fails(400, "70206", "too many IDs are an error") })
		friends, _, err := s.svc.Friends(t.Context(), "alice", "", 2000)
		if len(friends) != c.friends || err != nil {
			t.Errorf("limits.friends = %d: alice has %d friends: %v", c.friends, len(friends), err)
		}
	}
}
