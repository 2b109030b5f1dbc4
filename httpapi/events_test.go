package httpapi_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/presence-server/presence/httpapi"
	"github.com/presence-server/presence/presence"
)

const golden = `id: N
data: {"deviceID":"tab","self":{"userID":"alice","statusType":1,"customStatus":"","version":N},"keepaliveSeconds":0.03}
event: READY

id: N
data: {}
event: KEEPALIVE

id: N
data: [{"userID":"alice","statusType":1,"customStatus":"a\nid: 99\n\n:","version":N}]
event: USER_STATUS_UPDATED

id: N
data: {}
event: KEEPALIVE

id: N
data: {"type":"logout"}
event: KICKED_OUT

EOF`

// TestGoldenStream compares a whole stream with what a browser expects.
func TestGoldenStream(t *testing.T) {
	s := newServer(t, func(o *options) { o.settings.Keepalive = 30 * time.Millisecond })
	alice := s.user("alice")
	st := alice.stream("deviceID", "tab")
	got := st.transcript(map[string]func(){
		"READY KEEPALIVE":               func() { alice.post("/v1/setSelfStatus", `{"customStatus":"a\nid: 99\n\n:"}`) },
		"USER_STATUS_UPDATED KEEPALIVE": func() { alice.post("/v1/logout", `{"deviceID":"tab"}`) },
	})
	if got != golden {
		t.Errorf("a stream is not as promised, or a custom status can forge a part of it:\n%s\nwant\n%s", got, golden)
	}
}

func TestHeadersOfAStream(t *testing.T) {
	s := newServer(t)
	st := s.user("alice").stream()
	for name, want := range map[string]string{
		"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no",
		"X-Content-Type-Options": "nosniff", "Connection": "", "Content-Length": "", "Content-Encoding": "",
	} {
		if got := st.response.Header.Get(name); got != want {
			t.Errorf("the header %s of a stream is %q, want %q", name, got, want)
		}
	}
	if e := st.ready(); e.Cursor() == "" {
		t.Error("READY has an id")
	}
}

func TestReadyContainsARandomDeviceID(t *testing.T) {
	s := newServer(t)
	a, b := s.user("alice").stream().next(), s.user("alice").stream().next()
	if a.Data == b.Data {
		t.Errorf("deviceID defaults to a random one, but two streams got %s", a.Data)
	}
}

// TestKickedOut ends a stream in each of the possible ways, and then reconnects.
func TestKickedOut(t *testing.T) {
	s := newServer(t, func(o *options) { o.settings.DevicesPerPlatform = 1 })
	for why, act := range map[string]func(caller){
		"REST_API_Kick":  func(caller) { s.admin().post("/v1/admin/kick", `{"userID":"alice"}`) },
		"multipleDevice": func(alice caller) { alice.stream("deviceID", "newer").ready() },
		"logout":         func(alice caller) { alice.post("/v1/logout", `{"deviceID":"tab"}`) },
	} {
		st := s.user("alice").stream("deviceID", "tab").ready()
		act(s.user("alice"))
		st.is("KICKED_OUT", `{"type":"`+why+`"}`, "a kicked device receives the reason")
		st.ends("after KICKED_OUT the stream ends")
		for range 2 {
			s.user("alice").open("deviceID", "tab", "Last-Event-ID", st.Cursor()).isRefused(why)
		}
		s.user("alice").stream("deviceID", "tab").ready() // without a Last-Event-ID the device logs in again
		s.user("alice").post("/v1/logout", ``)
	}
	st := s.user("alice").stream("deviceID", "tab").ready()
	s.admin().post("/v1/admin/deleteUsers", `{"userIDList":["alice"]}`)
	st.is("KICKED_OUT", `{"type":"REST_API_Kick"}`, "deleting a user ends the user's streams")
	st.ends("after KICKED_OUT the stream ends")
}

// isRefused checks the response to a kicked device that only reconnects.
func (st *stream) isRefused(why string) {
	st.t.Helper()
	code, kicked := st.response.StatusCode, st.response.Header.Get("Presence-Kicked")
	if code != 204 || kicked != why {
		st.t.Errorf("after %s, a device that only reconnects gets %d with Presence-Kicked: %q, want 204", why, code, kicked)
	}
}

// TestAPageWithoutADeviceIDStaysOut checks this because a plain EventSource reconnects
// by itself.
func TestAPageWithoutADeviceIDStaysOut(t *testing.T) {
	s := newServer(t)
	for why, act := range map[string]func(caller){
		"REST_API_Kick": func(caller) { s.admin().post("/v1/admin/kick", `{"userID":"alice"}`) },
		"logout":        func(alice caller) { alice.post("/v1/logout", ``) },
	} {
		alice := s.user("alice")
		st := alice.stream().ready()
		act(alice)
		st.is("KICKED_OUT", `{"type":"`+why+`"}`, "a kicked device receives the reason")
		alice.open("Last-Event-ID", st.Cursor()).isRefused(why)
		alice.open("Last-Event-ID", "0").isRefused(why)
		renewed := s.user("alice")
		renewed.stream("Last-Event-ID", st.Cursor()).ready() // this token is newer
		anew := renewed.stream().ready()
		s.user("alice").stream("Last-Event-ID", anew.Cursor()).ready() // and so is this cursor
	}
}

