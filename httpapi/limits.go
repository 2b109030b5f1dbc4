package httpapi

import (
	"errors"
	"fmt"
	"time"

	"github.com/presence-server/presence/presence"
)

// Limits bound calls and event streams. They can be changed while the Handler
// runs; see [Handler.SetLimits].
type Limits struct {
	// QueryUsers is the maximum number of distinct IDs in one call of
	// getUserStatus. A call with more is rejected with CodeIDCount. It must be
	// at least 1. The default is 500.
	QueryUsers int

	// SubscribeUsers is the maximum number of distinct IDs in one call of
	// subscribeUserStatus or unsubscribeUserStatus. A call with more is rejected
	// with CodeIDCount. It must be at least 1. The default is 100.
	SubscribeUsers int

	// CallsPerWindow is how often a user may make the same call within Window.
	// It applies to getUserStatus, subscribeUserStatus and
	// unsubscribeUserStatus. Further calls are rejected with CodeTooOften. It
	// must be at least 1. The default is 20.
	CallsPerWindow int

	// Window is the duration of a rate limit window, which starts with the first
	// call. It must be more than zero. The default is 5 seconds.
	Window time.Duration

	// Failures is how many wrong admin keys and tokens an address may send in a
	// minute, which starts with the first one; an IPv6 address counts by its first
	// 64 bits. Further wrong ones are rejected with CodeTooOften. Right ones never
	// are, and those that have expired or were revoked don't count. It must be at
	// least 1. The default is 30. See Config.TrustedProxies.
	Failures int

	// Streams is the maximum number of open event streams. Further streams are
	// rejected with presence.CodeUnavailable. Zero, the default, means about
	// nine tenths of the file descriptors that the process may open; if that number
	// isn't known, zero means no limit.
	Streams int

	// WriteTimeout is how long the client of an event stream may accept nothing
	// of an event before its connection is closed; see [sse.Timing]. It must be
	// more than zero. The default is 10 seconds.
	WriteTimeout time.Duration

	// Drain is the period within which the clients of event streams reconnect
	// after the service has drained, each at a random moment. Zero means that
	// they reconnect immediately. The default is 5 seconds.
	Drain time.Duration
}

// DefaultLimits returns the limits of the shipped presence.toml.
func DefaultLimits() Limits {
	return Limits{
		QueryUsers:     500,
		SubscribeUsers: 100,
		CallsPerWindow: 20,
		Window:         5 * time.Second,
		Failures:       30,
		WriteTimeout:   10 * time.Second,
		Drain:          5 * time.Second,
	}
}

// Validate returns one error that joins the errors of all invalid fields, or nil
// if all are valid. Each begins with the name of the field
// and " = ".
func (l Limits) Validate() error {
	var errs []error
	must := func(ok bool, field string, value any, reason string) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s = %v: %s", field, value, reason))
		}
	}
	must(l.QueryUsers >= 1, "QueryUsers", l.QueryUsers, "must be at least 1")
	must(l.SubscribeUsers >= 1, "SubscribeUsers", l.SubscribeUsers, "must be at least 1")
	must(l.CallsPerWindow >= 1, "CallsPerWindow", l.CallsPerWindow, "must be at least 1")
	must(l.Window > 0, "Window", l.Window, "must be more than 0s")
	must(l.Failures >= 1, "Failures", l.Failures, "must be at least 1")
	must(l.Streams >= 0, "Streams", l.Streams, "must not be negative")
	must(l.WriteTimeout > 0, "WriteTimeout", l.WriteTimeout, "must be more than 0s")
	must(l.Drain >= 0, "Drain", l.Drain, "must not be negative")
	return errors.Join(errs...)
}

// tables returns settings and limits as in presence.toml: in tables, and under its keys.
func tables(s presence.Settings, l Limits) map[string]any {
	return map[string]any{
		"features": map[string]any{
			"user_status":          s.UserStatus,
			"friend_notifications": s.FriendNotifications,
			"last_seen":            s.LastSeen,
		},
		"limits": map[string]any{
			"query_users":          l.QueryUsers,
			"subscribe_users":      l.SubscribeUsers,
			"subscriptions":        s.Subscriptions,
			"calls_per_window":     l.CallsPerWindow,
			"window":               l.Window.String(),
			"custom_status_bytes":  s.CustomStatusBytes,
			"devices_per_platform": s.DevicesPerPlatform,
			"friends":              s.Friends,
			"entries":              s.Entries,
			"failures":             l.Failures,
			"streams":              l.Streams,
		},
		"timing": map[string]any{
			"reconnect_grace":   s.ReconnectGrace.String(),
			"restart_grace":     s.RestartGrace.String(),
			"offline_retention": s.OfflineRetention.String(),
			"custom_status_ttl": s.CustomStatusTTL.String(),
			"keepalive":         s.Keepalive.String(),
			"batch_window":      s.BatchWindow.String(),
			"write_timeout":     l.WriteTimeout.String(),
			"drain":             l.Drain.String(),
		},
	}
}
