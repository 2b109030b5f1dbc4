package presence

import "slices"

// endRun records that the last run of the service has ended. The devices that were
// connected, or in their grace, get Settings.RestartGrace to reconnect. So a restart by
// itself changes no status, however many users were ONLINE. The end is stored once, and
// not in the row of each device: see runEnd.
type endRun struct {
	clock micros // the time of the last batch of that run
}

func (op *endRun) apply(b *batch) error {
	end := runEnd{at: b.now, clock: op.clock, grace: toMicros(b.settings.RestartGrace), retention: toMicros(b.settings.OfflineRetention)}
	b.exec("DELETE FROM run_ends WHERE at <= (SELECT ifnull(min(since), ?) FROM devices)", b.now)
	b.exec("INSERT INTO run_ends VALUES (?, ?, ?, ?)", end.at, end.clock, end.grace, end.retention)
	wasOnline := func(d device) bool { return d.stateAt(op.clock) >= inGrace }
	for id := range b.nextUser {
		if a := b.peekByID(id); a != nil && slices.ContainsFunc(a.devices, wasOnline) {
			a = b.toChange(a)
			b.change(a, func() {
				for i := range a.devices {
					end.applyTo(&a.devices[i])
				}
			})
		}
	}
	return nil
}

// runEnd is the end of a run. It applies to each device whose row was stored before,
// which is not stored again: whoever reads the row applies the ends after it, in order.
type runEnd struct{ at, clock, grace, retention micros }

// applyTo disconnects a device that was connected when the run ended, and extends the
// grace of one that was in it.
func (e *runEnd) applyTo(d *device) {
	switch d.stateAt(e.clock) {
	case connected:
		d.disconnect(e.at, e.grace, e.retention)
	case inGrace:
		d.graceUntil = max(d.graceUntil, e.at+e.grace)
	}
}

// applyEnds applies the ends of runs, in order of time, to a device as it is stored.
func applyEnds(ends []runEnd, d *device) {
	for i := range ends {
		if d.since < ends[i].at {
			ends[i].applyTo(d)
		}
	}
}

// jump is a range of versions that were never issued. It excludes both ends.
type jump struct{ above, below int64 }

// jumps are the jumps that are stored, in ascending order.
type jumps []jump

// jumpsKept is the maximum number of jumps that are stored. A cursor from before them
// counts as never issued, so its client receives a snapshot.
const jumpsKept = 1000

// beginRun begins the next run. The version jumps to at least that of the current
// time, see firstVersion. So versions that were issued after a backup, and lost when
// it was restored, are never issued again, not even within the same second.
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

// issued reports whether n is a version that this database has issued, where current
// is the last one.
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
