package httpapi_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/presence-server/presence/presence"
)

// setters are the calls that set an entry about alice, with the beginning of their bodies.
func (s *server) setters() map[string]func(members string) *answer {
	return map[string]func(members string) *answer{
		"setSelfStatus": func(members string) *answer { return s.user("alice").post("/v1/setSelfStatus", `{`+members+`}`) },
		"admin/setUserStatus": func(members string) *answer {
			return s.admin().post("/v1/admin/setUserStatus", strings.TrimSuffix(`{"userID":"alice",`+members, ",")+`}`)
		},
	}
}

// in returns a time from now, as a member of a request has it.
func in(d time.Duration) string { return `"` + time.Now().Add(d).UTC().Format(time.RFC3339Nano) + `"` }

const year = 365 * 24 * time.Hour

func TestEntriesOverHTTP(t *testing.T) {
	for name, set := range newEntryServer(t).setters() {
		for _, c := range []struct{ members, shows string }{
			{`"customStatus":"text"`, `"customStatus":"text","version":N`},
			{`"availability":"away"`, `"customStatus":"","version":N,"availability":"away"`},
			{`"availability":"busy","customStatus":""`, `"customStatus":"","version":N,"availability":"busy"`},
			{`"availability":"dnd","customStatus":"own","expiresIn":60`, `"customStatus":"own","version":N,"expiresAt":"T","availability":"dnd"`},
			{`"source":"call","customStatus":"call","expiresIn":60`, `"customStatus":"call","version":N,"expiresAt":"T","availability":"dnd"`},
			{`"source":"a","customStatus":"low","priority":-100,"expiresAt":` + in(time.Hour), `"customStatus":"call","version":N,"expiresAt":"T","availability":"dnd"`},
			{`"source":"a","customStatus":"high","priority":1e2,"expiresAt":` + in(time.Hour), `"customStatus":"high","version":N,"expiresAt":"T","availability":"dnd"`},
			{`"source":"a"`, `"customStatus":"call","version":N,"expiresAt":"T","availability":"dnd"`},
			{`"source":"call","customStatus":""`, `"customStatus":"own","version":N,"expiresAt":"T","availability":"dnd"`},
			{`"source":"call","availability":"","expiresIn":60`, `"customStatus":"own","version":N,"expiresAt":"T","availability":"dnd"`},
			{`"source":"","customStatus":"own","availability":""`, `"customStatus":"own","version":N`},
			{`"source":"never","priority":5`, `"customStatus":"own","version":N`},
			{`"customStatus":""`, `"customStatus":"","version":N`},
		} {
			set(c.members).is(`{"userID":"alice","statusType":3,`+c.shows+`}`, name+" shows what the entries say")
		}
	}
}

func newEntryServer(t *testing.T) *server {
	s := newServer(t)
	s.register("alice")
	return s
}

// TestTheServerSideSeesAvailability: feeds, counts and metrics have it, that of an invisible
// user as well.
func TestTheServerSideSeesAvailability(t *testing.T) {
	s := newEntryServer(t)
	s.register("bob")
	feed := s.feed("", "")
	feed.is("READY", `{"version":N}`, "the feed begins")
	s.admin().post("/v1/admin/setUserStatus", `{"userID":"bob","availability":"dnd"}`)
	feed.is("USER_STATUS_UPDATED", `[{"userID":"bob","statusType":3,"customStatus":"","version":N,"availability":"dnd"}]`, "a feed has the availability")
	alice := s.user("alice")
	alice.post("/v1/setVisibility", `{"invisible":true}`)
	feed.is("USER_STATUS_UPDATED", `[{"userID":"alice","statusType":3,"customStatus":"","version":N,"invisible":true}]`, "a feed says who is invisible")
	alice.stream("deviceID", "tab").ready()
	feed.is("USER_STATUS_UPDATED", `[{"userID":"alice","statusType":1,"customStatus":"","version":N,"invisible":true}]`, "a feed has an invisible user's devices")
	alice.post("/v1/setIdle", `{"deviceID":"tab","idle":true}`)
	feed.is("USER_STATUS_UPDATED", `[{"userID":"alice","statusType":1,"customStatus":"","version":N,"availability":"away","invisible":true}]`, "away by itself")
	s.admin().get("/v1/admin/stats?availability=true").is(
		`{"users":{"online":1,"offline":0,"unlogined":1},"streams":2,"subscriptions":0,"version":N,"availability":{"away":1,"busy":0,"dnd":1}}`, "counted on request")
	s.admin().get("/v1/admin/stats").is(
		`{"users":{"online":1,"offline":0,"unlogined":1},"streams":2,"subscriptions":0,"version":N}`, "absent otherwise")
	for name, n := range map[string]int{"away": 1, "busy": 0, "dnd": 1} {
		s.counts(fmt.Sprintf(`presence_users_availability{availability="%s"} %d`, name, n))
	}
	alice.post("/v1/logout", `{}`)
	s.counts(`presence_users_availability{availability="away"} 0`)
}

