package testserver

import (
	"errors"
	"io"
	"strings"
	"testing"
)

func TestNextReadsOneEventAfterAnother(t *testing.T) {
	s := Read(strings.NewReader("id: 7\ndata: {}\nevent: READY\n\nid: 8\ndata: []\nevent: USER_STATUS_UPDATED\nretry: 5\n\n"))
	for _, want := range []Event{
		{ID: "7", Data: "{}", Type: "READY", Raw: "id: 7\ndata: {}\nevent: READY\n\n"},
		{ID: "8", Data: "[]", Type: "USER_STATUS_UPDATED", Retry: "5", Raw: "id: 8\ndata: []\nevent: USER_STATUS_UPDATED\nretry: 5\n\n"},
	} {
		if got, err := s.Next(); err != nil || got != want || s.Cursor() != want.ID {
			t.Errorf("got %+v, %v and the cursor %q, want %+v", got, err, s.Cursor(), want)
		}
	}
	if e, err := s.Next(); err != io.EOF {
		t.Errorf("after the last event: %+v, %v, want io.EOF", e, err)
	}
}

func TestNextRefusesWhatTheServerMustNotWrite(t *testing.T) {
	for _, text := range []string{
		"data: {}\nevent: READY\n\n", "id: 7\nid: 8\n\n", "id: 7\ndata: a\ndata: b\n\n", "id: 7\n4\n\n",
		": comment\n\n", "id:7\n\n", "id: 7\r\n\r\n", "\n", "id: 7\ndata: {", "id: 7\n",
	} {
		if e, err := Read(strings.NewReader(text)).Next(); err == nil || err == io.EOF {
			t.Errorf("%q is read as %+v, %v", text, e, err)
		}
	}
	if _, err := Read(strings.NewReader("id: 7\n")).Next(); !errors.Is(err, io.EOF) {
		t.Errorf("a truncated event gives %v, which should wrap the cause", err)
	}
}
