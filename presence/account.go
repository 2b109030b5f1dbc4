package presence

import (
	"slices"
	"time"
)

// micros is a time, in microseconds since 1970 in UTC, or a duration in microseconds.
// As a time, zero means never.
type micros = int64

func toMicros(d time.Duration) micros { return d.Microseconds() }

// toTime returns t as a time.Time. Never becomes the zero time.
func toTime(t micros) time.Time {
	if t == 0 {
		return time.Time{}
	}
	return time.UnixMicro(t).UTC()
}

// account is the stored part of a user. An account is never changed in place: the
// writer changes copies, which replace the originals after the commit.
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

// device is a device that is logged in: it is connected, or disconnected and not
// forgotten yet.
type device struct {
	id          string
	platform    Platform
	loginAt     micros
	run         int64  // the run of the service that has its stream; zero means that it is disconnected
	stream      int64  // the number of the stream in that run
	since       micros // when it connected, or when it disconnected
	graceUntil  micros
	retainUntil micros
}

// disconnect records that the device disconnected at a time. It counts as connected for
// grace, and a native one is kept for retention.
func (d *device) disconnect(at, grace, retention micros) {
	d.run, d.stream, d.since, d.graceUntil = 0, 0, at, at+grace
	if d.platform.Native() {
		d.retainUntil = at + retention
	}
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

// looksLike reports whether a and b are equal in all that other users can see.
func (a *account) looksLike(b *account) bool {
	return a.statusType == b.statusType && a.customStatus == b.customStatus && a.expiresAt == b.expiresAt
}

// deviceState is what one device contributes to its user's status.
type deviceState int8

const (
	gone      deviceState = iota // it no longer counts, and is to be forgotten
	retained                     // it makes its user OFFLINE
	inGrace                      // it makes its user ONLINE until the grace is over
	connected                    // it makes its user ONLINE
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

// nextAt returns when the state at now will change by itself. Zero means never.
func (d *device) nextAt(now micros) micros {
	switch d.stateAt(now) {
	case inGrace:
		return d.graceUntil
	case retained:
		return d.retainUntil
	}
	return 0
}

// goneAt returns when a disconnected device becomes, or became, gone.
func (d *device) goneAt() micros {
	if d.platform.Native() {
		return max(d.graceUntil, d.retainUntil)
	}
	return d.graceUntil
}

// statusTypeAt returns the normal status, a function of the devices and the time
// alone.
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

// settle applies to a every deadline that has passed by now, and returns the devices
// that it forgot. Settling twice has the same effect as once.
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

// settleClearing clears the custom status when its clearAt has passed. clearAt is set
// only while the user is UNLOGINED and the custom status has no expiry of its own.
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

// dueAt returns the earliest deadline after now. Zero means that there is none.
func (a *account) dueAt(now micros) micros {
	due := earliest(a.expiresAt, a.clearAt)
	for i := range a.devices {
		due = earliest(due, a.devices[i].nextAt(now))
	}
	return due
}

// earliest returns the earlier of two times, either of which may be never.
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
