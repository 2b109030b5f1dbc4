package presence

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Config says how to open a [Service].
type Config struct {
	// Path is the database file. It is made if it doesn't exist; its folder
	// is not. Beside it lie SQLite's own -wal and -shm files, a -lock, and
	// what Open keeps before it changes the schema of an earlier release: a
	// backup that ends in .before-schema- and the number of the new one.
	Path string

	// Settings is what may be changed later with Configure.
	// Nil means [DefaultSettings].
	Settings *Settings

	// Logger gets what no caller could be told. Nil discards it.
	Logger *slog.Logger

	machine *machine // of tests; nil: the real one
}

// Settings are the switches, limits and times that may change while the
// service runs. Start from [DefaultSettings]: in a zero value every switch is
// off and every limit 0.
type Settings struct {
	UserStatus          bool // users may query and watch others
	FriendNotifications bool // friends are told about each other without subscribing

	Subscriptions      int // kept per user; the earliest give way. At least 1
	CustomStatusBytes  int // 0 to 65536; 0 allows none
	DevicesPerPlatform int // logged in per user; the longest gives way. At least 1
	Friends            int // per user. 0 allows none

	ReconnectGrace   time.Duration // how long a dropped device still counts as connected
	RestartGrace     time.Duration // the same for all who were ONLINE before a start
	OfflineRetention time.Duration // how long a dropped native device makes its user OFFLINE
	CustomStatusTTL  time.Duration // how long an UNLOGINED user keeps a custom status without an expiry of its own
	Keepalive        time.Duration // of silence, before a new session says KEEPALIVE. At least 1ms
	BatchWindow      time.Duration // after an event, in which changes are gathered; 0 gathers nothing
}

// DefaultSettings returns the settings of the shipped presence.toml.
func DefaultSettings() Settings {
	return Settings{
		UserStatus:          true,
		FriendNotifications: true,
		Subscriptions:       200,
		CustomStatusBytes:   256,
		DevicesPerPlatform:  10,
		Friends:             3000,
		ReconnectGrace:      10 * time.Second,
		RestartGrace:        30 * time.Second,
		OfflineRetention:    168 * time.Hour,
		CustomStatusTTL:     5 * time.Minute,
		Keepalive:           15 * time.Second,
		BatchWindow:         50 * time.Millisecond,
	}
}

// maxDuration keeps a deadline far below the end of time: a hundred years.
const maxDuration = 100 * 365 * 24 * time.Hour

const maxCustomStatusBytes = 65536

// Validate returns every impossible value joined into one error, or nil.
// Each is named as in presence.toml.
func (s Settings) Validate() error {
	var faults []error
	number := func(key string, n, low, high int) {
		if n < low || n > high {
			faults = append(faults, fmt.Errorf("%s = %d: must be from %d to %d", key, n, low, high))
		}
	}
	duration := func(key string, d, low time.Duration) {
		if d < low || d > maxDuration {
			faults = append(faults, fmt.Errorf("%s = %q: must be from %s to %s", key, d, low, maxDuration))
		}
	}
	number("limits.subscriptions", s.Subscriptions, 1, 1_000_000)
	number("limits.custom_status_bytes", s.CustomStatusBytes, 0, maxCustomStatusBytes)
	number("limits.devices_per_platform", s.DevicesPerPlatform, 1, 1000)
	number("limits.friends", s.Friends, 0, 1_000_000)
	duration("timing.reconnect_grace", s.ReconnectGrace, 0)
	duration("timing.restart_grace", s.RestartGrace, 0)
	duration("timing.offline_retention", s.OfflineRetention, 0)
	duration("timing.custom_status_ttl", s.CustomStatusTTL, 0)
	duration("timing.keepalive", s.Keepalive, time.Millisecond)
	duration("timing.batch_window", s.BatchWindow, 0)
	return errors.Join(faults...)
}