func TestBadEntries(t *testing.T) {
	s := newEntryServer(t)
	s.user("alice").post("/v1/setSelfStatus", `{"customStatus":"own","availability":"busy"}`)
	s.user("alice").post("/v1/setSelfStatus", `{"source":"call","customStatus":"call","expiresIn":600}`)
	wrongTypes := []string{`1`, `1.5`, `true`, `null`, `[]`, `["x"]`, `{}`}
	with := func(more ...string) []string { return append(more, wrongTypes...) }
	for _, c := range []struct {
		members string
		bad     []string
	}{
		{`%s`, []string{``, `"availability":""`, `"source":""`, `"source":"","availability":""`, `"priority":1`, `"startsAt":` + in(time.Hour), `"expiresIn":1`}},
		{`"customStatus":null%s`, []string{``, `,"availability":"busy"`, `,"source":"call"`, `,"source":"call","availability":"busy","expiresIn":60`}},
		{`"customStatus":"x","availability":%s`, with(`"Busy"`, `"available"`, `"online"`, `"busy "`, `"away,busy"`)},
		{`"customStatus":"x","expiresIn":60,"source":%s`, with(`"Call"`, `"a b"`, `"é"`, `"a/b"`, `"a\u0000"`, `"`+strings.Repeat("a", 65)+`"`)},
		{`"source":%s`, with(`"Call"`, `"a:b"`)}, // a withdrawal
		{`"source":"new","customStatus":"x"%s`, []string{``, `,"startsAt":` + in(time.Hour), `,"priority":1`, `,"expiresIn":null`}},
		{`"source":"new","availability":"dnd"%s`, []string{``, `,"customStatus":""`}},
		{`"source":"call","customStatus":"x","expiresIn":60,"priority":%s`, []string{`101`, `-101`, `1.5`, `-0.1`, `"1"`, `null`, `true`, `[1]`, `{}`, `1e3`, `256`, `128`,
			`99999999999999999999`, `1e999999999`}},
		{`"customStatus":"x","startsAt":%s`, with(`""`, `"tomorrow"`, `"2026-11-23"`, `"0001-01-01T00:00:00Z"`, `"1970-01-01T00:00:00Z"`, in(year+time.Hour))},
		{`"customStatus":"x","startsAt":` + in(2*time.Hour) + `,"expiresAt":%s`, []string{in(time.Hour), in(-time.Hour), in(year + time.Hour)}},
		{`"customStatus":"x","startsAt":` + in(-2*time.Hour) + `,"expiresIn":%s`, []string{`60`, `7199`}}, // it has ended before it is set
		{`"customStatus":"x","startsAt":"2026-11-23T15:00:00Z","expiresAt":%s`, []string{`"2026-11-23T15:00:00Z"`}},
		{`"source":"call","expiresIn":60,"expiresAt":%s`, []string{in(time.Hour)}},
	} {
		for name, set := range s.setters() {
			for _, bad := range c.bad {
				s.changesNothing(name+" "+bad, func() { set(fmt.Sprintf(c.members, bad)).fails(400, "70402", "a wrong type or value is an error") })
			}
		}
	}
}

// TestUnknownMembersOfEntries: a user's call ignores them, and the server API rejects them.
func TestUnknownMembersOfEntries(t *testing.T) {
	s := newEntryServer(t)
	set := s.setters()
	for _, member := range []string{`"Availability":"busy"`, `"sources":1`, `"startsat":null`, `"invisible":true`} {
		set["setSelfStatus"](`"customStatus":"x",`+member).is(status("alice", presence.Unlogined, "x"), "unknown members are ignored")
		s.changesNothing(member, func() {
			set["admin/setUserStatus"](`"customStatus":"y",`+member).fails(400, "70402", "an unknown member of the server API is an error")
		})
	}
}

