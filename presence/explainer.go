package presence

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// explainer finds the words for what is so of a user at a moment.
type explainer struct {
	*user
	now      micros
	started  micros // when this run of the process began
	settings *Settings
}

// why says what the normal status follows from.
func (x explainer) why() string {
	if due := statusTypeAt(x.devices, x.now); due != x.statusType {
		return fmt.Sprintf("%s still, though %s is due: it is being written, and if this stays, /readyz tells what keeps it from that",
			x.statusType, due)
	}
	if n, last := x.count(connected); n > 0 {
		return fmt.Sprintf("%s because %s connected; the last connected at %s", Online, number(n, "device is", "devices are"), clockTime(last))
	}
	if n, last := x.count(inGrace); n > 0 && last <= x.started {
		return fmt.Sprintf("%s because %s connected when the server stopped, and may come back; it started again at %s",
			Online, number(n, "device was", "devices were"), clockTime(x.started))
	} else if n > 0 {
		return fmt.Sprintf("%s because %s dropped a moment ago and may come back; the last dropped at %s",
			Online, number(n, "device", "devices"), clockTime(last))
	}
	if n, last := x.count(retained); n > 0 {
		return fmt.Sprintf("%s because no device is connected, and %s dropped without logging out; the last dropped at %s",
			Offline, number(n, "native device", "native devices"), clockTime(last))
	}
	why := fmt.Sprintf("%s because no device is logged in: there never was one, or each has logged out, was kicked, "+
		"or dropped and is forgotten", Unlogined)
	if x.revokedAt != 0 {
		why += fmt.Sprintf("; the last kick or deletion, at %s, also refuses tokens issued before", clockTime(x.revokedAt))
	}
	return why
}

// count returns how many devices are in a state, and when the last one
// connected or dropped.
func (x explainer) count(state deviceState) (n int, last micros) {
	for i := range x.devices {
		if d := &x.devices[i]; d.stateAt(x.now) == state {
			n++
			last = max(last, d.since)
		}
	}
	return n, last
}

// next says what changes the normal status.
func (x explainer) next() string {
	if due := statusTypeAt(x.devices, x.now); due != x.statusType {
		return fmt.Sprintf("%s, as soon as it can be written", due)
	}
	if n, _ := x.count(connected); n > 0 {
		return fmt.Sprintf("%s while a device is connected; once the last one has dropped, for %s more (reconnect_grace), then %s",
			Online, short(x.settings.ReconnectGrace), x.afterAll())
	}
	if at := x.changesAt(); at != 0 {
		return fmt.Sprintf("%s at %s, unless a device logs in before", statusTypeAt(x.devices, at), clockTime(at))
	}
	return fmt.Sprintf("%s until a device logs in", x.statusType)
}

// afterAll is the status once all devices have dropped.
func (x explainer) afterAll() string {
	var until micros
	for i := range x.devices {
		d := &x.devices[i]
		if d.run != 0 && d.platform.Native() {
			return fmt.Sprintf("%s for %s (offline_retention), then %s", Offline, short(x.settings.OfflineRetention), Unlogined)
		}
		until = max(until, d.retainUntil)
	}
	if until > x.now {
		return fmt.Sprintf("%s until %s, then %s", Offline, clockTime(until), Unlogined)
	}
	return Unlogined.String()
}

// changesAt returns when the normal status will change by itself, or 0.
func (x explainer) changesAt() (first micros) {
	now := statusTypeAt(x.devices, x.now)
	for i := range x.devices {
		d := &x.devices[i]
		for _, at := range []micros{d.graceUntil, d.goneAt()} {
			if at > x.now && statusTypeAt(x.devices, at) != now {
				first = earliest(first, at)
			}
		}
	}
	return first
}

// deadlines lists what comes by itself, the earliest first.
func (x explainer) deadlines() []Deadline {
	all := []Deadline{}
	add := func(at micros, format string, args ...any) {
		if at != 0 {
			all = append(all, Deadline{toTime(at), fmt.Sprintf(format, args...)})
		}
	}
	for _, s := range x.sessions() {
		if !s.expires.IsZero() {
			add(s.expires.UnixMicro(), "the token of device %s expires, which ends its stream", s.deviceID)
		}
	}
	for i := range x.devices {
		d := &x.devices[i]
		if d.stateAt(x.now) == inGrace {
			add(d.graceUntil, "device %s no longer counts as connected, unless it comes back: the user is then %s",
				d.id, statusTypeAt(x.devices, d.graceUntil))
		}
		if d.run == 0 && d.platform.Native() {
			add(d.goneAt(), "device %s is forgotten, unless it comes back: the user is then %s", d.id, statusTypeAt(x.devices, d.goneAt()))
		}
	}
	add(x.expiresAt, "the custom status expires")
	add(x.clearsAt(), "the custom status is cleared, unless a device logs in before: the user is then UNLOGINED for %s (custom_status_ttl)",
		short(x.settings.CustomStatusTTL))
	slices.SortStableFunc(all, func(x, y Deadline) int { return x.At.Compare(y.At) })
	return all
}

// clearsAt returns when the custom status will be cleared because the user is
// UNLOGINED, or will be by then; 0 if it never will, or has an expiry of its own.
func (x explainer) clearsAt() micros {
	at := x.clearAt
	if at == 0 {
		at = x.goneAt() + toMicros(x.settings.CustomStatusTTL)
	}
	n, _ := x.count(connected)
	if x.customStatus == "" || n > 0 || x.expiresAt != 0 {
		return 0
	}
	return at
}

// goneAt returns when the last of the devices will be forgotten.
func (x explainer) goneAt() (last micros) {
	for i := range x.devices {
		last = max(last, x.devices[i].goneAt())
	}
	return last
}

// audience says who is told of a change of the user.
func (e *Explanation) audience() string {
	const own = "the user's own streams"
	switch {
	case !e.Switches.UserStatus:
		return "only " + own + ", because the switch user_status is off"
	case e.Followers == 0:
		return "only " + own + ", because nobody subscribes to the user or has them in their friend list"
	case !e.Switches.FriendNotifications:
		return own + ", and those of who subscribe to the user; not of friends, because the switch friend_notifications is off"
	}
	return own + ", and those of the " + number(e.Followers, "follower", "followers") + ", when connected"
}

func number(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprint(n, " ", many)
}

// short leaves out the zeros at the end of a duration such as 168h0m0s.
func short(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func clockTime(t micros) string { return toTime(t).Format(time.RFC3339) }