// TestATokenOfADeletedUser checks that the token is refused by every call, and after a
// restart too: see TestOldCredentialsOfADeletedUserStayRefused.
func TestATokenOfADeletedUser(t *testing.T) {
	s := newServer(t)
	alice := s.user("alice")
	alice.get("/v1/subscriptions")
	sig := s.as(userSig(secret, "alice", appID, time.Now().Unix(), 3600))
	withoutIat := s.as(signed(t, jwt.SigningMethodHS256, []byte(secret), jwt.MapClaims{"sub": "alice", "exp": time.Now().Unix() + 60}))
	s.admin().post("/v1/admin/kick", `{"userID":"alice"}`)
	s.admin().post("/v1/admin/deleteUsers", `{"userIDList":["alice"]}`)
	for range 2 {
		for _, old := range []caller{alice, sig, withoutIat} {
			if a := old.get("/v1/subscriptions"); a.status != 401 || !strings.Contains(a.body, "70052") {
				t.Errorf("a call with a token of a deleted user gets %d %s", a.status, a.body)
			}
			if code := old.open("deviceID", "tab").response.StatusCode; code != 401 {
				t.Errorf("a stream with a token of a deleted user gets %d", code)
			}
		}
		s.register("alice")
	}
	s.user("alice").stream().ready()
}

func TestAStreamEndsWhenItsTokenExpires(t *testing.T) {
	s := newServer(t, func(o *options) {
		o.config.Authenticate = func(*http.Request) (httpapi.Credentials, error) {
			return httpapi.Credentials{UserID: "alice", ExpiresAt: time.Now().Add(100 * time.Millisecond)}, nil
		}
	})
	st := s.as("").stream().ready()
	st.is("KICKED_OUT", `{"type":"userSigExpired"}`, "a stream ends when its token expires")
	st.ends("after KICKED_OUT the stream ends")
}

func TestResume(t *testing.T) {
	s := newServer(t)
	s.register("alice", "bob", "carol")
	alice := s.user("alice")
	alice.post("/v1/subscribeUserStatus", `{"userIDList":["bob","carol"]}`)
	st := alice.stream("deviceID", "tab").ready()
	s.user("bob").post("/v1/setSelfStatus", `{"customStatus":"one"}`)
	st.is("USER_STATUS_UPDATED", `[`+status("bob", presence.Unlogined, "one")+`]`, "a change arrives immediately")
	st.cancel()
	s.user("bob").post("/v1/setSelfStatus", `{"customStatus":"two"}`)
	s.user("bob").post("/v1/setSelfStatus", `{"customStatus":"three"}`)
	again := alice.stream("deviceID", "tab", "Last-Event-ID", st.Cursor())
	if e := again.next(); e.ID != st.Cursor() {
		t.Errorf("READY of a stream that resumes has the id it starts from, %s, not %s", st.Cursor(), e.ID)
	}
	again.is("USER_STATUS_UPDATED", `[`+status("bob", presence.Unlogined, "three")+`]`,
		"a stream that resumes receives the current status of every user whose version is greater")

	bob, carol := status("bob", presence.Unlogined, "three"), status("carol", presence.Unlogined, "")
	for _, last := range []string{"0", "garbage", "-1", "1.5", "0x10", "\U0001F600", "9007199254740991", "99999999999999999999",
		"1", strconv.FormatInt(time.Now().Add(-time.Hour).Unix()<<20, 10)} {
		snapshot := alice.stream("Last-Event-ID", last)
		if e := snapshot.next(); e.ID != "0" {
			t.Errorf("Last-Event-ID %q counts as 0, but READY has the id %s", last, e.ID)
		}
		e := snapshot.next()
		if text := normal(e.Data); !strings.Contains(text, bob) || !strings.Contains(text, carol) {
			t.Errorf("Last-Event-ID %q is a snapshot, but begins with %s", last, e.Raw)
		}
	}
}

// TestANewerStreamOfADevice checks that it ends the older stream, whose connection is
// dead without anybody noticing.
func TestANewerStreamOfADevice(t *testing.T) {
	s := newServer(t)
	older := s.user("alice").stream("deviceID", "tab").ready()
	newer := s.user("alice").stream("deviceID", "tab").ready()
	older.ends("a device that opens a second stream keeps the newer")
	s.user("alice").post("/v1/setSelfStatus", `{"customStatus":"x"}`)
	newer.is("USER_STATUS_UPDATED", `[`+status("alice", presence.Online, "x")+`]`, "the end of the older stream is not a disconnect")
}

func TestDrainGivesEachStreamItsOwnRetry(t *testing.T) {
	s := newServer(t, func(o *options) { o.config.Limits.Drain = 5 * time.Second })
	var streams []*stream
	for i := range 10 {
		streams = append(streams, s.user("user"+strconv.Itoa(i)).stream().ready())
	}
	s.svc.Drain()
	retries := map[string]bool{}
	for _, st := range streams {
		e := st.next()
		if ms, err := strconv.Atoi(e.Retry); err != nil || ms < 0 || ms > 5000 {
			t.Errorf("each stream gets a retry within the drain window, but got %q", e.Raw)
		}
		retries[e.Retry] = true
		st.breaksOff("draining ends the stream, without KICKED_OUT")
	}
	if len(retries) < 2 {
		t.Errorf("each stream gets its own random retry, so that clients don't come back all at once: %v", retries)
	}
}
