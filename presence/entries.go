package presence

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Entry is what one source says about a user: a text, an availability, or both. A user
// has at most one entry of each source.
type Entry struct {
	// Source is the name of the source: 1 to 64 of the characters a-z 0-9 . _ -, such
	// as "calendar". Empty means the user's own entry.
	Source string

	// CustomStatus is any UTF-8 of at most Settings.CustomStatusBytes. With an empty
	// text and no availability, the entry of this source is withdrawn.
	CustomStatus string

	// Availability is that of the user, as this source knows it. The zero value means
	// that the source doesn't know it.
	Availability Availability

	// Priority decides between the texts of several entries; it is from -100 to 100.
	// Nil means 0 for the user's own entry, and 10 for all others.
	Priority *int

	// StartsAt is when the entry begins. Until then it is stored, but not shown. It is
	// at most 365 days ahead. The zero time, like every time that has passed, means
	// now.
	StartsAt time.Time

	// ExpiresIn is how long the entry lasts after it has begun, at most 365 days.
	// ExpiresAt is when it ends, rounded up to whole milliseconds; it must be later than
	// StartsAt and [Service.Now], by at most 365 days. At most one of the two may be
	// set. If neither is, the entry doesn't expire. Only the user's own entry may be so:
	// it then ends once the user has been UNLOGINED for Settings.CustomStatusTTL.
	ExpiresIn time.Duration
	ExpiresAt time.Time
}

// The limits of the fields of an Entry.
const (
	maxExpiry      = 365 * 24 * time.Hour
	maxPriority    = 100
	namedPriority  = 10 // that of an entry of a named source, unless it has another
	maxSourceBytes = 64
)

// Set sets the text of the user's own entry, and returns the resulting status. It is
// SetEntry with an entry that has only a CustomStatus and an ExpiresIn, so it also
// resets the availability and the priority of that entry.
func (s *Service) Set(ctx context.Context, userID, text string, expiresIn time.Duration) (Status, error) {
	return s.SetEntry(ctx, userID, Entry{CustomStatus: text, ExpiresIn: expiresIn})
}

// SetEntry replaces the entry of one source about a user, and returns the resulting
// status as the user and the server side see it. Setting an entry again exactly as it
// is changes nothing and sends no event.
//
// The status shows the text of the entry with the highest priority among those that
// have a text. Of several with the same priority, it shows that of the one set last. It
// shows the strongest availability of all entries. Once an entry ends, the status shows
// what the other entries say.
//
// Errors: CodeMalformed for a field of e, CodeUnknownUser, CodeLimit if the user has
// Settings.Entries entries of other named sources, CodeUnavailable.
func (s *Service) SetEntry(ctx context.Context, userID string, e Entry) (Status, error) {
	op, err := newSetEntry(userID, &e)
	if err != nil {
		return Status{}, err
	}
	err = s.writer.do(ctx, op)
	return op.result, err
}

// entry is an Entry as it is stored. The zero value says nothing.
type entry struct {
	source       string
	text         string
	availability Availability
	priority     int8
	waiting      bool // startsAt has not come yet
	setAt        micros
	startsAt     micros
	expiresAt    micros
}

// says reports whether there is anything that the entry says.
func (e *entry) says() bool { return e.text != "" || e.availability != Available }

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
			s.availability = max(s.availability, entries[i].availability)
		}
	}
	if shown := s.shown(); shown != nil {
		s.text, s.expiresAt = shown.text, shown.expiresAt
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
func (e *entry) competes() bool { return e.text != "" && !e.waiting }

// outranks reports whether the text of e is shown rather than that of other.
func (e *entry) outranks(other *entry) bool {
	return cmp.Or(cmp.Compare(e.priority, other.priority), cmp.Compare(e.setAt, other.setAt)) > 0
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
	return entry{source: source}
}

func (s *said) find(source string) (at int, found bool) {
	return slices.BinarySearchFunc(s.entries, source, func(e entry, source string) int { return strings.Compare(e.source, source) })
}

// with returns s with e instead of the entry of the same source. An entry that says
// nothing is left out.
func (s *said) with(e entry) *said {
	entries := slices.Clone(s.orNothing().entries)
	at, found := s.orNothing().find(e.source)
	if found {
		entries = slices.Delete(entries, at, at+1)
	}
	if e.says() {
		entries = slices.Insert(entries, at, e)
	}
	return newSaid(entries, s.orNothing().clearAt)
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
			next = earliest(next, e.startsAt)
		}
		next = earliest(next, e.expiresAt)
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
		return e.expiresAt != 0 && e.expiresAt <= now || e.source == "" && clearAt != 0 && clearAt <= now
	}
	begins := func(e entry) bool { return e.waiting && e.startsAt <= now }
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
	begun := !own.waiting || own.startsAt <= now
	switch {
	case left == 0 || !own.says() || own.expiresAt != 0 || !begun:
		return 0
	case s.clearAt != 0:
		return s.clearAt
	case own.waiting && left == now:
		return own.startsAt + ttl
	}
	return max(left, own.startsAt) + ttl
}

// setEntry replaces the entry of a source.
type setEntry struct {
	userID    string
	entry     entry         // its expiresAt is zero if expiresIn is set
	expiresIn time.Duration // zero means that expiresAt counts
	result    Status
}

