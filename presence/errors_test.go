package presence

import (
	"errors"
	"fmt"
	"testing"
)

// TestSentinelsAreDistinct checks this because a program that quits on ErrClosed must
// not quit because a disk is full.
func TestSentinelsAreDistinct(t *testing.T) {
	sentinels := map[string]error{
		"ErrKicked": ErrKicked, "ErrClosed": ErrClosed, "ErrSwitchedOff": ErrSwitchedOff, "ErrOverloaded": ErrOverloaded,
		"a full disk": unwritable(errors.New("disk full")), "an unreadable file": unreadable(errors.New("I/O error")),
	}
	for one, err := range sentinels {
		for other, target := range sentinels {
			if got := errors.Is(err, target); got != (one == other) {
				t.Errorf("errors.Is(%s, %s) is %v", one, other, got)
			}
		}
	}
	codes := []Code{CodeMalformed, CodeUnknownUser, CodeRevoked, CodeSwitchedOff, CodeLimit, CodeUnavailable}
	for _, err := range []error{ErrClosed, ErrSwitchedOff, ErrOverloaded, sentinels["a full disk"], fmt.Errorf("wrapped: %w", ErrClosed)} {
		for _, code := range codes {
			if got := errors.Is(err, code); got != (code == ErrorCode(err)) {
				t.Errorf("errors.Is(%v, %v) is %v", err, code, got)
			}
		}
	}
}
