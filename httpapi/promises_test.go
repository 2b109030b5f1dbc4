package httpapi_test

import (
	"encoding/json"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/presence-server/presence/presence"
)

// TestPromise6QueryIsNeverOlderThanTheStream makes a query after each event, while
// another user writes as fast as possible.
func TestPromise6QueryIsNeverOlderThanTheStream(t *testing.T) {
	s := newServer(t, func(o *options) { o.config.Limits.CallsPerWindow = 1 << 30; o.settings.BatchWindow = 0 })
	s.register("alice", "bob")
	bob := s.user("bob")
	bob.post("/v1/subscribeUserStatus", `{"userIDList":["alice"]}`)
	st := bob.stream().ready()
	var writer sync.WaitGroup
	const last = "the last one"
	writer.Go(func() {
		for i := range 100 {
			s.svc.Set(t.Context(), "alice", fmt.Sprint(i), 0)
		}
		s.svc.Set(t.Context(), "alice", last, 0)
	})
	defer writer.Wait()
	for done := false; !done; {
		e := st.next()
		if e.Type != "USER_STATUS_UPDATED" {
			continue
		}
		var shown []struct{ Version int64 }
		var asked struct {
			Data struct{ SuccessUserList []struct{ Version int64 } }
		}
		json.Unmarshal([]byte(e.Data), &shown)
		json.Unmarshal([]byte(bob.post("/v1/getUserStatus", `{"userIDList":["alice"]}`).body), &asked)
		if got, want := asked.Data.SuccessUserList[0].Version, shown[0].Version; got < want {
			t.Fatalf("Promise 6: a query answers version %d after the stream showed %d", got, want)
		}
		done = strings.Contains(e.Data, last) // the last change always arrives
	}
}

// TestPromise7NothingMoreIsSent ends a watch in each of the possible ways while a
// change waits to be sent.
func TestPromise7NothingMoreIsSent(t *testing.T) {
	off := func(s *server, change func(*presence.Settings)) {
		settings := s.svc.Settings()
		change(&settings)
		if err := s.svc.Configure(s.t.Context(), settings); err != nil {
			s.t.Fatal(err)
		}
	}
	subscribe := func(s *server) { s.user("bob").post("/v1/subscribeUserStatus", `{"userIDList":["alice"]}`) }
	befriend := func(s *server) {
		s.admin().post("/v1/admin/addFriends", `{"userID":"bob","friendIDList":["alice"],"mutual":false}`)
	}
	// The first call of a kind takes longer than the window in which the other calls
	// must follow each other.
	first := newServer(t)
	first.register("alice", "bob")
	subscribe(first)
	befriend(first)
	first.user("bob").post("/v1/unsubscribeUserStatus", `{"userIDList":["alice"]}`)
	first.admin().post("/v1/admin/removeFriends", `{"userID":"bob","friendIDList":["alice"],"mutual":false}`)
	first.user("alice").post("/v1/setSelfStatus", `{"customStatus":"one"}`)

	for _, c := range []struct {
		why      string
		watch    func(*server)
		end      func(*server)
		stillOne bool // another rule still applies
	}{
		{"unsubscribing", subscribe, func(s *server) { s.user("bob").post("/v1/unsubscribeUserStatus", `{"userIDList":["alice"]}`) }, false},
		{"unsubscribing from all", subscribe, func(s *server) { s.user("bob").post("/v1/unsubscribeUserStatus", ``) }, false},
		{"unfriending", befriend, func(s *server) {
			s.admin().post("/v1/admin/removeFriends", `{"userID":"bob","friendIDList":["alice"],"mutual":false}`)
		}, false},
		{"switching user status off", subscribe, func(s *server) { off(s, func(c *presence.Settings) { c.UserStatus = false }) }, false},
		{"switching friend notifications off", befriend, func(s *server) {
			off(s, func(c *presence.Settings) { c.FriendNotifications = false })
		}, false},
		{"unsubscribing from a friend", func(s *server) { subscribe(s); befriend(s) },
			func(s *server) { s.user("bob").post("/v1/unsubscribeUserStatus", ``) }, true},
	} {
		t.Run(c.why, func(t *testing.T) {
			s := newServer(t, func(o *options) { o.settings.BatchWindow = 2 * time.Second })
			s.register("alice", "bob")
			c.watch(s)
			st := s.user("bob").stream().ready()
			s.user("alice").post("/v1/setSelfStatus", `{"customStatus":"one"}`)
			st.is("USER_STATUS_UPDATED", `[`+status("alice", presence.Unlogined, "one")+`]`, "a watcher receives the change")
			s.user("alice").post("/v1/setSelfStatus", `{"customStatus":"waits for the window"}`)
			c.end(s)
			s.user("alice").post("/v1/setSelfStatus", `{"customStatus":"after"}`)
			s.user("bob").post("/v1/setSelfStatus", `{"customStatus":"sent to himself"}`)
			want := status("bob", presence.Online, "sent to himself")
			if c.stillOne {
				want = status("alice", presence.Unlogined, "after") + "," + want
			}
			st.is("USER_STATUS_UPDATED", `[`+want+`]`, "Promise 7: nothing more is sent after "+c.why)
		})
	}
}

