package httpapi_test

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/presence-server/presence/deploy/testserver"
	"github.com/presence-server/presence/presence"
)

// stream is the client's side of GET /v1/events.
type stream struct {
	*testserver.Stream
	t        testing.TB
	response *http.Response
	cancel   context.CancelFunc
}

// stream opens a stream, which must be answered 200. Each pair of more is a query
// parameter, or the header Last-Event-ID.
func (c caller) stream(more ...string) *stream {
	c.s.t.Helper()
	st := c.open(more...)
	if st.response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(st.response.Body)
		c.s.t.Fatalf("GET /v1/events was answered %s %s", st.response.Status, text)
	}
	return st
}

// open opens a stream, whatever the response is.
func (c caller) open(more ...string) *stream {
	c.s.t.Helper()
	query, header := url.Values{}, http.Header{}
	for i := 0; i < len(more); i += 2 {
		if more[i] == "Last-Event-ID" {
			header.Set(more[i], more[i+1])
		} else {
			query.Set(more[i], more[i+1])
		}
	}
	if c.token != "" {
		header.Set("Authorization", "Bearer "+c.token)
	}
	return c.s.openStream(c.s.http.Client(), c.s.http.URL+c.s.prefix+"/v1/events?"+query.Encode(), header)
}

func (s *server) openStream(client *http.Client, address string, header http.Header) *stream {
	s.t.Helper()
	s.remember(strings.TrimPrefix(header.Get("Authorization"), "Bearer "))
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	s.t.Cleanup(cancel)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header = header
	response, err := client.Do(request)
	if err != nil {
		s.t.Fatalf("GET /v1/events: %v", err)
	}
	s.t.Cleanup(func() { response.Body.Close() })
	record(s.t, exchange{Method: "GET", Path: strings.TrimPrefix(request.URL.RequestURI(), s.prefix), Sent: header,
		Status: response.StatusCode, Header: response.Header, Got: bodyUnlessStream(s.t, response)})
	return &stream{testserver.Read(response.Body), s.t, response, cancel}
}

func bodyUnlessStream(t testing.TB, response *http.Response) []byte {
	t.Helper()
	if response.StatusCode == http.StatusOK {
		return nil
	}
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	response.Body = io.NopCloser(strings.NewReader(string(text)))
	return text
}

// next waits for the next event.
func (st *stream) next() testserver.Event {
	st.t.Helper()
	e, err := st.read()
	if err != nil {
		st.t.Fatalf("the stream ended before the event that a test waits for: %v", err)
	}
	return e
}

// read returns the next event, which it records, or io.EOF after a proper end.
func (st *stream) read() (testserver.Event, error) {
	st.t.Helper()
	e, err := st.Next()
	if err == nil {
		record(st.t, exchange{Event: e.Type, Path: st.response.Request.URL.Path, Got: []byte(e.Data)})
	}
	return e, err
}

// ready checks that the next event is READY.
func (st *stream) ready() *stream {
	st.t.Helper()
	if e := st.next(); e.Type != "READY" {
		st.t.Fatalf("the first event of a stream is READY, not %q", e.Raw)
	}
	return st
}

// is checks the next event that isn't a KEEPALIVE.
func (st *stream) is(name, data, rule string) {
	st.t.Helper()
	e := st.next()
	for e.Type == "KEEPALIVE" {
		e = st.next()
	}
	if e.Type != name || normal(e.Data) != data {
		st.t.Fatalf("Broken: %s\ngot  %s %.500s\nwant %s %s", rule, e.Type, normal(e.Data), name, data)
	}
}

// breaksOff checks that nothing more arrives and that the stream is truncated. After a
// proper end some clients never reconnect.
func (st *stream) breaksOff(rule string) {
	st.t.Helper()
	if e, err := st.read(); err == nil || err == io.EOF || e.Raw != "" {
		st.t.Errorf("Broken: %s, and is truncated so that clients reconnect\ngot %q, %v", rule, e.Raw, err)
	}
}

// ends checks that nothing more arrives, and that the end is proper.
func (st *stream) ends(rule string) {
	st.t.Helper()
	if e, err := st.read(); err != io.EOF {
		st.t.Errorf("Broken: %s\ngot %q, %v", rule, e.Raw, err)
	}
}

var ids = regexp.MustCompile(`(?m)^id: \d+$`)

// transcript reads to the end of the stream. Repeated KEEPALIVEs count once. After
// each event, the function for that event is called.
func (st *stream) transcript(acts map[string]func()) string {
	st.t.Helper()
	var all strings.Builder
	before := ""
	for {
		e, err := st.read()
		if err != nil {
			all.WriteString(err.Error())
			return all.String()
		}
		if e.Type == "KEEPALIVE" && before == e.Type {
			continue
		}
		if act := acts[before+" "+e.Type]; act != nil {
			act()
		}
		before = e.Type
		all.WriteString(normal(ids.ReplaceAllString(e.Raw, "id: N")) + "\n\n")
	}
}

// status is a status object in the form that normal returns.
func status(userID string, statusType presence.StatusType, customStatus string) string {
	b := presence.Status{UserID: userID, StatusType: statusType, CustomStatus: customStatus}.AppendJSON(nil)
	return normal(string(b))
}
