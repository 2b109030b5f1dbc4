package presence

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// StatusType is the normal status of a user. It follows from the user's devices and
// the time alone, and can't be set.
type StatusType int8

// The normal statuses, by their numbers in the public protocol.
const (
	// Unknown means that there is no such user. Watchers receive it when a user
	// is deleted.
	Unknown StatusType = 0

	// Online means that a device is connected, or disconnected less than
	// Settings.ReconnectGrace ago.
	Online StatusType = 1

	// Offline means that the user is not Online, and that a native device
	// disconnected without logging out less than Settings.OfflineRetention ago.
	Offline StatusType = 2

	// Unlogined means that no device is logged in: there never was one, or each
	// logged out, was kicked, or has been disconnected for too long. A web device
	// is logged out as soon as its grace period is over.
	Unlogined StatusType = 3
)

// String returns the name, such as "ONLINE", or "StatusType(9)" for a number that
// has none.
func (t StatusType) String() string {
	switch t {
	case Unknown:
		return "UNKNOWN"
	case Online:
		return "ONLINE"
	case Offline:
		return "OFFLINE"
	case Unlogined:
		return "UNLOGINED"
	}
	return fmt.Sprintf("StatusType(%d)", int8(t))
}

// Status is what can be seen of a user. The user and the server side see another status
// than everybody else while the user is invisible; see [Service.SetVisibility].
type Status struct {
	UserID       string
	StatusType   StatusType
	CustomStatus string       // empty means that there is none
	Version      int64        // the version of the last change that the reader of this status can see; see the package comment
	ExpiresAt    time.Time    // when CustomStatus expires, in whole milliseconds; the zero time means never
	Availability Availability // the strongest that is stated, or Away if the user's devices are idle
	LastSeenAt   time.Time    // when a user who isn't Online was last Online, in whole minutes; the zero time means never, or that Settings.LastSeen is false
	Invisible    bool         // whether the user is invisible to others; always false in a status that others receive
}

// AppendJSON appends the JSON of the status, which is the same in all responses and
// events, and returns the extended buffer:
//
//	{"userID":"alice","statusType":1,"customStatus":"In a call","version":42,"expiresAt":"2026-11-23T15:00:00Z"}
//
// The members availability, lastSeenAt and invisible follow if they are set.
func (s Status) AppendJSON(b []byte) []byte {
	b = append(b, `{"userID":`...)
	b = AppendQuoted(b, s.UserID)
	b = append(b, `,"statusType":`...)
	b = strconv.AppendInt(b, int64(s.StatusType), 10)
	b = append(b, `,"customStatus":`...)
	b = AppendQuoted(b, s.CustomStatus)
	b = append(b, `,"version":`...)
	b = strconv.AppendInt(b, s.Version, 10)
	b = appendTime(b, `,"expiresAt":"`, s.ExpiresAt)
	if s.Availability != Available {
		b = append(append(append(b, `,"availability":"`...), s.Availability.String()...), '"')
	}
	b = appendTime(b, `,"lastSeenAt":"`, s.LastSeenAt)
	if s.Invisible {
		b = append(b, `,"invisible":true`...)
	}
	return append(b, '}')
}

// appendTime appends a member with a time, unless the time is zero. prefix is its name,
// up to the quote before the value.
func appendTime(b []byte, prefix string, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	b = t.UTC().AppendFormat(append(b, prefix...), time.RFC3339Nano)
	return append(b, '"')
}

// MarshalJSON returns what AppendJSON appends.
func (s Status) MarshalJSON() ([]byte, error) { return s.AppendJSON(nil), nil }

// AppendList appends the statuses as a JSON array, and returns the extended buffer.
// An empty or nil list gives [].
func AppendList(b []byte, list []Status) []byte {
	b = append(b, '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = s.AppendJSON(b)
	}
	return append(b, ']')
}

// sizeJSON returns an upper bound of the number of bytes that AppendJSON appends,
// which is at most a few bytes too high.
func (s *Status) sizeJSON() int {
	const members = len(`{"userID":"","statusType":1,"customStatus":"","version":9007199254740991}`)
	n := members + sizeQuoted(s.UserID) + sizeQuoted(s.CustomStatus)
	if !s.ExpiresAt.IsZero() {
		n += len(`,"expiresAt":"2026-11-23T15:00:00.000000000Z"`)
	}
	if s.Availability != Available || !s.LastSeenAt.IsZero() || s.Invisible {
		n += len(`,"availability":"away","lastSeenAt":"2026-11-23T15:00:00Z","invisible":true`)
	}
	return n
}