// TestTooManyEntries sets a ninth named source.
func TestTooManyEntries(t *testing.T) {
	s := newEntryServer(t)
	entry := func(source string) string {
		return `"source":"` + source + `","customStatus":"x","expiresIn":600`
	}
	for _, set := range s.setters() {
		for i := range 8 {
			if a := set(entry(fmt.Sprint("s", i))); a.status != 200 {
				t.Fatalf("a user may have 8 entries of named sources, but number %d is answered %d %s", i+1, a.status, a.body)
			}
		}
		s.changesNothing("a ninth source", func() { set(entry("ninth")).fails(403, "70398", "a user has at most limits.entries named entries") })
		for _, room := range []string{entry("s3") + `,"availability":"dnd"`, `"customStatus":"own"`, `"source":"ninth"`, `"source":"s7"`, entry("ninth"), `"source":"ninth"`} {
			if a := set(room); a.status != 200 {
				t.Errorf("there is room for %s, but it is answered %d %s", room, a.status, a.body)
			}
		}
	}
}

// TestSelf: the lists are sorted, and each member says what was set.
func TestSelf(t *testing.T) {
	s := newEntryServer(t)
	alice := s.user("alice")
	alice.get("/v1/self").is(`{"status":`+status("alice", presence.Unlogined, "")+`,"invisible":false,"entries":[],"devices":[]}`, "lists are never null")
	s.call("GET", "/v1/self", "", "").fails(401, "70002", "self needs a token")
	tab := alice.stream("deviceID", "tab").ready()
	defer tab.cancel()
	alice.stream("deviceID", "phone", "platform", "ios").ready()
	alice.post("/v1/setIdle", `{"deviceID":"phone","idle":true}`).is(`{}`, "setIdle returns {}")
	alice.post("/v1/setVisibility", `{"invisible":true}`).is(`{}`, "setVisibility returns {}")
	alice.post("/v1/setSelfStatus", `{"source":"call","availability":"busy","expiresIn":60}`)
	alice.post("/v1/setSelfStatus", `{"source":"calendar","customStatus":"later","priority":-5,"startsAt":`+in(time.Hour)+`,"expiresIn":60}`)
	alice.post("/v1/setSelfStatus", `{"customStatus":"own"}`)
	alice.get("/v1/self").is(`{"status":{"userID":"alice","statusType":1,"customStatus":"own","version":N,"availability":"busy","invisible":true},"invisible":true,`+
		`"entries":[{"source":"","customStatus":"own","priority":0,"setAt":"T"},`+
		`{"source":"calendar","customStatus":"later","priority":-5,"setAt":"T","startsAt":"T","expiresAt":"T"},`+
		`{"source":"call","customStatus":"","availability":"busy","priority":10,"setAt":"T","expiresAt":"T"}],`+
		`"devices":[{"deviceID":"phone","platform":"ios","connected":true,"idle":true,"since":"T"},`+
		`{"deviceID":"tab","platform":"web","connected":true,"idle":false,"since":"T"}]}`, "everything that is stored")
}

// TestStartsAt: an entry is shown from startsAt on, and expiresIn counts from it.
func TestStartsAt(t *testing.T) {
	s := newEntryServer(t)
	alice := s.user("alice")
	tab := alice.stream("deviceID", "tab").ready()
	starts := time.Now().Add(300 * time.Millisecond).Truncate(time.Millisecond).UTC()
	alice.post("/v1/setSelfStatus", `{"source":"call","customStatus":"x","startsAt":"`+starts.Format(time.RFC3339Nano)+`","expiresIn":1}`).
		is(status("alice", presence.Online, ""), "until startsAt the entry counts for nothing")
	self, err := s.svc.Self("alice")
	if err != nil {
		t.Fatal(err)
	}
	if e := self.Entries[0]; !e.StartsAt.Equal(starts) || !e.ExpiresAt.Equal(starts.Add(time.Second)) {
		t.Errorf("the entry is from %s to %s, want one second from %s", e.StartsAt, e.ExpiresAt, starts)
	}
	tab.is("USER_STATUS_UPDATED", `[{"userID":"alice","statusType":1,"customStatus":"x","version":N,"expiresAt":"T"}]`, "the janitor starts an entry")
	if late := time.Since(starts); late < 0 {
		t.Errorf("the entry began %s early", -late)
	}
	tab.is("USER_STATUS_UPDATED", `[`+status("alice", presence.Online, "")+`]`, "and ends it")
	if late := time.Since(starts.Add(time.Second)); late < 0 {
		t.Errorf("the entry ended %s early", -late)
	}
}

