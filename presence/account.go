package presence

import (
	"slices"
	"time"
)

// micros is a moment in microseconds since 1970, UTC, or a span of that many.
// As a moment, 0 is never.
type micros = int64

func toMicros(d time.Duration) micros { return d.Microseconds() }

// moment returns the zero time for never.
func toTime(t micros) time.Time {
	if t == 0 {
		return time.Time{}
	}
	return time.UnixMicro(t).UTC()
}

// account is the durable part of a user. It is a value: the writer works on
// copies, which replace the originals once they are committed.
type account struct {
	id           uint32 // users.id; never used twice
	statusType   StatusType
	userID       string
	customStatus string
	expiresAt    micros
	clearAt      micros
	version      int64
	revokedAt    micros
	devices      []device // in order of login; never changed in place
}

// device is one that is logged in: connected, or dropped and not yet forgotten.
type device struct {
	id          string
	platform    Platform
	loginAt     micros
	run         int64 // which run of the process holds its stream; 0: dropped
	stream      int64 // which of that run's streams
	since       micros
	graceUntil  micros
	retainUntil micros
}

func (a *account) status() Status {
	return Status{
		UserID:       a.userID,
		StatusType:   a.statusType,
		CustomStatus: a.customStatus,
		Version:      a.version,
		ExpiresAt:    toTime(a.expiresAt),
	}
}

// looksLike reports whether nobody could see a difference between a and b.
func (a *account) looksLike(b *account) bool {
	return a.statusType == b.statusType && a.customStatus == b.customStatus && a.expiresAt == b.expiresAt
}

// deviceState is what one device contributes to its user's status.
type deviceState int8

const (
	gone      deviceState = iota // nothing any more: to be forgotten
	retained                     // OFFLINE
	inGrace                      // ONLINE, until the grace is over
	connected                    // ONLINE
)

func (d *device) stateAt(now micros) deviceState {
	switch {
	case d.run != 0:
		return connected
	case now < d.graceUntil:
		return inGrace
	case d.platform.Native() && now < d.retainUntil:
		return retained
	}
	return gone
}

// nextAt returns when the state at now will change by itself, or 0.
func (d *device) nextAt(now micros) micros {
	switch d.stateAt(now) {
	case inGrace:
		return d.graceUntil
	case retained:
		return d.retainUntil
	}
	return 0
}

// goneAt returns since when a device that is gone has been so.
func (d *device) goneAt() micros {
	if d.platform.Native() {
		return max(d.graceUntil, d.retainUntil)
	}
	return d.graceUntil
}

// statusTypeAt is the normal status: a function of the devices and the time.
func statusTypeAt(devices []device, now micros) StatusType {
	best := gone
	for i := range devices {
		best = max(best, devices[i].stateAt(now))
	}
	switch best {
	case gone:
		return Unlogined
	case retained:
		return Offline
	}
	return Online
}

// settle applies to a all that has fallen due by now, and returns the devices
// that it forgot. Doing it twice changes nothing more.
func (a *account) settle(now, ttl micros) (forgotten []device) {
	was, left := a.statusType, now
	a.statusType = statusTypeAt(a.devices, now)
	a.devices, forgotten = forget(a.devices, now)
	if was != Unlogined && len(forgotten) > 0 {
		left = 0
		for i := range forgotten {
			left = max(left, forgotten[i].goneAt())
		}
	}
	if a.expiresAt != 0 && a.expiresAt <= now {
		a.customStatus, a.expiresAt = "", 0
	}
	a.settleClearing(now, left+ttl)
	return forgotten
}

// settleClearing keeps clearAt set exactly while the user is UNLOGINED with a
// custom status that has no expiry of its own, and clears the status when it is
// due.
func (a *account) settleClearing(now, clearAt micros) {
	if a.customStatus == "" || a.expiresAt != 0 || a.statusType != Unlogined {
		a.clearAt = 0
		return
	}
	if a.clearAt == 0 {
		a.clearAt = clearAt
	}
	if a.clearAt <= now {
		a.customStatus, a.clearAt = "", 0
	}
}

func forget(devices []device, now micros) (kept, forgotten []device) {
	isGone := func(d device) bool { return d.stateAt(now) == gone }
	if !slices.ContainsFunc(devices, isGone) {
		return devices, nil
	}
	for _, d := range devices {
		if isGone(d) {
			forgotten = append(forgotten, d)
		} else {
			kept = append(kept, d)
		}
	}
	return kept, forgotten
}

// dueAt returns the earliest deadline after now, or 0 for none.
func (a *account) dueAt(now micros) micros {
	due := earliest(a.expiresAt, a.clearAt)
	for i := range a.devices {
		due = earliest(due, a.devices[i].nextAt(now))
	}
	return due
}

// earliest returns the smaller of two moments, either of which may be never.
func earliest(a, b micros) micros {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

func (a *account) device(id string) *device {
	for i := range a.devices {
		if a.devices[i].id == id {
			return &a.devices[i]
		}
	}
	return nil
}