// TestPromise9AReaderThatStopsDelaysNoOne makes one client stop reading while it has
// more to read than the buffers between it and the server can hold.
func TestPromise9AReaderThatStopsDelaysNoOne(t *testing.T) {
	s := newServer(t, func(o *options) {
		o.settings.CustomStatusBytes, o.settings.ReconnectGrace, o.settings.BatchWindow = 65536, 0, 0
		o.config.Limits.WriteTimeout = time.Second
	})
	s.register("stuck", "bob", "carol")
	var many []string
	for i := range 40 {
		many = append(many, fmt.Sprint("user", i))
	}
	s.register(many...)
	for _, userID := range many { // JSON encodes each as six bytes: 15 MB in all
		if _, err := s.svc.Set(t.Context(), userID, strings.Repeat("\x01", 65536), 0); err != nil {
			t.Fatal(err)
		}
	}
	s.svc.Subscribe(t.Context(), "stuck", many)
	s.svc.Subscribe(t.Context(), "carol", []string{"stuck", "bob"})
	carol := s.user("carol").stream().ready()

	began := time.Now()
	connection := s.openAndReadNothing("stuck")
	defer connection.Close()
	carol.is("USER_STATUS_UPDATED", `[`+status("stuck", presence.Online, "")+`]`, "carol watches the client that is stuck")
	s.user("bob").post("/v1/setSelfStatus", `{"customStatus":"x"}`)
	carol.is("USER_STATUS_UPDATED", `[`+status("bob", presence.Unlogined, "x")+`]`,
		"Promise 9: another client receives a change immediately while one is stuck")
	carol.is("USER_STATUS_UPDATED", `[`+status("stuck", presence.Unlogined, "")+`]`,
		"Promise 9: a client that stops reading is cut after write_timeout")
	s.comesToCount(`presence_stream_cuts_total{reason="write_timeout"} 1`)
	if took := time.Since(began); took < time.Second {
		t.Errorf("a client has write_timeout, 1 s, to read on, but was cut after %v", took)
	}
}

// openAndReadNothing requests a snapshot on a connection with a small buffer.
func (s *server) openAndReadNothing(userID string) net.Conn {
	s.t.Helper()
	connection, err := net.Dial("tcp", s.http.Listener.Addr().String())
	if err != nil {
		s.t.Fatal(err)
	}
	connection.(*net.TCPConn).SetReadBuffer(4096)
	token := s.issue(userID)
	s.remember(token)
	fmt.Fprintf(connection, "GET %s/v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nLast-Event-ID: 0\r\n\r\n",
		s.prefix, token)
	return connection
}

// TestPromise10NothingIsLeft ends streams in each of the possible ways, and checks
// what is left.
func TestPromise10NothingIsLeft(t *testing.T) {
	s := newServer(t, func(o *options) {
		o.settings.ReconnectGrace, o.settings.CustomStatusBytes = 0, 65536
		o.config.Limits.WriteTimeout = 100 * time.Millisecond
	})
	s.register("watcher", "big")
	s.svc.Subscribe(t.Context(), "watcher", []string{"big"})
	watcher := s.user("watcher").stream()
	for i := range 30 {
		userID := fmt.Sprint("user", i)
		st := s.user(userID).stream("deviceID", "tab", "Last-Event-ID", "0")
		switch i % 4 {
		case 0: // cut by the client, perhaps in the middle of its first events
			st.cancel()
		case 1:
			st.ready()
			s.user(userID).post("/v1/logout", ``)
		case 2:
			st.ready().next() // the snapshot: the user's own status
			s.user(userID).stream("deviceID", "tab").ready()
			st.ends("a newer stream ends the older one")
			s.admin().post("/v1/admin/kick", `{"userID":"`+userID+`"}`)
		case 3: // open until the server drains
		}
	}
	watcher.ready()
	s.svc.Drain()
	for deadline := time.Now().Add(patience); ; runtime.Gosched() {
		stats, _ := s.svc.Stats(t.Context())
		left := serving()
		if stats.Streams == 0 && left == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("Promise 10: %d streams and these goroutines are left:\n%s", stats.Streams, left)
		}
	}
}

// TestPromise10AfterAnyNumberOfEvents ends streams after any number of events, because
// what writes the events receives them repeatedly, some in advance.
func TestPromise10AfterAnyNumberOfEvents(t *testing.T) {
	s := newServer(t, func(o *options) { o.settings.BatchWindow = 0 })
	alice := s.user("alice")
	for n := range 40 {
		stream := alice.stream("deviceID", "tab").ready()
		for i := range n {
			text := fmt.Sprint(n, " ", i)
			alice.post("/v1/setSelfStatus", `{"customStatus":"`+text+`"}`)
			stream.is("USER_STATUS_UPDATED", `[`+status("alice", presence.Online, text)+`]`, "a user receives their own changes")
		}
		stream.cancel()
		until(t, fmt.Sprintf("Promise 10: nothing is left of a stream that sent %d events", n+1), func() bool { return serving() == "" })
	}
}

// serving returns the goroutines that serve streams.
func serving() string {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	var left []string
	for one := range strings.SplitSeq(string(stacks), "\n\n") {
		if strings.Contains(one, "presence/sse.") || strings.Contains(one, "r3labs/sse") {
			left = append(left, one)
		}
	}
	return strings.Join(left, "\n\n")
}
