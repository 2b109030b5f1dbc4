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

// Stream is an open event stream.
type Stream struct {
	body   io.Closer // nil for a stream that Read reads
	lines  *bufio.Reader
	cursor string
}

// Event is one event of a stream.
type Event struct {
	ID, Type, Data, Retry string
}

// Status is a status object.
type Status struct {
	UserID       string
	StatusType   int
	CustomStatus string
	Version      int64
}

// Follow opens a stream; query is what stands behind the question mark, and
// lastEventID "" resumes nothing. It ends with ctx. An answer other than 200
// is an error.
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
	return &Stream{body: response.Body, lines: bufio.NewReader(response.Body), cursor: lastEventID}, nil
}

// Read reads a stream that another client has opened.
func Read(body io.Reader) *Stream { return &Stream{lines: bufio.NewReader(body)} }

// Close ends a stream that Follow opened, without logging out.
func (s *Stream) Close() { s.body.Close() }

// Cursor returns the id of the last event.
func (s *Stream) Cursor() string { return s.cursor }

// Next waits for the next event. At the end of the stream it returns io.EOF.
func (s *Stream) Next() (Event, error) {
	var e Event
	for {
		line, err := s.lines.ReadString('\n')
		if err != nil {
			return e, err
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "id":
			e.ID = value
		case "event":
			e.Type = value
		case "data":
			e.Data = value
		case "retry":
			e.Retry = value
		case "":
			s.cursor = e.ID
			return e, nil
		}
	}
}

// Statuses returns the statuses of a USER_STATUS_UPDATED, or of READY the
// user's own; else none.
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
