package presence

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func FuzzCheckID(f *testing.F) {
	for _, id := range []string{"", "alice", " a", "a\nb", "\xff", strings.Repeat("é", 64), strings.Repeat("é", 65)} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		if CheckID(id) != nil {
			return
		}
		if id == "" || len(id) > 128 || !utf8.ValidString(id) || strings.TrimSpace(id) != id {
			t.Errorf("%q is allowed as an ID", id)
		}
		if line := AppendQuoted(nil, id); strings.ContainsAny(id, "\r\n\x00") || !bytes.Contains(line, []byte{'"'}) {
			t.Errorf("%q could break a line of the stream or of a log", id)
		}
	})
}

func FuzzStatusJSON(f *testing.F) {
	f.Add("alice", int8(1), "In a call", int64(42), int64(1795446000000), int8(2), int64(0), false)
	f.Add("\"\\", int8(3), "a\r\n\x00\u2028\U0001F642", int64(1)<<53-1, int64(0), int8(0), int64(29924100), true)
	f.Fuzz(func(t *testing.T, userID string, statusType int8, text string, version, expiresMilli int64, availability int8, seen int64, invisible bool) {
		if !utf8.ValidString(userID) || !utf8.ValidString(text) || expiresMilli < 0 || expiresMilli > 1<<47 || seen < 0 || seen > 1<<31 {
			t.Skip("not a status of a service")
		}
		s := Status{UserID: userID, StatusType: StatusType(statusType), CustomStatus: text, Version: version,
			Availability: Availability(uint8(availability) % 4), Invisible: invisible}
		if expiresMilli != 0 {
			s.ExpiresAt = time.UnixMilli(expiresMilli).UTC()
		}
		if seen != 0 {
			s.LastSeenAt = time.Unix(seen*60, 0).UTC()
		}
		line := s.AppendJSON(nil)
		if bytes.ContainsAny(line, "\r\n\x00") {
			t.Errorf("%q is not one line: it could forge a field of the stream", line)
		}
		if version >= 0 && version < 1<<53 && statusType >= 0 && statusType < 4 && len(line) > s.sizeJSON() {
			t.Errorf("%s has %d bytes, more than the bound of %d", line, len(line), s.sizeJSON())
		}
		for name, present := range map[string]bool{"expiresAt": expiresMilli != 0, "availability": s.Availability != 0, "lastSeenAt": seen != 0, "invisible": invisible} {
			if bytes.Contains(line, []byte(`,"`+name+`":`)) != present {
				t.Errorf("%s has the member %s: want %v", line, name, present)
			}
		}
		var back Status // the fields have the names of the wire format, except for case
		if err := json.Unmarshal(line, &back); err != nil || back != s {
			t.Errorf("%s reads back as %+v, want %+v (%v)", line, back, s, err)
		}
	})
}
