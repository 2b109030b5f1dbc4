package main

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	ics "github.com/arran4/golang-ical"
	server "github.com/presence-server/presence/deploy/testserver"
)

var program server.Program

func TestMain(m *testing.M) { os.Exit(program.Run(m)) }

func at(t *testing.T, text string) time.Time {
	t.Helper()
	if text == "" {
		return time.Time{}
	}
	moment, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return moment
}

func fixture(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func parsed(t *testing.T, text []byte) *ics.Calendar {
	t.Helper()
	calendar, err := parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return calendar
}

// TestBusy: at each time, the user is busy as the calendars say. The next event counts
// if it begins within ten minutes.
func TestBusy(t *testing.T) {
	for _, test := range []struct{ name, file, now, start, end string }{
		{"running, in summer time", "google.ics", "2026-10-05T07:40:00Z", "2026-10-05T07:30:00Z", "2026-10-05T07:45:00Z"},
		{"recurring, in winter time", "google.ics", "2026-10-26T08:40:00Z", "2026-10-26T08:30:00Z", "2026-10-26T08:45:00Z"},
		{"next within the interval", "google.ics", "2026-10-07T07:20:00Z", "2026-10-07T07:30:00Z", "2026-10-07T07:45:00Z"},
		{"next later than that", "google.ics", "2026-10-07T07:19:59Z", "", ""},
		{"the end doesn't belong to it", "google.ics", "2026-10-07T07:45:00Z", "", ""},
		{"EXDATE, and a whole day", "google.ics", "2026-10-21T07:40:00Z", "", ""},
		{"a whole day", "google.ics", "2026-10-20T10:00:00Z", "", ""},
		{"transparent", "google.ics", "2026-10-22T10:00:00Z", "", ""},
		{"moved away", "google.ics", "2026-10-23T07:40:00Z", "", ""},
		{"moved to here, with an overlapping and a following event", "google.ics", "2026-10-23T12:10:00Z", "2026-10-23T12:00:00Z", "2026-10-23T13:30:00Z"},
		{"the last one before UNTIL", "google.ics", "2026-11-27T08:40:00Z", "2026-11-27T08:30:00Z", "2026-11-27T08:45:00Z"},
		{"after UNTIL", "google.ics", "2026-11-30T08:40:00Z", "", ""},
		{"zone of Windows, in summer time", "outlook.ics", "2026-10-13T09:30:00Z", "2026-10-13T09:00:00Z", "2026-10-13T10:00:00Z"},
		{"zone of Windows, in winter time", "outlook.ics", "2026-11-10T10:30:00Z", "2026-11-10T10:00:00Z", "2026-11-10T11:00:00Z"},
		{"zone of Windows, at the hour of summer time", "outlook.ics", "2026-11-10T09:30:00Z", "", ""},
		{"first of two EXDATEs", "outlook.ics", "2026-09-08T09:30:00Z", "", ""},
		{"second of two EXDATEs", "outlook.ics", "2026-12-08T10:30:00Z", "", ""},
		{"UNTIL is an occurrence itself", "outlook.ics", "2027-01-12T10:30:00Z", "2027-01-12T10:00:00Z", "2027-01-12T11:00:00Z"},
		{"cancelled", "outlook.ics", "2026-10-14T09:30:00Z", "", ""},
		{"duration", "nextcloud.ics", "2026-10-30T13:30:00Z", "2026-10-30T13:00:00Z", "2026-10-30T14:30:00Z"},
		{"one occurrence is cancelled", "nextcloud.ics", "2026-10-31T13:30:00Z", "", ""},
		{"after the clocks changed", "nextcloud.ics", "2026-11-01T14:30:00Z", "2026-11-01T14:00:00Z", "2026-11-01T15:30:00Z"},
		{"COUNT counts what was cancelled", "nextcloud.ics", "2026-11-03T14:30:00Z", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			now := at(t, test.now)
			found, err := busy(t.Context(), parsed(t, fixture(t, test.file)), now, now.Add(10*time.Minute))
			if err != nil {
				t.Fatal(err)
			}
			if !found.start.Equal(at(t, test.start)) || !found.end.Equal(at(t, test.end)) {
				t.Errorf("busy from %v to %v, want %q to %q", found.start.UTC(), found.end.UTC(), test.start, test.end)
			}
		})
	}
}

// calendarOf returns a calendar with one event per text.
func calendarOf(events ...string) []byte {
	var b strings.Builder
	b.WriteString("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//EN\r\n")
	for _, event := range events {
		b.WriteString("BEGIN:VEVENT\r\n" + strings.ReplaceAll(event, "\n", "\r\n") + "\r\nEND:VEVENT\r\n")
	}
	b.WriteString("END:VCALENDAR\r\n")
	return []byte(b.String())
}

