package httpapi_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/presence-server/presence/presence"
)

// flushOnly is a middleware that can flush events, but does not let the server take
// the connection over.
type flushOnly struct{ http.ResponseWriter }

func (w flushOnly) Flush() { w.ResponseWriter.(http.Flusher).Flush() }

func behind(wrap func(http.Handler) http.Handler) func(*options) {
	return func(o *options) {
		o.serve = func(w *httptest.Server) {
			w.Config.Handler = wrap(w.Config.Handler)
			w.Start()
		}
	}
}

func wrapped(wrap func(http.ResponseWriter) http.ResponseWriter) func(*options) {
	return behind(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(wrap(w), r) })
	})
}

// ways are the ways in which a response is written.
var ways = map[string]func(*options){
	"HTTP/1.1":                    func(*options) {},
	"HTTP/1.1 with TLS":           func(o *options) { o.serve = (*httptest.Server).StartTLS },
	"HTTP/1.1 in another program": wrapped(func(w http.ResponseWriter) http.ResponseWriter { return flushOnly{w} }),
	"HTTP/2": func(o *options) {
		o.serve = func(w *httptest.Server) {
			w.EnableHTTP2 = true
			w.StartTLS()
		}
	},
}

// TestAProperEndIsForGood checks this because several clients stop for good at a
// proper end of the response, and reconnect when it is truncated.
func TestAProperEndIsForGood(t *testing.T) {
	for way, serve := range ways {
		t.Run(way, func(t *testing.T) {
			s := newServer(t, serve)
			alice := s.user("alice")
			older := alice.stream("deviceID", "tab").ready()
			if got := older.response.TransferEncoding; older.response.ProtoMajor == 1 && fmt.Sprint(got) != "[chunked]" {
				t.Errorf("the transfer encoding is %v, want chunked", got)
			}
			tab := alice.stream("deviceID", "tab").ready()
			older.ends("the newer stream of a device ends the older for good")
			alice.post("/v1/logout", `{"deviceID":"tab"}`)
			tab.is("KICKED_OUT", `{"type":"logout"}`, "a kicked device learns the reason")
			tab.ends("KICKED_OUT ends a stream for good")

			left := s.user("bob").stream().ready()
			s.svc.Drain()
			left.next()
			left.breaksOff("draining ends a stream")
		})
	}
}