// newSetEntry returns the operation for an entry, or an error for a field that is wrong
// whatever the state and the time are.
func newSetEntry(userID string, e *Entry) (*setEntry, error) {
	op := &setEntry{userID: userID, expiresIn: e.ExpiresIn, entry: entry{
		source: e.Source, text: e.CustomStatus, availability: e.Availability, expiresAt: fromTime(e.ExpiresAt), startsAt: fromTime(e.StartsAt),
	}}
	if e.Source != "" {
		op.entry.priority = namedPriority
	}
	switch {
	case !validSource(e.Source):
		return nil, malformed("source must have 1 to %d of the characters a-z 0-9 . _ -", maxSourceBytes)
	case !utf8.ValidString(e.CustomStatus):
		return nil, malformed("customStatus must be UTF-8")
	case e.Availability < Available || e.Availability > DND:
		return nil, malformed("availability must be one of away, busy, dnd")
	case e.ExpiresIn < 0 || e.ExpiresIn > maxExpiry:
		return nil, malformed("expiresIn must be at most %d seconds", int(maxExpiry.Seconds()))
	case e.ExpiresIn != 0 && !e.ExpiresAt.IsZero():
		return nil, malformed("expiresIn and expiresAt can't be given together")
	case e.Source != "" && op.entry.says() && e.ExpiresIn == 0 && e.ExpiresAt.IsZero():
		return nil, malformed("an entry with a source must have expiresIn or expiresAt")
	case !e.StartsAt.IsZero() && op.entry.startsAt <= 0:
		return nil, malformed("startsAt must be after 1970")
	case !e.ExpiresAt.IsZero() && op.entry.expiresAt <= 0:
		return nil, expiresTooEarlyOrLate()
	}
	if e.Priority != nil {
		if *e.Priority < -maxPriority || *e.Priority > maxPriority {
			return nil, malformed("priority must be from %d to %d", -maxPriority, maxPriority)
		}
		op.entry.priority = int8(*e.Priority)
	}
	return op, nil
}

func validSource(source string) bool {
	const characters = "abcdefghijklmnopqrstuvwxyz0123456789._-"
	return len(source) <= maxSourceBytes && strings.Trim(source, characters) == ""
}

func (op *setEntry) apply(b *batch) error {
	if len(op.entry.text) > b.settings.CustomStatusBytes {
		return malformed("customStatus must have at most %d bytes", b.settings.CustomStatusBytes)
	}
	a := b.account(op.userID)
	if a == nil {
		return unknownUser()
	}
	e, err := op.at(b.now)
	if err != nil {
		return err
	}
	if err := b.checkRoom(a, &e); err != nil {
		return err
	}
	b.change(a, func() { a.say(e, b.now, toMicros(b.settings.CustomStatusTTL)) })
	op.result = a.ownStatus(b.settings.LastSeen)
	return nil
}

func expiresTooEarlyOrLate() *Error {
	return malformed("expiresAt must be in the future, at most 365 days ahead")
}

// at returns the entry as it is stored at now.
func (op *setEntry) at(now micros) (entry, error) {
	e := op.entry
	if e.startsAt > now+toMicros(maxExpiry) {
		return e, malformed("startsAt must be at most 365 days ahead")
	}
	if e.expiresAt != 0 && (e.expiresAt <= now || e.expiresAt > now+toMicros(maxExpiry)) {
		return e, expiresTooEarlyOrLate()
	}
	if op.expiresIn > 0 {
		e.expiresAt = cmp.Or(e.startsAt, now) + toMicros(op.expiresIn)
	}
	e.expiresAt = toMilli(e.expiresAt)
	if e.expiresAt != 0 && e.expiresAt <= max(now, e.startsAt) {
		return e, malformed("the entry must end after it begins, and in the future")
	}
	e.waiting = e.startsAt > now
	return e, nil
}

// checkRoom returns an error if e is one more entry than a user may have.
func (b *batch) checkRoom(a *account, e *entry) error {
	if before := a.said.of(e.source); e.source == "" || !e.says() || before.says() {
		return nil
	}
	if now := a.said.settle(b.now, 0, 0); now.named() >= b.settings.Entries {
		return &Error{Code: CodeLimit, Message: "the user has the most entries of named sources that one may have"}
	}
	return nil
}

// say replaces the entry of a source. An entry that equals the present one keeps its
// place among the others.
func (a *account) say(e entry, now, ttl micros) {
	before := a.said.of(e.source)
	before.waiting = e.waiting
	e.setAt = before.setAt
	if e.says() && e != before {
		e.setAt = now
		for _, other := range a.said.orNothing().entries { // operations of one batch have the same time
			e.setAt = max(e.setAt, other.setAt+1)
		}
	}
	if e.says() && e == before {
		e = a.said.of(e.source)
	}
	a.said = a.said.with(e)
	if e.source == "" && e.says() {
		a.said = newSaid(a.said.entries, now+ttl)
	}
}

// toMilli rounds a time up to whole milliseconds, in which it is displayed.
func toMilli(t micros) micros {
	const milli = 1000
	return (t + milli - 1) / milli * milli
}
