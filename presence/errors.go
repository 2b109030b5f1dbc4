package presence

import (
	"errors"
	"fmt"
)

// Code is the stable number of a kind of error, and part of the public protocol.
// Most are the numbers of the system whose API the product implements.
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
	CodeRevoked     Code = 70052 // credentials issued before the user was kicked or deleted
	CodeSwitchedOff Code = 72001 // the user status switch is off
	CodeLimit       Code = 70398 // a limit of stored things is reached
	CodeUnavailable Code = 60022 // the database can't be written, or the service is overloaded or closing
)

// Error is an error that is the caller's to act on: what was wrong with the
// call, or why it can't be carried out now. Errors of any other type are
// faults of the service itself.
type Error struct {
	Code    Code
	Message string
	Cause   error // what is behind it, for logs; may be nil
}

// Error returns the message and the cause.
func (e *Error) Error() string {
	if e.Cause == nil {
		return e.Message
	}
	return e.Message + ": " + e.Cause.Error()
}

// Unwrap returns the cause, or nil.
func (e *Error) Unwrap() error { return e.Cause }

// Is reports whether target is the error's Code. Other errors are matched by
// identity, as [errors.Is] does by itself.
func (e *Error) Is(target error) bool {
	code, ok := target.(Code)
	return ok && code == e.Code
}

// ErrorCode returns the code of the first [*Error] in err's chain, or 0.
func ErrorCode(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return 0
}

// The errors below are distinct: errors.Is(err, ErrClosed) is true for this error
// alone. To match a kind of error, use its [Code].
var (
	// ErrKicked is matched by what Connect returns to a device that was kicked
	// less than a minute ago and only reconnects: a [*KickedError].
	ErrKicked = errors.New("presence: the device was kicked")

	// ErrClosed is returned by Next once the service drains, and by every
	// call after Close.
	ErrClosed = &Error{Code: CodeUnavailable, Message: "the service is shutting down"}

	// ErrSwitchedOff is returned by Query, Subscribe and Unsubscribe while the
	// user status switch is off.
	ErrSwitchedOff = &Error{Code: CodeSwitchedOff, Message: "user status is switched off"}

	// ErrOverloaded is returned by a write when too many wait already, or the
	// disk takes too long.
	ErrOverloaded = &Error{Code: CodeUnavailable, Message: "the service is overloaded"}
)

// Failure tells why one user ID of a list failed, while others did not.
type Failure struct {
	UserID  string `json:"userID"`
	Code    Code   `json:"code"`
	Message string `json:"message"`
}

func failure(userID string, err *Error) Failure {
	return Failure{UserID: userID, Code: err.Code, Message: err.Message}
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
