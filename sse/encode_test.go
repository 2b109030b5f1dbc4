package sse

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/presence-server/presence/presence"
	"github.com/r3labs/sse/v2"
)

func TestEncode(t *testing.T) {
	self := presence.Status{UserID: "alice", StatusType: presence.Online, CustomStatus: "x", Version: 7}
	for _, c := range []struct {
		event presence.Event
		want  string
	}{
		{presence.Event{Type: presence.EventReady, DeviceID: "tab", Self: self, Keepalive: 15 * time.Second},
			`{"deviceID":"tab","self":{"userID":"alice","statusType":1,"customStatus":"x","version":7},"keepaliveSeconds":15}`},
		{presence.Event{Type: presence.EventUpdated, Statuses: []presence.Status{self, {UserID: "bob", Version: 8}}},
			`[{"userID":"alice","statusType":1,"customStatus":"x","version":7},{"userID":"bob","statusType":0,"customStatus":"","version":8}]`},
		{presence.Event{Type: presence.EventUpdated}, `[]`},
		{presence.Event{Type: presence.EventKeepalive}, `{}`},
		{presence.Event{Type: presence.EventKickedOut, Kick: presence.KickedMultipleDevice}, `{"type":"multipleDevice"}`},
	} {
		c.event.Cursor = 42
		var got sse.Event
		encode(&got, c.event)
		if string(got.Data) != c.want || string(got.Event) != string(c.event.Type) || string(got.ID) != "42" {
			t.Errorf("%s is sent as id %s, event %s, data %s\nwant %s", c.event.Type, got.ID, got.Event, got.Data, c.want)
		}
	}
}

// FuzzEncode checks that nothing in a status can forge a field of the stream.
func FuzzEncode(f *testing.F) {
	for _, text := range []string{"", "a\nid: 99\n\n", "\r", "\r\n", "\v\f\x1c\x1d\x1e", "\u0085", "\u2028\u2029", ":", "\x00", "\xff", `"\`} {
		f.Add(text, text)
	}
	f.Fuzz(func(t *testing.T, userID, text string) {
		s := presence.Status{UserID: userID, CustomStatus: text}
		for _, event := range []presence.Event{
			{Type: presence.EventUpdated, Statuses: []presence.Status{s}}, {Type: presence.EventReady, DeviceID: userID, Self: s},
		} {
			var e sse.Event
			encode(&e, event)
			data := e.Data
			if bytes.ContainsAny(data, "\n\v\f\r\x1c\x1d\x1e\u0085\u2028\u2029\x00") || !json.Valid(data) || strings.HasPrefix(string(data), ":") {
				t.Errorf("%q and %q are sent as %q", userID, text, data)
			}
		}
	})
}
