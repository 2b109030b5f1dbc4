package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/presence-server/presence/presence"
)

// The codes that this package adds to those of package presence.
const (
	CodeExpired      presence.Code = 70001 // the token has expired
	CodeNoToken      presence.Code = 70002 // there is no token
	CodeInvalidToken presence.Code = 70003 // the token is not valid
	CodeWrongApp     presence.Code = 70014 // a UserSig of another SDKAppID
	CodeForbidden    presence.Code = 70403 // the admin key is wrong or missing
	CodeIDCount      presence.Code = 70206 // too many or no IDs
	CodeTooOften     presence.Code = 2996  // too many calls
	CodeInternal     presence.Code = 70500 // a fault of the service
)

// statuses gives each code its HTTP status. A code that isn't here is a fault
// of ours.
var statuses = map[presence.Code]int{
	presence.CodeMalformed:   http.StatusBadRequest,
	CodeIDCount:              http.StatusBadRequest,
	CodeNoToken:              http.StatusUnauthorized,
	CodeInvalidToken:         http.StatusUnauthorized,
	CodeExpired:              http.StatusUnauthorized,
	CodeWrongApp:             http.StatusUnauthorized,
	presence.CodeRevoked:     http.StatusUnauthorized,
	CodeForbidden:            http.StatusForbidden,
	presence.CodeSwitchedOff: http.StatusForbidden,
	presence.CodeLimit:       http.StatusForbidden,
	presence.CodeUnknownUser: http.StatusNotFound,
	CodeTooOften:             http.StatusTooManyRequests,
	CodeInternal:             http.StatusInternalServerError,
	presence.CodeUnavailable: http.StatusServiceUnavailable,
}

// refusal is an error whose HTTP status its code doesn't tell, or after which
// it makes sense to come back.
type refusal struct {
	err    *presence.Error
	status int           // 0: as the code tells
	after  time.Duration // 0: not told
}

// Error returns the message.
func (r *refusal) Error() string { return r.err.Error() }

// Unwrap lets the error be found under its code.
func (r *refusal) Unwrap() error { return r.err }

func fail(code presence.Code, format string, args ...any) *presence.Error {
	return &presence.Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

func malformed(format string, args ...any) *presence.Error {
	return fail(presence.CodeMalformed, format, args...)
}

// unavailableAfter is how long clients are told to wait for a service that is
// starting, draining or overloaded.
const unavailableAfter = time.Second

// refusalOf returns what to tell the client of an error.
func refusalOf(err error) *refusal {
	if r, ok := errors.AsType[*refusal](err); ok {
		if r.status == 0 {
			r.status = statuses[r.err.Code]
		}
		return r
	}
	e, ok := errors.AsType[*presence.Error](err)
	if !ok || statuses[e.Code] == 0 {
		return &refusal{err: fail(CodeInternal, "internal error"), status: http.StatusInternalServerError}
	}
	r := &refusal{err: e, status: statuses[e.Code]}
	if e.Code == presence.CodeUnavailable {
		r.after = unavailableAfter
	}
	return r
}
