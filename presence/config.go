package presence

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Config configures [Open].
type Config struct {
	// Path is the database file. It is required. Open creates the file if it
	// doesn't exist, but not its folder. SQLite keeps two files next to it,
	// with the suffixes -wal and -shm, and a service keeps a third, -lock.
	// Before Open upgrades the database of an earlier release, it writes a
	// backup next to it, with the suffix .before-schema- and the number of the
	// new schema.
	Path string

	// Settings are the settings that Configure can change later.
	// Nil means [DefaultSettings].
	Settings *Settings

	// Logger receives what can't be returned to any caller, such as that the
	// database can't be written since a certain time. Nil discards it.
	Logger *slog.Logger

	// Log makes the service a node: it acts as one service together with all others that
	// have the same log. The database then is a copy of the state up to a place in the
	// log. Nil means that the service is alone. The caller closes the log after the
	// service.
	Log Log

	// Node is the name of the node, for people. It has no effect without a Log.
	Node string

	// Agreement has hashes of what the nodes must have in common, such as the secrets with
	// which credentials are verified. Open fails with a [*DisagreementError] if this node
	// and another have no hash in common. It has no effect without a Log.
	Agreement []string

	machine *machine // set by tests; nil means the real machine
	codec   *codec   // set by tests; nil means that of this release
}

// Settings are the switches, limits and times that [Service.Configure] can change
// while the service runs. Start from [DefaultSettings] and change fields: the zero
// value is not valid. [Settings.Validate] says which values are.
//
// No time may be negative or longer than 100 years.
type Settings struct {
	// UserStatus lets users query and watch other users. While it is false,
	// users receive only their own changes, and Query, Subscribe and
	// Unsubscribe return [ErrSwitchedOff]. The default is true.
	UserStatus bool

	// FriendNotifications makes each user a watcher of everyone in their
	// friend list, without a subscription. It has no effect while UserStatus
	// is false. The default is true.
	FriendNotifications bool

	// Subscriptions is how many subscriptions a user may have, from 1 to
	// 1,000,000. A call of Subscribe removes the earliest ones over the limit.
	// The default is 200.
	Subscriptions int

	// CustomStatusBytes is the maximum length of a custom status in bytes of
	// UTF-8, from 0 to 65,536. Zero means that a custom status can only be
	// cleared. A lower limit doesn't shorten what is set. The default is 256.
	CustomStatusBytes int

	// DevicesPerPlatform is how many devices of one platform a user may be
	// logged in with, from 1 to 1000. A new device over the limit replaces
	// another: a disconnected one if there is one, otherwise the device that
	// logged in first, which is kicked. The default is 10.
	DevicesPerPlatform int

	// Friends is how many friends a user may have, from 0 to 1,000,000. Zero
	// means that no friend can be added. A lower limit removes nobody. The
	// default is 3000.
	Friends int

	// Entries is how many entries of named sources a user may have, from 0 to 100; see
	// [Entry]. Zero means that there is only the user's own. A lower limit removes
	// none. The default is 8.
	Entries int

	// LastSeen adds to the status of a user who isn't ONLINE when the user was last
	// ONLINE. That time is stored even while LastSeen is false. The default is false.
	LastSeen bool

	// ReconnectGrace is how long a device that disconnected still counts as
	// connected. Zero means that every disconnect shows at once. The default
	// is 10 seconds.
	ReconnectGrace time.Duration

	// RestartGrace is how long the devices that were connected, or in their grace
	// period, when an earlier run of the service ended count as connected after the
	// next start. Zero means that a device that was connected then counts as
	// disconnected until it reconnects. The default is 30 seconds.
	RestartGrace time.Duration

	// OfflineRetention is how long a native device that disconnected without
	// logging out keeps its user OFFLINE. The user is UNLOGINED after that.
	// Zero means that the user is UNLOGINED as soon as ReconnectGrace is
	// over. The default is 168 hours.
	OfflineRetention time.Duration

	// CustomStatusTTL is how long a user who is UNLOGINED, or invisible, keeps
	// their own entry, if that has no expiry. Zero means that it ends
	// as soon as the user is UNLOGINED or invisible. The default is 5 minutes.
	CustomStatusTTL time.Duration

	// Keepalive is how long a session may be silent before it sends a
	// KEEPALIVE. It is at least 1 millisecond, and applies to sessions opened
	// later. The default is 15 seconds.
	Keepalive time.Duration

	// BatchWindow is the minimum time between two events with statuses on one
	// session. Changes meanwhile are gathered into the later event. Zero means
	// that each change is sent at once. The default is 50 milliseconds.
	BatchWindow time.Duration
}

// deciding returns the settings that decide the outcome of operations. The others are zero.
func (s Settings) deciding() Settings {
	s.Keepalive, s.BatchWindow = 0, 0
	return s
}

// takeOwn takes from another value the settings that decide no outcome.
func (s *Settings) takeOwn(from Settings) {
	s.Keepalive, s.BatchWindow = from.Keepalive, from.BatchWindow
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
		Entries:             8,
		ReconnectGrace:      10 * time.Second,
		RestartGrace:        30 * time.Second,
		OfflineRetention:    168 * time.Hour,
		CustomStatusTTL:     5 * time.Minute,
		Keepalive:           15 * time.Second,
		BatchWindow:         50 * time.Millisecond,
	}
}

// maxDuration is a hundred years, so that adding it to a time can't overflow.
const maxDuration = 100 * 365 * 24 * time.Hour

const maxCustomStatusBytes = 65536

// Validate returns an error that joins one for each value out of range, or nil.
// Each begins with the name of the field and " = ".
func (s Settings) Validate() error {
	var errs []error
	number := func(field string, n, low, high int) {
		if n < low || n > high {
			errs = append(errs, fmt.Errorf("%s = %d: must be from %d to %d", field, n, low, high))
		}
	}
	duration := func(field string, d, low time.Duration) {
		if d < low || d > maxDuration {
			errs = append(errs, fmt.Errorf("%s = %q: must be from %s to %s", field, d, low, maxDuration))
		}
	}
	number("Subscriptions", s.Subscriptions, 1, 1_000_000)
	number("CustomStatusBytes", s.CustomStatusBytes, 0, maxCustomStatusBytes)
	number("DevicesPerPlatform", s.DevicesPerPlatform, 1, 1000)
	number("Friends", s.Friends, 0, 1_000_000)
	number("Entries", s.Entries, 0, 100)
	duration("ReconnectGrace", s.ReconnectGrace, 0)
	duration("RestartGrace", s.RestartGrace, 0)
	duration("OfflineRetention", s.OfflineRetention, 0)
	duration("CustomStatusTTL", s.CustomStatusTTL, 0)
	duration("Keepalive", s.Keepalive, time.Millisecond)
	duration("BatchWindow", s.BatchWindow, 0)
	return errors.Join(errs...)
}
