package presence

import "slices"

// endRuns records that every earlier run of the service has ended. The devices that were
// connected, or in their grace, get Settings.RestartGrace to reconnect. So a restart by
// itself changes no status, however many users were ONLINE.
type endRuns struct {
	clock micros // the time of the last batch of those runs
}

func (op *endRuns) apply(b *batch) error {
	wasOnline := func(d device) bool { return d.stateAt(op.clock) >= inGrace }
	for id := range b.nextUser {
		if a := b.peekByID(id); a != nil && slices.ContainsFunc(a.devices, wasOnline) {
			a = b.toChange(a)
			b.change(a, func() { op.endFor(b, a) })
		}
	}
	return nil
}

func (op *endRuns) endFor(b *batch, a *account) {
	grace := toMicros(b.settings.RestartGrace)
	for i := range a.devices {
		d := &a.devices[i]
		switch d.stateAt(op.clock) {
		case connected:
			b.dropDevice(a, d, b.now, grace)
		case inGrace:
			d.graceUntil = max(d.graceUntil, b.now+grace)
			b.saveDevice(a, d)
		}
	}
}

// jump is a range of versions that were never given out. It excludes both ends.
type jump struct{ above, below int64 }

// jumps are the jumps that are stored, in ascending order.
type jumps []jump

// jumpsKept is the maximum number of jumps that are stored. A cursor from before them
// counts as never given out, so its client receives a snapshot.
const jumpsKept = 1000

// beginRun begins the next run. The version jumps to at least that of the current time,
// see firstVersion. So versions that were given out after a backup, and lost when it was
// restored, are never given out again, not even within the same second.
type beginRun struct{}

// firstVersion returns the version after which a run begins: the seconds since 1970,
// shifted left by 20 bits, plus the microseconds of the current second.
func firstVersion(now micros) int64 { return now/1_000_000<<20 + now%1_000_000 }

func (beginRun) apply(b *batch) error {
	b.run++
	j := jump{above: b.version, below: max(b.version, firstVersion(b.now))}
	b.exec("INSERT OR REPLACE INTO jumps VALUES (?, ?)", j.above, j.below)
	b.version = j.below
	b.jumps = append(slices.Clone(b.jumps), j)
	if len(b.jumps) > jumpsKept {
		b.jumps = b.jumps[1:]
		b.exec("DELETE FROM jumps WHERE above < ?", b.jumps[0].above)
		b.exec("UPDATE jumps SET above = 0 WHERE above = ?", b.jumps[0].above)
		b.jumps[0].above = 0
	}
	return nil
}

// issued reports whether n is a version that this database gave out, where current is
// the last one.
func (all jumps) issued(n, current int64) bool {
	if n <= 0 || n > current {
		return false
	}
	for _, j := range all {
		if j.above < n && n < j.below {
			return false
		}
	}
	return true
}

// configure replaces the settings. It gives each switch that is turned on the version
// at which that happens.
type configure struct{ settings Settings }

func (op *configure) apply(b *batch) error {
	to := b.switches
	b.turn(&to.userStatus, &to.userStatusSince, op.settings.UserStatus)
	b.turn(&to.friendNotifications, &to.friendNotificationsSince, op.settings.FriendNotifications)
	from := b.switches
	b.settings, b.switches = op.settings, to
	if to != from {
		b.exec("UPDATE service SET version = ?", b.version) // commit writes the other columns
		b.after(func(m *model) { m.switched(from) })
	}
	return nil
}

func (b *batch) turn(on *bool, since *int64, to bool) {
	if to && !*on {
		*since = b.nextVersion()
	}
	*on = to
}
