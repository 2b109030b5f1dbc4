package presence

import (
	"cmp"
	"context"
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

// setEntry replaces the entry of a source.
type setEntry struct {
	UserID    string        `cbor:"1,keyasint,omitempty"`
	Entry     entry         `cbor:"2,keyasint,omitempty"` // its ExpiresAt is zero if ExpiresIn is set
	ExpiresIn time.Duration `cbor:"3,keyasint,omitempty"` // zero means that Entry.ExpiresAt counts
	result    Status
}

// newSetEntry returns the operation for an entry, or an error for a field that is wrong
// whatever the state and the time are.
func newSetEntry(userID string, e *Entry) (*setEntry, error) {
	op := &setEntry{UserID: userID, ExpiresIn: e.ExpiresIn, Entry: entry{
		Source: e.Source, Text: e.CustomStatus, Availability: e.Availability, ExpiresAt: fromTime(e.ExpiresAt), StartsAt: fromTime(e.StartsAt),
	}}
	if e.Source != "" {
		op.Entry.Priority = namedPriority
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
	case e.Source != "" && op.Entry.says() && e.ExpiresIn == 0 && e.ExpiresAt.IsZero():
		return nil, malformed("an entry with a source must have expiresIn or expiresAt")
	case !e.StartsAt.IsZero() && op.Entry.StartsAt <= 0:
		return nil, malformed("startsAt must be after 1970")
	case !e.ExpiresAt.IsZero() && op.Entry.ExpiresAt <= 0:
		return nil, expiresTooEarlyOrLate()
	}
	if e.Priority != nil {
		if *e.Priority < -maxPriority || *e.Priority > maxPriority {
			return nil, malformed("priority must be from %d to %d", -maxPriority, maxPriority)
		}
		op.Entry.Priority = int8(*e.Priority)
	}
	return op, nil
}

func validSource(source string) bool {
	const characters = "abcdefghijklmnopqrstuvwxyz0123456789._-"
	return len(source) <= maxSourceBytes && strings.Trim(source, characters) == ""
}

func (op *setEntry) apply(b *batch) error {
	if len(op.Entry.Text) > b.settings.CustomStatusBytes {
		return malformed("customStatus must have at most %d bytes", b.settings.CustomStatusBytes)
	}
	a := b.peek(op.UserID)
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
	a = b.change(a, func(a *account) { a.say(e, b.now, toMicros(b.settings.CustomStatusTTL)) })
	op.result = a.ownStatus(b.settings.LastSeen)
	return nil
}

func expiresTooEarlyOrLate() *Error {
	return malformed("expiresAt must be in the future, at most 365 days ahead")
}

// at returns the entry as it is stored at now.
func (op *setEntry) at(now micros) (entry, error) {
	e := op.Entry
	if e.StartsAt > now+toMicros(maxExpiry) {
		return e, malformed("startsAt must be at most 365 days ahead")
	}
	if e.ExpiresAt != 0 && (e.ExpiresAt <= now || e.ExpiresAt > now+toMicros(maxExpiry)) {
		return e, expiresTooEarlyOrLate()
	}
	if op.ExpiresIn > 0 {
		e.ExpiresAt = cmp.Or(e.StartsAt, now) + toMicros(op.ExpiresIn)
	}
	e.ExpiresAt = toMilli(e.ExpiresAt)
	if e.ExpiresAt != 0 && e.ExpiresAt <= max(now, e.StartsAt) {
		return e, malformed("the entry must end after it begins, and in the future")
	}
	e.waiting = e.StartsAt > now
	return e, nil
}

// checkRoom returns an error if e is one more entry than a user may have.
func (b *batch) checkRoom(a *account, e *entry) error {
	if before := a.said.of(e.Source); e.Source == "" || !e.says() || before.says() {
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
	before := a.said.of(e.Source)
	same := e
	same.waiting, same.setAt = before.waiting, before.setAt
	if !e.says() || same != before {
		e.setAt = a.said.nextPlace(now)
		a.said = a.said.with(e)
	}
	if e.Source == "" && e.says() {
		a.said = newSaid(a.said.entries, now+ttl)
	}
}

// toMilli rounds a time up to whole milliseconds, in which it is displayed.
func toMilli(t micros) micros {
	const milli = 1000
	return (t + milli - 1) / milli * milli
}
