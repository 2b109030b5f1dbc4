package presence

import (
	"fmt"
	"time"
)

// kickMemory is how long a kicked device that only reconnects is refused.
const kickMemory = time.Minute

// Kick is the reason that a KICKED_OUT event gives.
type KickReason string

// The reasons, with the names of the wire.
const (
	KickedByAdmin        KickReason = "REST_API_Kick"  // by Service.Kick, or the user was deleted
	KickedMultipleDevice KickReason = "multipleDevice" // a newer device took the place
	KickedExpired        KickReason = "userSigExpired" // the credentials have expired
	KickedLogout         KickReason = "logout"         // the user logged the device out
)

// KickedError is returned by [Service.Connect] to a device that was kicked less
// than a minute ago and only reconnects. It matches [ErrKicked].
type KickedError struct {
	Kick KickReason // the reason that the device's KICKED_OUT event gave
}

// Error returns a message with the reason.
func (e *KickedError) Error() string { return fmt.Sprintf("%v: %s", ErrKicked, e.Kick) }

// Is reports whether target is [ErrKicked].
func (e *KickedError) Is(target error) bool { return target == ErrKicked }

// deviceKey names a device. The deviceID "" stands for all devices of the user.
type deviceKey struct{ userID, deviceID string }

// kicked is one kick. The zero value is none.
type kicked struct {
	deviceKey
	kick    KickReason
	at      micros // by the later of two clocks, as credentials are dated
	version int64  // the last one given out before
	until   micros // when it is forgotten
}

// refuses reports whether a device of that key that reconnects is refused: one
// without an ID of its own only if neither its cursor nor its credentials are
// newer than the kick of all devices.
func (k *kicked) refuses(now micros, cursor int64, issuedAt time.Time) bool {
	if k.until <= now {
		return false
	}
	return k.deviceID != "" || cursor <= k.version && (issuedAt.IsZero() || issuedAt.UnixMicro() <= k.at)
}

// kicks remembers which devices were kicked a short time ago.
type kicks struct {
	last  map[deviceKey]kicked
	order []kickedUntil // ascending; an entry that last doesn't confirm is stale
}

type kickedUntil struct {
	deviceKey
	until micros
}

func (k *kicks) add(one kicked) {
	k.last[one.deviceKey] = one
	k.order = append(k.order, kickedUntil{one.deviceKey, one.until})
}

// first returns when the oldest is to be forgotten, or 0.
func (k *kicks) first() micros {
	if len(k.order) == 0 {
		return 0
	}
	return k.order[0].until
}

// over returns up to most of the kicks that are to be forgotten by now, the
// oldest first, without the first few. Some of them may be stale.
func (k *kicks) over(now micros, without, most int) []kickedUntil {
	order := k.order[min(without, len(k.order)):]
	n := 0
	for n < min(len(order), most) && order[n].until <= now {
		n++
	}
	return order[:n]
}

// forget removes the oldest n kicks.
func (k *kicks) forget(n int) {
	for _, e := range k.order[:n] {
		if k.last[e.deviceKey].until == e.until {
			delete(k.last, e.deviceKey)
		}
	}
	if k.order = k.order[n:]; len(k.order) == 0 {
		k.order = nil
	}
}
