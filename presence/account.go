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

// fromTime returns t as micros. The zero time becomes never.
func fromTime(t time.Time) micros {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// minutes is a time in whole minutes since 1970. Zero means never.
type minutes uint32

const minute = 60_000_000 // in microseconds

// account is the stored part of a user. An account is never changed in place: the
// writer changes copies, which replace the originals after the commit.
type account struct {
	id        uint32 // users.id; never used twice
	invisible bool
	userID    string
	own       view
	public    view
	said      *said
	revokedAt micros
	devices   []device // in order of login; never changed in place
}

// view is what follows from the devices of a user, as last announced. A user has two
// views: their own, which is also that of the server side, and the public one of
// everybody else, in which the devices of an invisible user don't exist.
type view struct {
	version    int64 // that of the last change that the view shows
	lastSeen   minutes
	statusType StatusType
	away       bool // ONLINE with only idle devices
}

// device is a device that is logged in: it is connected, or disconnected and not
// forgotten yet.
type device struct {
	id          string
	platform    Platform
	loginAt     micros
	run         int64  // the run of the service that has its stream, or had it; zero means that the run has ended and the grace is over
	stream      int64  // the number of the stream in that run; zero means that it had none since the run began
	since       micros // when it connected, or when it disconnected
	graceUntil  micros // zero means that it is connected, if it has a stream
	retainUntil micros
	idle        bool // nobody is using it, as it reported last
	hidden      bool // it was not connected when the user stopped being invisible, and counts for the public view once it connects
}

func (d *device) isConnected() bool { return d.stream != 0 && d.graceUntil == 0 }

// hasStream reports whether a stream is that of the device, which may be nil. A device that
// is hidden has none.
func (d *device) hasStream(stream int64) bool { return d != nil && d.stream == stream && !d.hidden }

// disconnect records that the device disconnected at a time. It counts as connected for
// grace, and a native one is kept for retention.
func (d *device) disconnect(at, grace, retention micros) {
	d.since, d.graceUntil = at, at+grace
	if d.platform.Native() {
		d.retainUntil = at + retention
	}
}

// ownStatus returns what the user's own devices and the server side see. lastSeen is
// Settings.LastSeen.
func (a *account) ownStatus(lastSeen bool) Status {
	status := a.status(&a.own, lastSeen)
	status.Invisible = a.invisible
	return status
}

// publicStatus returns what everybody else sees.
func (a *account) publicStatus(lastSeen bool) Status { return a.status(&a.public, lastSeen) }

func (a *account) status(v *view, lastSeen bool) Status {
	said := a.said.orNothing()
	status := Status{
		UserID:       a.userID,
		StatusType:   v.statusType,
		CustomStatus: said.text,
		Version:      v.version,
		ExpiresAt:    toTime(said.expiresAt),
		Availability: a.availability(v),
	}
	if lastSeen && v.statusType != Online {
		status.LastSeenAt = toTime(micros(v.lastSeen) * minute)
	}
	return status
}

// availability returns the one that entries state, or else Away if the devices are idle.
func (a *account) availability(v *view) Availability {
	if said := a.said.orNothing().availability; said != Available || !v.away {
		return said
	}
	return Away
}

// looksLike reports whether what v shows of a is what w shows of b, apart from version
// and last seen.
func (a *account) looksLike(v *view, b *account, w *view) bool {
	x, y := a.said.orNothing(), b.said.orNothing()
	return v.statusType == w.statusType && a.availability(v) == b.availability(w) && x.text == y.text && x.expiresAt == y.expiresAt
}

// publicDevices returns the devices that count for the public view.
func (a *account) publicDevices() []device {
	isHidden := func(d device) bool { return d.hidden }
	switch {
	case a.invisible:
		return nil
	case !slices.ContainsFunc(a.devices, isHidden):
		return a.devices
	}
	return slices.DeleteFunc(slices.Clone(a.devices), isHidden)
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
	case d.isConnected():
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

// endOf returns when a disconnected device no longer has at least a state.
func (d *device) endOf(least deviceState) micros {
	if least == retained {
		return d.goneAt()
	}
	return d.graceUntil
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
// that it forgot. before is the account before it was changed. Settling twice has the
// same effect as once.
func (a *account) settle(before *account, now, ttl micros) (forgotten []device) {
	was, is := before.publicDevices(), a.publicDevices()
	a.own.settle(before.devices, a.devices, now)
	a.public.settle(was, is, now)
	left := micros(0)
	if a.public.statusType == Unlogined {
		left = now
		if before.public.statusType != Unlogined {
			left = lastCounted(was, is, now, retained)
		}
	}
	a.said = a.said.settle(now, left, ttl)
	a.devices, forgotten = forget(a.devices, now)
	return forgotten
}

// settle makes v what the devices show at now. was are the devices before the change.
func (v *view) settle(was, is []device, now micros) {
	wasOnline := v.statusType == Online
	v.statusType = statusTypeAt(is, now)
	v.away = v.statusType == Online && allIdle(is, now)
	if wasOnline && v.statusType != Online {
		v.lastSeen = minutes(lastCounted(was, is, now, inGrace) / minute)
	}
}

// allIdle reports whether nobody uses any of the devices that make their user ONLINE.
func allIdle(devices []device, now micros) bool {
	isUsed := func(d device) bool { return !d.idle && d.stateAt(now) >= inGrace }
	return !slices.ContainsFunc(devices, isUsed)
}

// lastCounted returns until when one of the devices had at least a state, given that
// none has it at now. was are the devices before the change that is being settled, and
// is the devices after it. A device that had the state and is missing in is was logged
// out by the change.
func lastCounted(was, is []device, now micros, least deviceState) (last micros) {
	for _, d := range was {
		if i := slices.IndexFunc(is, func(other device) bool { return other.id == d.id }); i >= 0 {
			last = max(last, is[i].endOf(least))
		} else if d.stateAt(now) >= least {
			return now
		} else {
			last = max(last, d.endOf(least))
		}
	}
	if last == 0 {
		return now
	}
	return min(last, now)
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
	due := a.said.nextAt()
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
