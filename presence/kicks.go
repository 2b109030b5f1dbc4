package presence

import (
	"fmt"
	"time"
)

// kickMemory is how long a kicked device is refused when it only reconnects.
const kickMemory = time.Minute

// KickReason is the reason in a KICKED_OUT event.
type KickReason string

// The reasons, by their names in the public protocol.
const (
	KickedByAdmin        KickReason = "REST_API_Kick"  // Service.Kick, Service.Rename or Service.Delete
	KickedMultipleDevice KickReason = "multipleDevice" // a newer device replaced it; see Settings.DevicesPerPlatform
	KickedExpired        KickReason = "userSigExpired" // Device.ExpiresAt has passed
	KickedLogout         KickReason = "logout"         // Service.Logout
)

// KickedError is returned by [Service.Connect] to a device that was kicked or logged
// out less than a minute ago, and connects with Device.Resume. It matches [ErrKicked].
type KickedError struct {
	Kick KickReason // the reason in the device's KICKED_OUT event
}

// Error returns a message that includes the reason.
func (e *KickedError) Error() string { return fmt.Sprintf("%v: %s", ErrKicked, e.Kick) }

// Is reports whether target is [ErrKicked].
func (e *KickedError) Is(target error) bool { return target == ErrKicked }

// deviceKey identifies a device. An empty deviceID means all devices of the user.
type deviceKey struct{ userID, deviceID string }

// kicked is one kick. The zero value means that there was none.
type kicked struct {
	deviceKey
	kick    KickReason
	at      micros // by the later of the service's clock and the machine's, because credentials are dated by the latter
	version int64  // the last version issued before it
	until   micros // when the service forgets it
}

// refuses reports whether k makes Connect refuse a device that reconnects. A
// device without an ID of its own is refused only if neither its cursor nor its
// credentials are newer than the kick of all devices.
func (k *kicked) refuses(now micros, cursor int64, issuedAt micros) bool {
	if k.until <= now {
		return false
	}
	return k.deviceID != "" || cursor <= k.version && issuedAt <= k.at
}

// kicks holds the devices that were kicked less than kickMemory ago.
type kicks struct {
	last  map[deviceKey]kicked
	order []kickedUntil // ascending by until; an entry is stale if last has another time for its device
}

type kickedUntil struct {
	deviceKey
	until micros
}

func (k *kicks) add(one kicked) {
	k.last[one.deviceKey] = one
	k.order = append(k.order, kickedUntil{one.deviceKey, one.until})
}

// first returns when the oldest kick is to be forgotten. Zero means that there is
// no kick.
func (k *kicks) first() micros {
	if len(k.order) == 0 {
		return 0
	}
	return k.order[0].until
}

// over returns up to most kicks that are to be forgotten by now, the oldest first.
// It skips the oldest skip kicks. Some of the entries may be stale.
func (k *kicks) over(now micros, skip, most int) []kickedUntil {
	order := k.order[min(skip, len(k.order)):]
	n := 0
	for n < min(len(order), most) && order[n].until <= now {
		n++
	}
	return order[:n]
}

// forget removes the n oldest kicks.
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