// TestBadEvents: an event that can't be read is reported, and the others count.
func TestBadEvents(t *testing.T) {
	now := at(t, "2026-10-05T07:40:00Z")
	const good = "UID:good\nDTSTART:20261005T073000Z\nDTEND:20261005T080000Z"
	for _, bad := range []string{
		"UID:bad\nDTSTART:yesterday\nDTEND:20261005T090000Z",
		"UID:bad\nDTSTART;TZID=Nowhere:20261005T073000\nDTEND:20261005T090000Z",
		"UID:bad\nDTSTART:20261005T073000Z\nDURATION:long",
		"UID:bad\nDTSTART:20261005T073000Z\nDTEND:20261005T090000Z\nRRULE:FREQ=SOMETIMES",
		"UID:bad\nDTSTART:19700101T000000Z\nDTEND:19700101T000001Z\nRRULE:FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=31",
		"UID:bad\nDTSTART:19700101T000000Z\nDTEND:19700101T000001Z\nRRULE:FREQ=DAILY;BYHOUR=1,2,3",
	} {
		found, err := busy(t.Context(), parsed(t, calendarOf(bad, good)), now, now)
		if err == nil || !strings.Contains(err.Error(), "event bad is left out") {
			t.Errorf("%q: error %v", bad, err)
		}
		if !found.end.Equal(at(t, "2026-10-05T08:00:00Z")) {
			t.Errorf("%q: busy until %v", bad, found.end)
		}
	}
}

// TestTooLong: a calendar that takes too long is an error.
func TestTooLong(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := busy(ctx, parsed(t, fixture(t, "google.ics")), time.Now(), time.Now()); err == nil {
		t.Error("no error")
	}
}

// FuzzBusy: no input makes the program panic.
func FuzzBusy(f *testing.F) {
	for _, name := range []string{"google.ics", "outlook.ics", "nextcloud.ics"} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	now := time.Date(2026, 10, 23, 12, 10, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text []byte) {
		if calendar, err := parse(text); err == nil {
			if found, _ := busy(t.Context(), calendar, now, now.Add(time.Hour)); !found.end.IsZero() && !found.end.After(now) {
				t.Errorf("busy until %v, which is past", found.end)
			}
		}
	})
}

// source is a web server with one calendar.
type source struct {
	*httptest.Server
	mu       sync.Mutex
	text     []byte
	etag     string
	requests []*http.Request
}

// newSource returns a source that is closed when the test ends.
func newSource(t *testing.T) *source {
	s := &source{}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *source) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r)
	if s.text == nil {
		http.Error(w, "gone", http.StatusGone)
		return
	}
	w.Header().Set("ETag", s.etag)
	if r.Header.Get("If-None-Match") == s.etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Write(s.text)
}

func (s *source) serve(text []byte, etag string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text, s.etag = text, etag
}

// event returns an event that begins and ends at these times.
func event(start, end time.Time) string {
	const layout = "20060102T150405Z"
	return "UID:1\nDTSTART:" + start.UTC().Format(layout) + "\nDTEND:" + end.UTC().Format(layout) + "\nSUMMARY:Salary talk"
}