// AppendQuoted appends s as a JSON string, and returns the extended buffer. The string
// is a single line for every client: besides what JSON requires, the line ends of
// Unicode (U+0085, U+2028 and U+2029) are escaped. Invalid UTF-8 is replaced by
// U+FFFD; the strings of a [Service] have none.
func AppendQuoted(b []byte, s string) []byte {
	if isPlain(s) {
		return append(append(append(b, '"'), s...), '"')
	}
	start := len(b)
	b, _ = jsontext.AppendQuote(b, s)
	if !mayHaveLineEnds(s) {
		return b
	}
	quoted := string(b[start:])
	b = b[:start]
	for {
		i, length := lineEnd(quoted)
		b = append(b, quoted[:i]...)
		if length == 0 {
			return b
		}
		r, _ := utf8.DecodeRuneInString(quoted[i:])
		b = fmt.Appendf(b, `\u%04x`, r)
		quoted = quoted[i+length:]
	}
}

// isPlain reports whether s is printable ASCII without anything to escape, as most
// IDs and texts are: a query has a thousand of them.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// mayHaveLineEnds is a fast test. It is true for every s that has a line end of
// Unicode, and for some others.
func mayHaveLineEnds(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return strings.Contains(s[i:], "\u0085") || strings.Contains(s[i:], "\u2028"[:2])
		}
	}
	return false
}

// lineEnd returns the position and length in bytes of the first line end of Unicode
// in s. If there is none, it returns len(s) and zero.
func lineEnd(s string) (at, length int) {
	for i := 0; i < len(s); i++ {
		switch {
		case strings.HasPrefix(s[i:], "\u0085"):
			return i, len("\u0085")
		case strings.HasPrefix(s[i:], "\u2028"), strings.HasPrefix(s[i:], "\u2029"):
			return i, len("\u2028")
		}
	}
	return len(s), 0
}

// sizeQuoted returns an upper bound of the number of bytes that AppendQuoted appends
// between the quotes.
func sizeQuoted(s string) int {
	const escape = len(`\u0000`)
	n := len(s)
	for i := range len(s) {
		switch c := s[i]; c {
		case '"', '\\', '\b', '\f', '\n', '\r', '\t':
			n++
		default:
			if c < ' ' {
				n += escape - 1
			}
		}
	}
	if mayHaveLineEnds(s) {
		for {
			i, length := lineEnd(s)
			if length == 0 {
				break
			}
			n, s = n+escape-length, s[i+length:]
		}
	}
	return n
}

// Platform is the kind of a device, by its name in the public protocol.
type Platform string

// The platforms. All except Web are native: a native device that disconnects without
// logging out leaves its user Offline, a web device leaves them Unlogined.
const (
	Web     Platform = "web" // also mini-programs and hybrid shells
	Android Platform = "android"
	IOS     Platform = "ios"
	IPad    Platform = "ipad"
	Windows Platform = "windows"
	Mac     Platform = "mac"
	Linux   Platform = "linux"
)

// Native reports whether p is any platform except Web.
func (p Platform) Native() bool { return p != Web }

func checkPlatform(p Platform) *Error {
	switch p {
	case Web, Android, IOS, IPad, Windows, Mac, Linux:
		return nil
	}
	return malformed("the platform must be one of web, android, ios, ipad, windows, mac, linux")
}

const maxIDBytes = 128

// CheckID returns nil if id is a valid user or device ID: 1 to 128 bytes of UTF-8
// without control characters, and without leading or trailing white space. Otherwise
// it returns an [*Error] with CodeMalformed.
func CheckID(id string) error {
	if err := checkID(id); err != nil {
		return err
	}
	return nil
}

func checkID(id string) *Error {
	switch {
	case id == "":
		return malformed("an ID must not be empty")
	case len(id) > maxIDBytes:
		return malformed("an ID must have at most %d bytes", maxIDBytes)
	case !utf8.ValidString(id):
		return malformed("an ID must be UTF-8")
	}
	for _, r := range id {
		if unicode.IsControl(r) {
			return malformed("an ID must not contain control characters")
		}
	}
	first, _ := utf8.DecodeRuneInString(id)
	last, _ := utf8.DecodeLastRuneInString(id)
	if unicode.IsSpace(first) || unicode.IsSpace(last) {
		return malformed("an ID must not begin or end with a space")
	}
	return nil
}
