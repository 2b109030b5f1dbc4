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
	CodeNoToken      presence.Code = 70002 // the request has no token
	CodeInvalidToken presence.Code = 70003 // the token is not valid
	CodeWrongApp     presence.Code = 70014 // the UserSig is for another SDKAppID
	CodeForbidden    presence.Code = 70403 // the admin key is wrong or missing, or the request comes from another origin
	CodeIDCount      presence.Code = 70206 // a list has too many IDs, or none
	CodeTooOften     presence.Code = 2996  // the user made the call too often
	CodeInternal     presence.Code = 70500 // an error of the server; its log has the details
)

// statuses maps each code to its HTTP status. An error with any other code is
// an internal error.
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

// refusal is an error together with what its code alone doesn't determine about
// the response.
type refusal struct {
	err    *presence.Error
	status int           // the HTTP status; zero means that of the code
	after  time.Duration // sent as Retry-After; zero means that none is sent
}

// Error returns the message.
func (r *refusal) Error() string { return r.err.Error() }

// Unwrap returns the error with the code.
func (r *refusal) Unwrap() error { return r.err }

func fail(code presence.Code, format string, args ...any) *presence.Error {
	return &presence.Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

func malformed(format string, args ...any) *presence.Error {
	return fail(presence.CodeMalformed, format, args...)
}

// unavailableAfter is the Retry-After of a service that is starting, draining or
// overloaded.
const unavailableAfter = time.Second

// refusalOf returns what the client receives for an error. The details of an
// internal error are left out.
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
