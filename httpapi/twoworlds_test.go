package httpapi_test

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestInvisibleOverHTTP compares what a friend and subscriber receives over HTTP from an
// invisible user with what is received from one who has logged out: bodies, headers but
// for the date, the limits of calls, and streams, with versions renumbered in their order.
// TestInvisibleUserLeaksNothing of package presence has random sequences of both.
func TestInvisibleOverHTTP(t *testing.T) {
	invisible, loggedOut := recordOf(t, true), recordOf(t, false)
	if invisible != loggedOut {
		t.Errorf("others receive\n%s\nfrom an invisible user, and from one who has logged out\n%s", invisible, loggedOut)
	}
	if n := strings.Count(invisible, "alice"); n < 20 {
		t.Errorf("alice is only %d times in\n%s", n, invisible)
	}
	if !strings.Contains(invisible, "429") {
		t.Error("no call was limited")
	}
}

func recordOf(t *testing.T, invisible bool) string {
	s := newServer(t, func(o *options) { o.config.Limits.CallsPerWindow, o.config.Limits.Window = 8, time.Hour })
	s.register("alice", "bob")
	alice := s.user("alice")
	tab := alice.stream("deviceID", "tab").ready()
	s.admin().post("/v1/admin/addFriends", `{"userID":"bob","friendIDList":["alice"]}`)
	w := &witness{t: t, bob: s.user("bob")}
	w.calls()
	w.stream = w.bob.stream("deviceID", "d").ready()

	if invisible {
		alice.post("/v1/setVisibility", `{"invisible":true}`)
	} else {
		alice.post("/v1/logout", "")
	}
	w.sees("she leaves")
	cursor := w.stream.Cursor()
	if invisible {
		alice.stream("deviceID", "phone", "platform", "ios").ready()
		alice.post("/v1/setIdle", `{"deviceID":"phone","idle":true}`).is(`{}`, "a device may be idle")
		alice.post("/v1/setVisibility", `{"invisible":true}`).is(`{}`, "it is true already")
		tab.cancel()
		until(t, "the disconnect of the tab", func() bool {
			self, _ := s.svc.Self("alice")
			return !self.Devices[1].Connected
		})
		alice.post("/v1/getUserStatus", `{"userIDList":["bob"]}`)
		alice.post("/v1/logout", `{"deviceID":"phone"}`)
		alice.stream("deviceID", "new").ready()
	}
	w.sees("she does a lot")
	alice.post("/v1/setSelfStatus", `{"customStatus":"x","availability":"dnd","source":"call","expiresAt":"`+tomorrow+`"}`)
	w.sees("she says something")
	w.calls()
	w.resumes(cursor)
	if invisible {
		alice.post("/v1/logout", "")
		alice.stream("deviceID", "new").ready()
	}
	w.resumes(w.stream.Cursor())

	if invisible {
		alice.post("/v1/setVisibility", `{"invisible":false}`)
	} else {
		alice.stream("deviceID", "new").ready()
	}
	w.sees("she is back")
	w.calls()
	w.calls() // the last ones that are not limited
	w.calls()
	return w.renumbered()
}

// tomorrow is the same time in both worlds, which begin a moment apart.
var tomorrow = time.Now().UTC().AddDate(0, 0, 1).Truncate(time.Second).Format(time.RFC3339)

// witness is bob, and what he receives.
type witness struct {
	t      *testing.T
	bob    caller
	stream *stream
	round  int
	lines  []string
}

func (w *witness) add(format string, args ...any) {
	w.lines = append(w.lines, fmt.Sprintf(format, args...))
}

// sees reads the stream up to a change of bob's own. Statuses may share an event or not.
func (w *witness) sees(what string) {
	w.t.Helper()
	w.round++
	last := fmt.Sprint("round ", w.round)
	w.add("# %s", what)
	w.bob.post("/v1/setSelfStatus", `{"customStatus":"`+last+`"}`)
	for {
		e := w.stream.next()
		if e.Type == "KEEPALIVE" {
			continue
		}
		for one := range strings.SplitSeq(strings.Trim(e.Data, "[]"), "},{") {
			w.add("%s %s", e.Type, strings.Trim(one, "{}"))
		}
		if strings.Contains(e.Data, last) {
			return
		}
	}
}

// resumes opens the stream anew, from a cursor.
func (w *witness) resumes(cursor string) {
	w.t.Helper()
	w.stream.cancel()
	w.stream = w.bob.stream("deviceID", "d", "Last-Event-ID", cursor).ready()
	w.sees("bob resumes")
}

// calls makes every call that may show alice. Those with a limit are made twice, also for
// alice alone: a call that didn't count because of her would be limited later.
func (w *witness) calls() {
	w.t.Helper()
	const both, alone = `{"userIDList":["alice","nobody","bob"]}`, `{"userIDList":["alice"]}`
	for _, ids := range []string{both, alone} {
		w.answered(w.bob.post("/v1/unsubscribeUserStatus", ids))
		w.answered(w.bob.post("/v1/subscribeUserStatus", ids))
		w.answered(w.bob.post("/v1/getUserStatus", ids))
	}
	w.answered(w.bob.get("/v1/subscriptions"))
	w.answered(w.bob.get("/v1/friends"))
	w.answered(w.bob.post("/v1/setIdle", `{"deviceID":"new","idle":true}`)) // alice's device
}

func (w *witness) answered(a *answer) {
	header := a.header.Clone()
	for _, varies := range []string{"Date", "X-Request-Id", "Retry-After"} {
		header.Del(varies)
	}
	var names []string
	for name, values := range header {
		names = append(names, name+"="+strings.Join(values, ","))
	}
	slices.Sort(names)
	w.add("%s: %d %s %v", a.call, a.status, http.StatusText(a.status), names)
	w.add("%s", a.body)
}

// renumbered returns all lines, with each version replaced by its rank.
func (w *witness) renumbered() string {
	text := strings.Join(w.lines, "\n")
	pattern := regexp.MustCompile(`"version":(\d+)`)
	var all []int
	for _, m := range pattern.FindAllStringSubmatch(text, -1) {
		n, _ := strconv.Atoi(m[1])
		all = append(all, n)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	return pattern.ReplaceAllStringFunc(text, func(s string) string {
		n, _ := strconv.Atoi(strings.TrimPrefix(s, `"version":`))
		return fmt.Sprintf(`"version":%d`, slices.Index(all, n))
	})
}
