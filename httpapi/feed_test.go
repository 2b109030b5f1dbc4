package httpapi_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// feed opens GET /v1/admin/events with the admin key.
func (s *server) feed(query, lastEventID string) *stream {
	s.t.Helper()
	header := http.Header{"Authorization": {"Bearer " + adminKey}}
	if lastEventID != "" {
		header.Set("Last-Event-ID", lastEventID)
	}
	st := s.openStream(s.http.Client(), s.http.URL+s.prefix+"/v1/admin/events"+query, header)
	if st.response.StatusCode != http.StatusOK {
		s.t.Fatalf("GET /v1/admin/events answers %s", st.response.Status)
	}
	return st
}

// TestAdminEvents checks that the feed of all users starts with READY, and sends the
// changes of all users, including deletions.
func TestAdminEvents(t *testing.T) {
	s := newServer(t)
	s.register("alice", "bob")
	st := s.feed("", "")
	st.is("READY", `{"version":N}`, "the first event of a feed has the version alone")
	s.admin().post("/v1/admin/setUserStatus", `{"userID":"bob","customStatus":"lunch"}`)
	st.is("USER_STATUS_UPDATED", "["+status("bob", 3, "lunch")+"]", "a feed sends the changes of all users")
	s.user("alice").stream().ready()
	st.is("USER_STATUS_UPDATED", "["+status("alice", 1, "")+"]", "a feed reports users who connect")
	s.admin().post("/v1/admin/deleteUsers", `{"userIDList":["bob"]}`)
	st.is("USER_STATUS_UPDATED", "["+status("bob", 0, "")+"]", "a deleted user is UNKNOWN")
	s.admin().get("/v1/admin/stats").is(
		`{"users":{"online":1,"offline":0,"unlogined":0},"streams":2,"subscriptions":0,"version":N}`, "a feed counts as a stream, and makes nobody ONLINE")
	if answer := s.admin().get("/v1/admin/stats?deliveries=true"); !strings.Contains(answer.body, `"deliveries":`) {
		t.Errorf("deliveries are counted on request, but the response is %s", answer.body)
	}
	s.admin().get("/v1/admin/stats?availability=true").is(
		`{"users":{"online":1,"offline":0,"unlogined":0},"streams":2,"subscriptions":0,"version":N}`, "availability is absent while nobody has one")
	s.admin().get("/v1/admin/stats?availability=yes").fails(400, "70402", "the parameter is a boolean")
	s.admin().get("/v1/admin/stats?deliveries=1").fails(400, "70402", "the parameter is a boolean")
}

// TestAdminEventsResume checks that Last-Event-ID and since resume a feed, that the
// header takes precedence, and that zero and values that were never issued mean all
// users.
func TestAdminEventsResume(t *testing.T) {
	s := newServer(t)
	s.register("alice", "bob")
	at := s.version()
	s.admin().post("/v1/admin/setUserStatus", `{"userID":"alice","customStatus":"a"}`)
	everyone := "[" + status("bob", 3, "") + "," + status("alice", 3, "a") + "]"
	changed := "[" + status("alice", 3, "a") + "]"
	for _, try := range []struct{ query, header, want, id string }{
		{"?since=0", "", everyone, "0"},
		{"?since=99999999999999999999999", "", everyone, "0"},
		{"?since=9007199254740991", "", everyone, "0"},
		{fmt.Sprintf("?since=%d", at), "", changed, fmt.Sprint(at)},
		{"", fmt.Sprint(at), changed, fmt.Sprint(at)},
		{"?since=0", fmt.Sprint(at), changed, fmt.Sprint(at)},
		{fmt.Sprintf("?since=%d", at), "0", everyone, "0"},
	} {
		st := s.feed(try.query, try.header)
		if e := st.next(); e.Type != "READY" || e.ID != try.id {
			t.Errorf("%+v begins with %q", try, e.Raw)
		}
		st.is("USER_STATUS_UPDATED", try.want, fmt.Sprintf("%+v resumes", try))
	}
}

// TestAdminEventsRefuses checks that an invalid request for a feed is refused before
// the feed starts.
func TestAdminEventsRefuses(t *testing.T) {
	s := newServer(t)
	for _, query := range []string{"?since=", "?since=-1", "?since=1.5", "?since=x", "?since=1&since=2", "?access_token=x", "?platform=web"} {
		s.admin().get("/v1/admin/events"+query).fails(400, "70402", "a malformed or unknown parameter is refused")
	}
	header := http.Header{"Authorization": {"Bearer " + adminKey}, "Last-Event-ID": {"latest"}}
	s.send("GET", "/v1/admin/events", header, "").fails(400, "70402", "a malformed Last-Event-ID is refused")
	s.user("alice").get("/v1/admin/events").fails(403, "70403", "a user's token opens no feed")
	s.as("").get("/v1/admin/events?access_token="+url.QueryEscape(adminKey)).fails(403, "70403", "only the header carries the admin key")
	s.call("HEAD", "/v1/admin/events", adminKey, "")
	s.admin().post("/v1/admin/events", "{}").fails(405, "70402", "a feed is opened by GET")
}

// TestFeedsCountAsStreams checks that the limit of streams applies to feeds, too.
func TestFeedsCountAsStreams(t *testing.T) {
	s := newServer(t, func(o *options) { o.config.Limits.Streams = 1 })
	st := s.feed("", "")
	s.admin().get("/v1/admin/events").fails(503, "60022", "a feed over the limit is refused")
	st.cancel()
}
