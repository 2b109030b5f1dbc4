package httpapi

import (
	"errors"
	"fmt"
	"time"
)

// Limits are what may be changed later with [Handler.SetLimits].
type Limits struct {
	QueryUsers     int           // IDs in one getUserStatus
	SubscribeUsers int           // IDs in one subscribeUserStatus or unsubscribeUserStatus
	CallsPerWindow int           // of a user and command
	Window         time.Duration // from the first of these calls
	Streams        int           // all together; 0: what the limit of file descriptors allows
	WriteTimeout   time.Duration // for a stream's client to read one event
	Drain          time.Duration // over which clients come back after a stop
}

// DefaultLimits returns the limits of the shipped presence.toml.
func DefaultLimits() Limits {
	return Limits{
		QueryUsers:     500,
		SubscribeUsers: 100,
		CallsPerWindow: 20,
		Window:         5 * time.Second,
		WriteTimeout:   10 * time.Second,
		Drain:          5 * time.Second,
	}
}

// Validate returns every impossible value joined into one error, or nil. Each
// is named as in presence.toml.
func (l Limits) Validate() error {
	var faults []error
	must := func(ok bool, key string, value any, reason string) {
		if !ok {
			faults = append(faults, fmt.Errorf("%s = %v: %s", key, value, reason))
		}
	}
	must(l.QueryUsers >= 1, "limits.query_users", l.QueryUsers, "must be at least 1")
	must(l.SubscribeUsers >= 1, "limits.subscribe_users", l.SubscribeUsers, "must be at least 1")
	must(l.CallsPerWindow >= 1, "limits.calls_per_window", l.CallsPerWindow, "must be at least 1")
	must(l.Window > 0, "limits.window", l.Window, "must be more than 0s")
	must(l.Streams >= 0, "limits.streams", l.Streams, "must not be negative")
	must(l.WriteTimeout > 0, "timing.write_timeout", l.WriteTimeout, "must be more than 0s")
	must(l.Drain >= 0, "timing.drain", l.Drain, "must not be negative")
	return errors.Join(faults...)
}
