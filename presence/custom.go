package presence

import (
	"context"
	"time"
	"unicode/utf8"
)

// maxExpiry is the longest time a custom status may be set for.
const maxExpiry = 365 * 24 * time.Hour

// Set sets the custom status of a user, and returns the user's status then.
// text is any UTF-8 within Settings.CustomStatusBytes; "" clears it. It ends
// after expiresIn, at most 365 days. With an expiresIn of zero it has no end of
// its own, and a user who is UNLOGINED loses it after Settings.CustomStatusTTL.
//
// Setting what is set already changes nothing, unless the expiry differs.
//
// Errors: CodeMalformed for the text or expiresIn, CodeUnknownUser,
// CodeUnavailable.
func (s *Service) Set(ctx context.Context, userID, text string, expiresIn time.Duration) (Status, error) {
	if expiresIn < 0 || expiresIn > maxExpiry {
		return Status{}, malformed("expiresIn must be at most %d seconds", int(maxExpiry.Seconds()))
	}
	if !utf8.ValidString(text) {
		return Status{}, malformed("customStatus must be UTF-8")
	}
	op := &setStatus{userID: userID, text: text, expiresIn: expiresIn}
	err := s.do(ctx, op)
	return op.result, err
}

// SetUntil is Set for a custom status that ends at a time, which is rounded up
// to whole milliseconds. CodeMalformed is also returned unless that time is in
// the future, at most 365 days ahead, by [Service.Now].
func (s *Service) SetUntil(ctx context.Context, userID, text string, until time.Time) (Status, error) {
	if !utf8.ValidString(text) {
		return Status{}, malformed("customStatus must be UTF-8")
	}
	op := &setStatus{userID: userID, text: text, dated: true, until: until.UnixMicro()}
	err := s.do(ctx, op)
	return op.result, err
}

// setStatus sets or clears a custom status.
type setStatus struct {
	userID    string
	text      string
	expiresIn time.Duration // zero means until it is set again
	dated     bool          // it ends at until, instead of after expiresIn
	until     micros
	result    Status
}

// lasts returns how long the status is to last, zero for ever.
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