func TestBadIdleAndVisibility(t *testing.T) {
	s := newServer(t)
	s.register("alice", "bob")
	alice := s.user("alice")
	alice.stream("deviceID", "tab").ready()
	s.user("bob").stream("deviceID", "bobs").ready()
	old := alice.stream("deviceID", "old", "platform", "ios").ready()
	old.cancel()
	until(t, "the disconnect of a device", func() bool {
		self, _ := s.svc.Self("alice")
		return !self.Devices[0].Connected
	})
	for _, body := range []string{
		``, `{}`, `{"idle":true}`, `{"deviceID":"tab"}`, `{"deviceID":"tab","idle":null}`, `{"deviceID":"tab","idle":1}`, `{"deviceID":"tab","idle":"true"}`,
		`{"deviceID":"","idle":true}`, `{"deviceID":null,"idle":true}`, `{"deviceID":1,"idle":true}`, `{"deviceID":["tab"],"idle":true}`, `{"deviceID":" tab","idle":true}`,
		`{"deviceID":"` + strings.Repeat("a", 129) + `","idle":true}`,
		`{"deviceID":"never seen","idle":true}`, `{"deviceID":"bobs","idle":true}`, `{"deviceID":"old","idle":true}`,
	} {
		s.changesNothing(body, func() {
			alice.post("/v1/setIdle", body).fails(400, "70402", "setIdle needs a connected device of the user's own, and idle")
		})
	}
	for _, body := range []string{``, `{}`, `{"invisible":null}`, `{"invisible":1}`, `{"invisible":"true"}`, `{"invisible":[]}`, `{"Invisible":true}`} {
		s.changesNothing(body, func() { alice.post("/v1/setVisibility", body).fails(400, "70402", "setVisibility needs invisible") })
	}
	if bobs, err := s.svc.Self("bob"); err != nil || bobs.Devices[0].Idle {
		t.Errorf("somebody else's device became idle: %+v, %v", bobs, err)
	}
}

// TestIdleAndInvisible: what a friend sees, and what the user sees.
func TestIdleAndInvisible(t *testing.T) {
	s := newServer(t)
	s.register("alice", "bob")
	s.admin().post("/v1/admin/addFriends", `{"userID":"alice","friendIDList":["bob"]}`)
	alice := s.user("alice")
	tab := alice.stream("deviceID", "tab").ready()
	bob := s.user("bob").stream("deviceID", "bobs").ready()
	tab.is("USER_STATUS_UPDATED", `[`+status("bob", presence.Online, "")+`]`, "bob has come")
	away := `{"userID":"alice","statusType":1,"customStatus":"","version":N,"availability":"away"`
	alice.post("/v1/setIdle", `{"deviceID":"tab","idle":true,"unknown":1}`)
	tab.is("USER_STATUS_UPDATED", `[`+away+`}]`, "away with every device idle")
	bob.is("USER_STATUS_UPDATED", `[`+away+`}]`, "and a friend sees it")
	alice.post("/v1/setVisibility", `{"invisible":true,"unknown":1}`)
	tab.is("USER_STATUS_UPDATED", `[`+away+`,"invisible":true}]`, "the user's own devices know that the user is invisible")
	bob.is("USER_STATUS_UPDATED", `[`+status("alice", presence.Unlogined, "")+`]`, "to others, the user has logged out")
	s.changesNothing("the same visibility again", func() { alice.post("/v1/setVisibility", `{"invisible":true}`).is(`{}`, "the same again") })
	s.user("bob").post("/v1/getUserStatus", `{"userIDList":["alice"]}`).
		is(`{"successUserList":[`+status("alice", presence.Unlogined, "")+`],"failureUserList":[]}`, "to others, the user has logged out")
	s.admin().post("/v1/admin/getUserStatus", `{"userIDList":["alice"]}`).
		is(`{"successUserList":[`+away+`,"invisible":true}],"failureUserList":[]}`, "the server side sees the user as they are")
	alice.post("/v1/setVisibility", `{"invisible":false}`)
	bob.is("USER_STATUS_UPDATED", `[`+away+`}]`, "as if the devices had logged in as they are")
	alice.post("/v1/setIdle", `{"deviceID":"tab","idle":false}`)
	bob.is("USER_STATUS_UPDATED", `[`+status("alice", presence.Online, "")+`]`, "somebody is using the device again")
}