// TestHTTP10HasNoChunks checks that the response ends with its connection, as a client
// of HTTP/1.0 expects.
func TestHTTP10HasNoChunks(t *testing.T) {
	s := newServer(t)
	conn, err := net.Dial("tcp", s.http.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	token := s.issue("alice")
	s.remember(token)
	fmt.Fprintf(conn, "GET /v1/events?deviceID=tab HTTP/1.0\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", token)
	lines := bufio.NewReader(conn)
	response, err := http.ReadResponse(lines, nil)
	if err != nil {
		t.Fatal(err)
	}
	if response.Proto != "HTTP/1.0" || response.TransferEncoding != nil || !response.Close {
		t.Errorf("a request of HTTP/1.0 gets %s, %v, close=%t", response.Proto, response.TransferEncoding, response.Close)
	}
	s.user("alice").post("/v1/logout", ``)
	text, err := io.ReadAll(lines)
	if err != nil || !strings.HasPrefix(string(text), "id: ") || !strings.HasSuffix(string(text), "event: KICKED_OUT\n\n") {
		t.Errorf("got %q, %v; want bare events", text, err)
	}
}

// TestAMiddlewareThatCantStream checks that the log names what is missing for the
// author of the program, and that no user becomes ONLINE through a stream that can't
// be opened.
func TestAMiddlewareThatCantStream(t *testing.T) {
	for missing, middleware := range map[string]func(*options){
		"struct { http.ResponseWriter }": wrapped(func(w http.ResponseWriter) http.ResponseWriter {
			return struct{ http.ResponseWriter }{w}
		}),
		"*http.timeoutWriter": behind(func(next http.Handler) http.Handler { return http.TimeoutHandler(next, time.Minute, "") }),
	} {
		s := newServer(t, middleware)
		s.register("alice")
		response := s.user("alice").open().response
		text, _ := io.ReadAll(response.Body)
		if response.StatusCode != 500 || !strings.Contains(string(text), `"code":70500`) {
			t.Errorf("behind %s a stream was answered %s %s", missing, response.Status, text)
		}
		log := s.log.String()
		if n := strings.Count(log, "level=ERROR"); n != 1 || !strings.Contains(log, missing+" has neither Flush (http.Flusher) nor Unwrap") {
			t.Errorf("the log names what is missing in one line, but there are %d:\n%s", n, log)
		}
		if found, _ := s.svc.Get("alice"); found[0].StatusType == presence.Online {
			t.Errorf("behind %s a stream that can't be opened makes its user ONLINE", missing)
		}
	}
}

// cantFlush is a middleware whose Flush fails, as it does when the wrapped writer has
// none.
type cantFlush struct{ http.ResponseWriter }

func (cantFlush) FlushError() error { return fmt.Errorf("compressing: %w", http.ErrNotSupported) }

func TestAFlushThatFailsIsLogged(t *testing.T) {
	s := newServer(t, wrapped(func(w http.ResponseWriter) http.ResponseWriter { return cantFlush{w} }))
	request, err := http.NewRequestWithContext(t.Context(), "GET", s.http.URL+"/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	token := s.issue("alice")
	s.remember(token)
	request.Header.Set("Authorization", "Bearer "+token)
	if response, err := s.http.Client().Do(request); err == nil {
		defer response.Body.Close()
		if _, err = io.ReadAll(response.Body); err == nil {
			t.Error("a stream that can't be flushed ends properly")
		}
	}
	if log := s.log.String(); strings.Count(log, "level=ERROR") != 1 || !strings.Contains(log, "compressing: feature not supported") {
		t.Errorf("the log names what is missing in one line:\n%s", log)
	}
}

// TestLastEventIDInTheQuery checks that a client that can't set headers resumes with a
// parameter.
func TestLastEventIDInTheQuery(t *testing.T) {
	s := newServer(t)
	s.register("alice")
	version := func() string {
		e := s.user("alice").stream("deviceID", "probe").next()
		return e.ID
	}()
	alice := s.user("alice")
	for name, c := range map[string]struct {
		more []string
		want string
	}{
		"as the polyfill writes it": {[]string{"lastEventId", version}, version},
		"in another case":           {[]string{"LASTEVENTID", version}, version},
		"as the header is written":  {[]string{"lastEventID", version}, version},
		"a snapshot":                {[]string{"lastEventId", "0"}, "0"},
		"malformed":                 {[]string{"lastEventId", "x"}, "0"},
		"too large":                 {[]string{"lastEventId", "99999999999999999999"}, "0"},
		"the header first":          {[]string{"lastEventId", "0", "Last-Event-ID", version}, version},
		"a malformed header first":  {[]string{"lastEventId", version, "Last-Event-ID", "x"}, "0"},
		"an empty header":           {[]string{"lastEventId", version, "Last-Event-ID", ""}, version},
		"the lowest of two":         {[]string{"lastEventId", version, "lasteventid", "0"}, "0"},
		"an empty one of two":       {[]string{"lastEventId", version, "lasteventid", ""}, version},
	} {
		if e := alice.stream(append(c.more, "deviceID", "tab")...).next(); e.ID != c.want {
			t.Errorf("%s: READY has the id %s, want %s", name, e.ID, c.want)
		}
	}
	st := alice.stream("deviceID", "tab", "lastEventId", "").ready()
	alice.post("/v1/setSelfStatus", `{"customStatus":"x"}`)
	st.is("USER_STATUS_UPDATED", `[`+status("alice", presence.Online, "x")+`]`, "an empty parameter resumes nothing")
}

const goldenReplay = `id: N
data: {"deviceID":"tab","self":{"userID":"watcher","statusType":1,"customStatus":"","version":N},"keepaliveSeconds":15}
event: READY

id: N
data: [{"userID":"a","statusType":3,"customStatus":"a…","version":N},{"userID":"b","statusType":3,"customStatus":"b…","version":N}]
event: USER_STATUS_UPDATED

id: N
data: [{"userID":"c","statusType":3,"customStatus":"c…","version":N}]
event: USER_STATUS_UPDATED

id: N
data: [{"userID":"d","statusType":3,"customStatus":"d…","version":N}]
event: USER_STATUS_UPDATED

id: N
data: [{"userID":"e","statusType":3,"customStatus":"\u0085\u2028\u2029","version":N},{"userID":"watcher","statusType":1,"customStatus":"","version":N}]
event: USER_STATUS_UPDATED

id: N
data: {"type":"logout"}
event: KICKED_OUT

EOF`

// TestGoldenReplay compares a snapshot that takes several events with what a browser
// expects.
func TestGoldenReplay(t *testing.T) {
	s := newServer(t, func(o *options) { o.settings.CustomStatusBytes = 65536 })
	s.register("watcher", "a", "b", "c", "d", "e")
	if _, err := s.svc.AddFriends(t.Context(), "watcher", []string{"a", "b", "c", "d", "e"}, false); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"a 10000", "b 20000", "c 20000", "d 60000"} {
		var letter string
		var n int
		fmt.Sscan(text, &letter, &n)
		if _, err := s.svc.Set(t.Context(), letter, strings.Repeat(letter, n), 0); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.svc.Set(t.Context(), "e", "\u0085\u2028\u2029", 0); err != nil {
		t.Fatal(err)
	}
	watcher := s.user("watcher")
	events := 0
	got := watcher.stream("deviceID", "tab", "Last-Event-ID", "0").transcript(map[string]func(){
		"USER_STATUS_UPDATED USER_STATUS_UPDATED": func() {
			if events++; events == 3 {
				watcher.post("/v1/logout", `{"deviceID":"tab"}`)
			}
		},
	})
	for _, letter := range []string{"a", "b", "c", "d"} {
		got = regexp.MustCompile(letter+"{1000,}").ReplaceAllString(got, letter+"…")
	}
	if got != goldenReplay {
		t.Errorf("got\n%s\nwant\n%s", got, goldenReplay)
	}
}
