package presence

import (
	"context"
	"time"
	"unicode/utf8"
)

// maxExpiry is the longest time for which a custom status may be set.
const maxExpiry = 365 * 24 * time.Hour

// Set sets the custom status of a user, and returns the resulting status. text is
// any UTF-8 of at most Settings.CustomStatusBytes; an empty text clears the custom
// status. It expires after expiresIn, which is at most 365 days. Zero means that it
// has no expiry of its own: it is cleared once the user has been UNLOGINED for
// Settings.CustomStatusTTL.
//
// Setting the same text and expiry again changes nothing and sends no event.
//
// Errors: CodeMalformed for text or expiresIn, CodeUnknownUser, CodeUnavailable.
func (s *Service) Set(ctx context.Context, userID, text string, expiresIn time.Duration) (Status, error) {
	if expiresIn < 0 || expiresIn > maxExpiry {
		return Status{}, malformed("expiresIn must be at most %d seconds", int(maxExpiry.Seconds()))
	}
	if !utf8.ValidString(text) {
		return Status{}, malformed("customStatus must be UTF-8")
	}
	op := &setStatus{userID: userID, text: text, expiresIn: expiresIn}
	err := s.writer.do(ctx, op)
	return op.result, err
}

// SetUntil is like Set, but the custom status expires at until, rounded up to whole
// milliseconds. It returns CodeMalformed unless until is later than [Service.Now],
// by at most 365 days.
func (s *Service) SetUntil(ctx context.Context, userID, text string, until time.Time) (Status, error) {
	if !utf8.ValidString(text) {
		return Status{}, malformed("customStatus must be UTF-8")
	}
	op := &setStatus{userID: userID, text: text, dated: true, until: until.UnixMicro()}
	err := s.writer.do(ctx, op)
	return op.result, err
}

// setStatus sets or clears a custom status.
type setStatus struct {
	userID    string
	text      string
	expiresIn time.Duration // zero means that it has no expiry
	dated     bool          // it expires at until, instead of after expiresIn
	until     micros
	result    Status
}

// lasts returns how long after now the status expires. Zero means never.
func (op *setStatus) lasts(now micros) (time.Duration, error) {
	if !op.dated {
		return op.expiresIn, nil
	}
	if op.until <= now || op.until > now+toMicros(maxExpiry) {
		return 0, malformed("expiresAt must be in the future, at most 365 days ahead")
	}
	return time.Duration(op.until-now) * time.Microsecond, nil
}

func (op *setStatus) apply(b *batch) error {
	if len(op.text) > b.settings.CustomStatusBytes {
		return malformed("customStatus must have at most %d bytes", b.settings.CustomStatusBytes)
	}
	a := b.account(op.userID)
	if a == nil {
		return unknownUser()
	}
	lasts, err := op.lasts(b.now)
	if err != nil {
		return err
	}
	b.change(a, func() {
		a.customStatus, a.expiresAt, a.clearAt = op.text, 0, b.now+toMicros(b.settings.CustomStatusTTL)
		if op.text != "" && lasts > 0 {
			a.expiresAt = b.expiry(lasts)
		}
	})
	op.result = a.status()
	return nil
}