// TestDownload: a calendar is downloaded again only if it has changed, a large one is
// refused, and no error contains the address.
func TestDownload(t *testing.T) {
	s := newSource(t)
	f := &follower{config: &config{}, address: s.URL + "/private-SECRET/basic.ics?key=SECRET"}
	s.serve(fixture(t, "google.ics"), `"1"`)
	for range 2 {
		if err := f.download(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.requests[1].Header.Get("If-None-Match"); got != `"1"` {
		t.Errorf("If-None-Match is %q", got)
	}
	before := f.calendar
	s.serve([]byte(strings.Repeat("X", maxBytes+1)), `"2"`)
	fails(t, f, "larger")
	s.serve([]byte("<html>log in</html>"), `"3"`)
	fails(t, f, "not a calendar")
	s.serve(nil, "")
	fails(t, f, "410")
	s.Close()
	fails(t, f, "refused")
	if f.calendar != before || f.etag != `"1"` {
		t.Error("a failed download replaced the calendar")
	}
}

func fails(t *testing.T, f *follower, with string) {
	t.Helper()
	err := f.download(t.Context())
	if err == nil || !strings.Contains(err.Error(), with) || strings.Contains(err.Error(), "SECRET") {
		t.Errorf("error %v, want one with %q", err, with)
	}
}

// TestLoad: the example works, and mistakes are refused.
func TestLoad(t *testing.T) {
	t.Setenv(keyVariable, "")
	folder := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key := "admin_key_file = '" + write("key", "secret\n") + "'\n"
	const calendars = "[calendars]\n'alice' = 'webcal://example.com/a.ics'\n"
	for _, test := range []struct{ text, want string }{
		{key + calendars, ""},
		{calendars, "admin key"},
		{key, "empty"},
		{key + "interval = '10s'\n" + calendars, "interval"},
		{key + "titles = true\n" + calendars, "strict mode"},
		{key + "[calendars]\nalice = 'file:///etc/passwd'\n", "alice"},
	} {
		c, err := load(write("calendar.toml", test.text))
		switch {
		case test.want == "" && (err != nil || c.key != "secret"):
			t.Errorf("%q: error %v", test.text, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%q: error %v, want one with %q", test.text, err, test.want)
		}
	}
	_, example, _ := strings.Cut(string(readme(t)), "```toml\n")
	example, _, _ = strings.Cut(example, "```")
	t.Setenv(keyVariable, "secret")
	example = strings.Replace(example, "admin_key_file", "# admin_key_file", 1)
	if c, err := load(write("calendar.toml", example)); err != nil || len(c.Calendars) != 2 {
		t.Errorf("the example of the README: %v", err)
	}
}

func readme(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestUnknownUser: an error that stays the same is logged once.
func TestUnknownUser(t *testing.T) {
	var log strings.Builder
	old := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	t.Cleanup(func() { slog.SetDefault(old) })
	child := server.NewChild(t, program.Path(t))
	child.Start()
	s := newSource(t)
	now := time.Now()
	s.serve(calendarOf(event(now.Add(-time.Hour), now.Add(time.Hour))), `"1"`)
	f := newFollower(child, s, "nobody")
	for range 3 {
		_, err := f.poll(child.Ctx, now)
		f.report(err)
	}
	if strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), "70107") {
		t.Errorf("the log is %q, want 70107 once", log.String())
	}
}

func newFollower(child *server.Child, s *source, userID string) *follower {
	c := &config{Server: child.URL, Interval: interval{time.Minute}, Text: "In a meeting", key: server.AdminKey}
	return &follower{config: c, userID: userID, address: s.URL}
}

// TestRun: the real server shows the event that runs, without its title; a calendar
// that fails changes nothing; an event that was deleted is withdrawn, and the next one
// begins by itself.
func TestRun(t *testing.T) {
	child := server.NewChild(t, program.Path(t))
	child.Start()
	child.Befriend("alice", "bob")
	child.Set("alice", "Own text")
	stream := child.Open("bob", "")
	s := newSource(t)
	f := newFollower(child, s, "alice")
	poll := func() (time.Duration, error) { return f.poll(child.Ctx, time.Now()) }
	must := func() time.Duration {
		t.Helper()
		pause, err := poll()
		if err != nil {
			t.Fatal(err)
		}
		return pause
	}

	now := time.Now()
	s.serve(calendarOf(event(now.Add(-time.Hour), now.Add(30*time.Second))), `"1"`)
	if pause := must(); pause > 30*time.Second {
		t.Errorf("the next poll is in %v, want one at the end of the event", pause)
	}
	child.Awaits(stream, "alice", "3 In a meeting")
	s.serve(nil, "")
	if _, err := poll(); err == nil {
		t.Error("a failed download is not reported")
	}
	if got := child.Status("alice"); got != "3 In a meeting" {
		t.Errorf("after a failed download the status is %q", got)
	}
	s.serve(calendarOf(), `"2"`)
	must()
	child.Awaits(stream, "alice", "3 Own text")
	now = time.Now()
	s.serve(calendarOf(event(now.Add(3*time.Second), now.Add(5*time.Second))), `"3"`)
	must()
	if got := child.Status("alice"); got != "3 Own text" {
		t.Errorf("before the event begins the status is %q", got)
	}
	child.Awaits(stream, "alice", "3 In a meeting")
	child.Awaits(stream, "alice", "3 Own text")
}

// TestOthers: a calendar that never responds doesn't stop the others.
func TestOthers(t *testing.T) {
	child := server.NewChild(t, program.Path(t))
	child.Start()
	child.Befriend("alice", "bob")
	stream := child.Open("bob", "")
	ctx, stop := context.WithCancel(child.Ctx)
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(hanging.Close)
	s, now := newSource(t), time.Now()
	s.serve(calendarOf(event(now.Add(-time.Hour), now.Add(time.Hour))), `"1"`)
	c := newFollower(child, s, "").config
	c.Calendars = map[string]string{"alice": s.URL, "bob": hanging.URL}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		run(ctx, c)
	}()
	defer func() {
		stop()
		<-ended
	}()
	child.Awaits(stream, "alice", "3 In a meeting")
}
