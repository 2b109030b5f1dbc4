package testserver

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Stream reads the events of one event stream, strictly: see Next.
type Stream struct {
	response *http.Response // nil for a stream that Read reads
	lines    *bufio.Reader
	cursor   string
}

// Event is one event of a stream. A field that the event doesn't have is "".
type Event struct {
	ID, Type, Data, Retry string

	Raw string // all of its lines, as they were received
}

// Status is a status object.
type Status struct {
	UserID       string
	StatusType   int
	CustomStatus string
	Version      int64
}

// String returns the type and the custom status, as in "1 In a call".
func (s Status) String() string {
	return strings.TrimSpace(fmt.Sprint(s.StatusType, " ", s.CustomStatus))
}

// Follow opens a stream that ends with ctx. query is the query of the request,
// without the question mark. With lastEventID "", the stream resumes nothing. A
// response other than 200 is an error.
func (s *Server) Follow(ctx context.Context, token, query, lastEventID string) (*Stream, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/v1/events?"+query, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	if lastEventID != "" {
		request.Header.Set("Last-Event-ID", lastEventID)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		response.Body.Close()
		return nil, fmt.Errorf("the stream answered %s", response.Status)
	}
	return &Stream{response: response, lines: bufio.NewReader(response.Body), cursor: lastEventID}, nil
}

// Read reads a stream that another client has opened.
func Read(body io.Reader) *Stream { return &Stream{lines: bufio.NewReader(body)} }

// Close closes a stream that Follow opened, without logging out.
func (s *Stream) Close() { s.response.Body.Close() }

// Cursor returns the id of the last event, or "" before the first.
func (s *Stream) Cursor() string { return s.cursor }

// Next waits for the next event. At a proper end of the stream between two events
// it returns io.EOF. It returns an error for whatever the server must never
// write: a line that is no field, a field twice, or an event without an id,
// which would reset the cursor of a browser.
func (s *Stream) Next() (Event, error) {
	var e Event
	for {
		line, err := s.lines.ReadString('\n')
		e.Raw += line
		if err != nil {
			if e.Raw != "" {
				err = fmt.Errorf("in the middle of the event %.200q: %w", e.Raw, err)
			}
			return e, err
		}
		if line == "\n" {
			break
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		field := e.field(name)
		if field == nil || *field != "" || strings.Contains(value, "\r") {
			return e, fmt.Errorf("not a line of an event: %.200q", line)
		}
		*field = value
	}
	if e.ID == "" {
		return e, fmt.Errorf("an event without an id: %.200q", e.Raw)
	}
	s.cursor = e.ID
	return e, nil
}

// field returns the field of a name, or nil if an event has no such field.
func (e *Event) field(name string) *string {
	switch name {
	case "id":
		return &e.ID
	case "event":
		return &e.Type
	case "data":
		return &e.Data
	case "retry":
		return &e.Retry
	}
	return nil
}

// Statuses returns the statuses of a USER_STATUS_UPDATED, the user's own status
// of a READY, or none of another event.
func (e Event) Statuses() (all []Status, err error) {
	switch e.Type {
	case "USER_STATUS_UPDATED":
		err = json.Unmarshal([]byte(e.Data), &all)
	case "READY":
		var ready struct{ Self Status }
		err = json.Unmarshal([]byte(e.Data), &ready)
		all = []Status{ready.Self}
	}
	return all, err
}
