package presence

import "time"

// kickMemory is how long a kicked device that merely reconnects is refused.
const kickMemory = time.Minute

// Kick is the reason that a KICKED_OUT event gives.
type Kick string

// The reasons, with the names of the wire.
const (
	KickedByAdmin        Kick = "REST_API_Kick"  // by Service.Kick, or the user was deleted
	KickedMultipleDevice Kick = "multipleDevice" // a newer device took the place
	KickedExpired        Kick = "userSigExpired" // the credentials have expired
	KickedLogout         Kick = "logout"         // the user logged the device out
)

type deviceKey struct{ userID, deviceID string }

// kicks remembers which devices were kicked a short time ago.
type kicks struct {
	until map[deviceKey]micros
	order []kicked // ascending; an entry that until doesn't confirm is stale
}

type kicked struct {
	deviceKey
	until micros
}

func (k *kicks) add(key deviceKey, until micros) {
	k.until[key] = until
	k.order = append(k.order, kicked{key, until})
}

// first returns when the oldest is to be forgotten, or 0.
func (k *kicks) first() micros {
	if len(k.order) == 0 {
		return 0
	}
	return k.order[0].until
}

func (k *kicks) forget(now micros) {
	for len(k.order) > 0 && k.order[0].until <= now {
		if e := k.order[0]; k.until[e.deviceKey] == e.until {
			delete(k.until, e.deviceKey)
		}
		k.order = k.order[1:]
	}
	if len(k.order) == 0 {
		k.order = nil
	}
}
