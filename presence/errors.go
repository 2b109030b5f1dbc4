package presence

import (
	"errors"
	"fmt"
)

// Code is the stable number of a kind of error, and part of the public protocol.
// Most numbers are those of the chat product whose API the server implements.
//
// A Code is itself an error that [errors.Is] matches: it finds every [*Error] of
// that kind. For example errors.Is(err, CodeUnavailable) is true for [ErrClosed],
// [ErrOverloaded] and a full disk.
type Code int

// Error returns the number in words. What went wrong is in the [*Error].
func (c Code) Error() string { return fmt.Sprintf("presence: code %d", int(c)) }

// The codes that this package returns.
const (
	CodeMalformed   Code = 70402 // a malformed ID, platform or value
	CodeUnknownUser Code = 70107 // no such user
	CodeRevoked     Code = 70052 // credentials issued before the user was kicked, renamed or deleted
	CodeSwitchedOff Code = 72001 // the user status switch is off
	CodeLimit       Code = 70398 // the maximum number of users, friends or entries is reached
	CodeUnavailable Code = 60022 // the database can't be written, or the service is overloaded or closing
)

// Error is an error that the caller can act on: it says what is wrong with the
// call, or why the service can't carry it out now. An error of any other type is
// a failure of the service itself, or the error of the context.
type Error struct {
	Code    Code
	Message string
	Cause   error // the error that led to this one, for logs; nil means that there is none
}

// Error returns the message, followed by the cause if there is one.
func (e *Error) Error() string {
	if e.Cause == nil {
		return e.Message
	}
	return e.Message + ": " + e.Cause.Error()
}

// Unwrap returns the cause, or nil.
func (e *Error) Unwrap() error { return e.Cause }

// Is reports whether target is the error's Code. [errors.Is] itself matches an
// Error with the identical *Error.
func (e *Error) Is(target error) bool {
	code, ok := target.(Code)
	return ok && code == e.Code
}

// ErrorCode returns the code of the first [*Error] in err's tree, or zero if there
// is none.
func ErrorCode(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return 0
}

// The errors below are distinct: errors.Is(err, ErrClosed) is true for this error
// alone. To match a kind of error, use its [Code].
var (
	// ErrKicked matches the [*KickedError] that Connect returns to a device that
	// was kicked or logged out less than a minute ago, and connects with
	// Device.Resume.
	ErrKicked = errors.New("presence: the device was kicked")

	// ErrClosed is returned by Connect, Follow, Next, Poll and Ready after Drain,
	// and after Close also by every call that changes something.
	ErrClosed = &Error{Code: CodeUnavailable, Message: "the service is shutting down"}

	// ErrSwitchedOff is returned by Query, Subscribe and Unsubscribe while the
	// user status switch is off.
	ErrSwitchedOff = &Error{Code: CodeSwitchedOff, Message: "user status is switched off"}

	// ErrOverloaded is returned by a call that would change something, if too many
	// such calls wait already, or if it would probably have to wait for the disk
	// for more than 5 seconds. The call has changed nothing, except for the first
	// steps of a long list, and may be repeated.
	ErrOverloaded = &Error{Code: CodeUnavailable, Message: "the service is overloaded"}
)

// Failure is one user ID of a list that could not be processed, and the reason.
// The other IDs of the list are not affected.
type Failure struct {
	UserID  string `json:"userID"`
	Code    Code   `json:"code"`
	Message string `json:"message"`
}

func failure(userID string, err *Error) Failure {
	return Failure{UserID: userID, Code: err.Code, Message: err.Message}
}

// PairFailure is one pair of a list that could not be processed, and the reason. The
// other pairs of the list are not affected.
type PairFailure struct {
	UserID   string `json:"userID"`
	FriendID string `json:"friendID"`
	Code     Code   `json:"code"`
	Message  string `json:"message"`
}

func malformed(format string, args ...any) *Error {
	return &Error{Code: CodeMalformed, Message: fmt.Sprintf(format, args...)}
}

func unreadable(err error) *Error {
	return &Error{Code: CodeUnavailable, Message: "the database can't be read", Cause: err}
}

func unwritable(err error) *Error {
	return &Error{Code: CodeUnavailable, Message: "the database can't be written", Cause: err}
}

func unknownUser() *Error { return &Error{Code: CodeUnknownUser, Message: "no such user"} }
