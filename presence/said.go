package presence

import (
	"cmp"
	"slices"
	"strings"
)

// entry is an Entry as it is stored. The exported fields are what its source states. The
// zero value says nothing.
type entry struct {
	Source       string       `cbor:"1,keyasint,omitempty"`
	Text         string       `cbor:"2,keyasint,omitempty"`
	Availability Availability `cbor:"3,keyasint,omitempty"`
	Priority     int8         `cbor:"4,keyasint,omitempty"`
	StartsAt     micros       `cbor:"5,keyasint,omitempty"`
	ExpiresAt    micros       `cbor:"6,keyasint,omitempty"`
	waiting      bool         // StartsAt has not come yet
	setAt        micros
}

// says reports whether there is anything that the entry says.
func (e *entry) says() bool { return e.Text != "" || e.Availability != Available }

// said is what all sources say about a user, and what is shown of it. It is never
// changed in place. A nil *said means that there are no entries.
type said struct {
	entries []entry // in ascending order of source, the user's own first
	clearAt micros  // when the own entry ends because the user is UNLOGINED; zero means never

	// The fields below follow from the entries that have begun.
	text         string
	expiresAt    micros // that of the entry with the text
	availability Availability
}

// nothing stands for a nil *said.
var nothing = new(said)

// newSaid returns what the entries say, or nil if there are none.
func newSaid(entries []entry, clearAt micros) *said {
	if len(entries) == 0 {
		return nil
	}
	s := &said{entries: entries, clearAt: clearAt}
	for i := range entries {
		if !entries[i].waiting {
			s.availability = max(s.availability, entries[i].Availability)
		}
	}
	if shown := s.shown(); shown != nil {
		s.text, s.expiresAt = shown.Text, shown.ExpiresAt
	}
	return s
}

// shown returns the entry whose text is shown, or nil if there is none.
func (s *said) shown() *entry {
	var shown *entry
	for i := range s.orNothing().entries {
		if e := &s.entries[i]; e.competes() && (shown == nil || e.outranks(shown)) {
			shown = e
		}
	}
	return shown
}

// competes reports whether the entry has begun and has a text.
func (e *entry) competes() bool { return e.Text != "" && !e.waiting }

// outranks reports whether the text of e is shown rather than that of other.
func (e *entry) outranks(other *entry) bool {
	return cmp.Or(cmp.Compare(e.Priority, other.Priority), cmp.Compare(e.setAt, other.setAt)) > 0
}

func (s *said) orNothing() *said {
	if s == nil {
		return nothing
	}
	return s
}

// own returns the user's own entry, or the zero value if there is none.
func (s *said) own() entry { return s.of("") }

// of returns the entry of a source, or the zero value if there is none.
func (s *said) of(source string) entry {
	if i, found := s.orNothing().find(source); found {
		return s.entries[i]
	}
	return entry{Source: source}
}

func (s *said) find(source string) (at int, found bool) {
	return slices.BinarySearchFunc(s.entries, source, func(e entry, source string) int { return strings.Compare(e.Source, source) })
}

// with returns s with e instead of the entry of the same source. An entry that says
// nothing is left out.
func (s *said) with(e entry) *said {
	entries := slices.Clone(s.orNothing().entries)
	at, found := s.orNothing().find(e.Source)
	if found {
		entries = slices.Delete(entries, at, at+1)
	}
	if e.says() {
		entries = slices.Insert(entries, at, e)
	}
	return newSaid(entries, s.orNothing().clearAt)
}

// nextPlace returns the setAt of an entry that is set at now, after all others: operations
// of one batch have the same time.
func (s *said) nextPlace(now micros) micros {
	for _, e := range s.orNothing().entries {
		now = max(now, e.setAt+1)
	}
	return now
}

// named returns the number of entries of named sources.
func (s *said) named() int {
	n := len(s.orNothing().entries)
	if own := s.own(); own.says() {
		n--
	}
	return n
}

// nextAt returns when an entry begins or ends next. Zero means never.
func (s *said) nextAt() (next micros) {
	s = s.orNothing()
	next = s.clearAt
	for i := range s.entries {
		e := &s.entries[i]
		if e.waiting {
			next = earliest(next, e.StartsAt)
		}
		next = earliest(next, e.ExpiresAt)
	}
	return next
}

// settle returns what is said at now: entries that are due begin or end. left is when the
// user became UNLOGINED in public, if that happened just now, and now if it happened
// earlier. Zero means that the user isn't UNLOGINED.
func (s *said) settle(now, left, ttl micros) *said {
	if s == nil {
		return nil
	}
	clearAt := s.clearsAt(now, left, ttl)
	ends := func(e entry) bool {
		return e.ExpiresAt != 0 && e.ExpiresAt <= now || e.Source == "" && clearAt != 0 && clearAt <= now
	}
	begins := func(e entry) bool { return e.waiting && e.StartsAt <= now }
	if clearAt == s.clearAt && !slices.ContainsFunc(s.entries, ends) && !slices.ContainsFunc(s.entries, begins) {
		return s
	}
	entries := slices.DeleteFunc(slices.Clone(s.entries), ends)
	for i := range entries {
		entries[i].waiting = entries[i].waiting && !begins(entries[i])
	}
	if clearAt <= now {
		clearAt = 0
	}
	return newSaid(entries, clearAt)
}

// clearsAt returns when the own entry ends because the user is UNLOGINED. Zero means
// never: it has not begun, it has an expiry, or the user isn't UNLOGINED.
func (s *said) clearsAt(now, left, ttl micros) micros {
	own := s.own()
	begun := !own.waiting || own.StartsAt <= now
	switch {
	case left == 0 || !own.says() || own.ExpiresAt != 0 || !begun:
		return 0
	case s.clearAt != 0:
		return s.clearAt
	case own.waiting && left == now:
		return own.StartsAt + ttl
	}
	return max(left, own.StartsAt) + ttl
}
