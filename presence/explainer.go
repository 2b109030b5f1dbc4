package presence

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// explainer puts the state of a user at the time now into words.
type explainer struct {
	*user
	now      micros
	started  micros // when this run of the service began; zero with a log, because other nodes may have gone on
	ends     runEnds
	settings *Settings
}

// why returns the sentence that says what the normal status follows from.
func (x explainer) why() string {
	if due := statusTypeAt(x.devices, x.now); due != x.own.statusType {
		return fmt.Sprintf("still %s, although %s is due: the change is being written, and if this persists, /readyz reports the reason",
			x.own.statusType, due)
	}
	if n, last := x.count(connected); n > 0 {
		return fmt.Sprintf("%s because %s connected; the last connected at %s", Online, number(n, "device is", "devices are"), clockTime(last))
	}
	if n, last := x.count(inGrace); n > 0 && last <= x.started {
		return fmt.Sprintf("%s because %s connected when the server stopped, and may reconnect; the server started again at %s",
			Online, number(n, "device was", "devices were"), clockTime(x.started))
	} else if node := x.stopped(last); n > 0 && node != "" {
		return fmt.Sprintf("%s because %s disconnected a moment ago and may reconnect; the last was connected to %s, which stopped at %s",
			Online, number(n, "device", "devices"), node, clockTime(last))
	} else if n > 0 {
		return fmt.Sprintf("%s because %s disconnected a moment ago and may reconnect; the last disconnected at %s",
			Online, number(n, "device", "devices"), clockTime(last))
	}
	if n, last := x.count(retained); n > 0 {
		return fmt.Sprintf("%s because no device is connected, and %s disconnected without logging out; the last disconnected at %s",
			Offline, number(n, "native device", "native devices"), clockTime(last))
	}
	why := fmt.Sprintf("%s because no device is logged in: there never was one, or each was logged out or kicked, "+
		"or has been disconnected for too long", Unlogined)
	if x.revokedAt != 0 {
		why += fmt.Sprintf("; the last kick, rename or deletion, at %s, also revoked all tokens issued before", clockTime(x.revokedAt))
	}
	return why
}

// count returns the number of devices in a state, and when the last of them connected
// or disconnected.
func (x explainer) count(state deviceState) (n int, last micros) {
	for i := range x.devices {
		if d := &x.devices[i]; d.stateAt(x.now) == state {
			n++
			last = max(last, d.since)
		}
	}
	return n, last
}

// stopped names the node that had the stream of a device and whose run ended at a time. It
// returns "" if there is none.
func (x explainer) stopped(at micros) string {
	for i := range x.devices {
		for _, e := range x.ends[x.devices[i].run] {
			switch {
			case x.devices[i].since != at || e.at != at:
			case e.node == "":
				return "a node"
			default:
				return "the node " + e.node
			}
		}
	}
	return ""
}

// next returns the sentence that says what changes the normal status next.
func (x explainer) next() string {
	if due := statusTypeAt(x.devices, x.now); due != x.own.statusType {
		return fmt.Sprintf("%s, as soon as the change is written", due)
	}
	if n, _ := x.count(connected); n > 0 {
		return fmt.Sprintf("%s while a device is connected; after the last one disconnects, for %s more (reconnect_grace), then %s",
			Online, short(x.settings.ReconnectGrace), x.afterAll())
	}
	if at := x.changesAt(); at != 0 {
		return fmt.Sprintf("%s at %s, unless a device logs in before", statusTypeAt(x.devices, at), clockTime(at))
	}
	return fmt.Sprintf("%s until a device logs in", x.own.statusType)
}

// afterAll returns what follows when all devices have disconnected.
func (x explainer) afterAll() string {
	var until micros
	for i := range x.devices {
		d := &x.devices[i]
		if d.isConnected() && d.platform.Native() {
			return fmt.Sprintf("%s for %s (offline_retention), then %s", Offline, short(x.settings.OfflineRetention), Unlogined)
		}
		until = max(until, d.retainUntil)
	}
	if until > x.now {
		return fmt.Sprintf("%s until %s, then %s", Offline, clockTime(until), Unlogined)
	}
	return Unlogined.String()
}

// changesAt returns when the normal status will change by itself. Zero means never.
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

// deadlines returns what will happen by itself, the earliest first.
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
			add(d.graceUntil, "device %s no longer counts as connected, unless it reconnects before: the user is then %s",
				d.id, statusTypeAt(x.devices, d.graceUntil))
		}
		if !d.isConnected() && d.platform.Native() {
			add(d.goneAt(), "device %s is forgotten, unless it reconnects before: the user is then %s", d.id, statusTypeAt(x.devices, d.goneAt()))
		}
	}
	for _, e := range x.said.orNothing().entries {
		if e.waiting {
			add(e.StartsAt, "%s begins", e.name())
		}
		add(e.ExpiresAt, "%s expires", e.name())
	}
	unless := "a device logs in before: the user"
	if x.invisible {
		unless = "the user becomes visible before, with a device that is connected: to others the user"
	}
	add(x.clearsAt(), "the user's own entry ends, unless %s is then %s for %s (custom_status_ttl)",
		unless, Unlogined, short(x.settings.CustomStatusTTL))
	slices.SortStableFunc(all, func(x, y Deadline) int { return x.At.Compare(y.At) })
	return all
}

// clearsAt returns when the user's own entry will end because the user has been UNLOGINED
// in public for CustomStatusTTL. Zero means that it won't: a device is connected, or the
// entry does not exist, has not begun, or has an expiry.
func (x explainer) clearsAt() micros {
	devices := x.publicDevices()
	isConnected := func(d device) bool { return d.isConnected() }
	if slices.ContainsFunc(devices, isConnected) {
		return 0
	}
	left := x.now
	for i := range devices {
		left = max(left, devices[i].goneAt())
	}
	return x.said.clearsAt(x.now, left, toMicros(x.settings.CustomStatusTTL))
}

// audience returns the sentence that says who is notified of a change.
func (e *Explanation) audience() string {
	const own = "the user's own streams"
	switch {
	case !e.Switches.UserStatus:
		return "only " + own + ", because the switch user_status is off"
	case e.Followers == 0:
		return "only " + own + ", because nobody subscribes to the user or has them in their friend list"
	case !e.Switches.FriendNotifications:
		return own + ", and those of the users who subscribe to the user; not those of friends, because the switch friend_notifications is off"
	}
	return own + ", and those of the " + number(e.Followers, "follower", "followers") + ", when connected"
}

// also returns the end of the sentence about the audience, for the feeds that are open.
func also(feeds int) string {
	if feeds == 0 {
		return ""
	}
	return "; also " + number(feeds, "feed", "feeds") + " of the server side, whatever the switches are set to"
}

func number(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprint(n, " ", many)
}

// short returns a duration without the zeros at the end of, for example, 168h0m0s.
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
