package presence

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// run is a run of the service that has not ended. Without a log there is one. With a log
// there is one for each node.
type run struct {
	node      string
	nonce     int64
	level     int
	agreement []string
	count     int64 // of its beats
	beats     beats
	number    int64
}

// beginRun begins the next run, which becomes that of the batch.
type beginRun struct {
	Node      string   `cbor:"1,keyasint,omitempty"`
	Nonce     int64    `cbor:"2,keyasint,omitempty"` // zero without a log
	Level     int      `cbor:"3,keyasint,omitempty"`
	Agreement []string `cbor:"4,keyasint,omitempty"` // see Config.Agreement
	Before    int64    `cbor:"5,keyasint,omitempty"` // the nonce of the node's previous run, which ends
	Start     bool     `cbor:"6,keyasint,omitempty"` // the node has just started, maybe with a log that lost its end
}

func (op *beginRun) apply(b *batch) error {
	if op.Nonce != 0 {
		if err := b.mayBegin(op); err != nil {
			return err
		}
	}
	b.lastRun++
	b.run = b.lastRun
	b.saveRun(b.run, run{node: op.Node, nonce: op.Nonce, level: op.Level, agreement: op.Agreement, beats: beats{b.now}})
	if op.Nonce == 0 || op.Start {
		b.jump()
	}
	return nil
}

// mayBegin ends the previous run of a node, and that of a service without a log. It
// returns an error if the node must not begin a run.
func (b *batch) mayBegin(op *beginRun) error {
	var previous []int64
	for _, id := range slices.Sorted(maps.Keys(b.runs)) {
		switch r := b.runs[id]; {
		case r.nonce == op.Nonce:
			return errRepeated
		case r.nonce == 0 || r.nonce == op.Before:
			previous = append(previous, id)
		case !agree(r.agreement, op.Agreement):
			return &DisagreementError{Node: r.node}
		}
	}
	for _, id := range previous {
		b.endRun(id)
	}
	return nil
}

// agree reports whether two nodes have a hash in common, or neither has any.
func agree(one, other []string) bool {
	isCommon := func(hash string) bool { return slices.Contains(other, hash) }
	return slices.ContainsFunc(one, isCommon) || len(one)+len(other) == 0
}

// setAgreement replaces the hashes of the run that submits it.
type setAgreement struct {
	Agreement []string `cbor:"1,keyasint,omitempty"`
}

func (op *setAgreement) apply(b *batch) error {
	b.changeRun(b.run, func(r *run) { r.agreement = op.Agreement })
	return nil
}

// changeRun changes a run, unless it has ended.
func (b *batch) changeRun(id int64, change func(*run)) {
	r, live := b.runs[id]
	if !live {
		return
	}
	change(&r)
	b.saveRun(id, r)
}

func (b *batch) saveRun(id int64, r run) {
	b.runs = maps.Clone(b.runs)
	b.runs[id] = r
	b.exec("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", id, r.node, r.nonce, r.level, strings.Join(r.agreement, " "),
		r.count, r.beats[0], r.beats[1], r.beats[2], r.number)
}

// errRepeated is the error of an operation that was applied before.
var errRepeated = errors.New("presence: the operation was applied before")

// DisagreementError is why a node can't join others: its Config.Agreement has nothing in
// common with that of the node that it names.
type DisagreementError struct{ Node string }

// Error returns a message that names the other node.
func (e *DisagreementError) Error() string {
	return fmt.Sprintf("what all nodes must agree on is not the same here and on the node %q", e.Node)
}

// endRun ends the run that submits it, because its node stops.
type endRun struct{}

func (*endRun) apply(b *batch) error {
	if _, live := b.runs[b.run]; live {
		b.endRun(b.run)
	}
	return nil
}

// endRuns records that all runs have ended except that of the batch. The devices that were
// connected, or in their grace, get Settings.RestartGrace to reconnect. So a restart by
// itself changes no status, however many users were ONLINE. The end is stored once, and
// not in the row of each device: see runEnd.
type endRuns struct{}

func (*endRuns) apply(b *batch) error {
	for _, id := range slices.Sorted(maps.Keys(b.runs)) {
		if id != b.run {
			b.endRun(id)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(b.ends)) {
		if last := b.ends[id]; last[len(last)-1].at != b.now {
			b.endRun(id)
		}
	}
	return nil
}

// endRun ends a run, or ends it once more: its devices that are still in their grace get
// the whole of Settings.RestartGrace again.
func (b *batch) endRun(id int64) {
	end := runEnd{node: b.nodeOf(id), at: b.now, clock: b.before, grace: toMicros(b.settings.RestartGrace), retention: toMicros(b.settings.OfflineRetention)}
	b.exec("DELETE FROM runs WHERE id = ?", id)
	b.runs = maps.Clone(b.runs)
	delete(b.runs, id)
	b.addEnd(id, end)
}

// nodeOf returns the name of the node of a run, which may have ended.
func (b *batch) nodeOf(id int64) string {
	if ends := b.ends[id]; len(ends) > 0 {
		return ends[0].node
	}
	return b.runs[id].node
}

func (b *batch) addEnd(id int64, end runEnd) {
	b.exec("INSERT OR REPLACE INTO run_ends VALUES (?, ?, ?, ?, ?)", id, end.at, end.clock, end.grace, end.retention)
	b.ends = maps.Clone(b.ends)
	b.ends[id] = append(slices.Clip(b.ends[id]), end)
	b.applyEnds()
}

// runEnd is the end of a run. It applies to each device of the run whose row is stored,
// and which is not stored again: whoever reads the row applies the ends of its run, in
// order. Applying an end twice has the same effect as once.
type runEnd struct {
	at, clock, grace, retention micros
	node                        string // the name of the node, for people; empty without a log, and after a restart
}

// runEnds are the ends of the runs that have devices, by run and in order of time. The map
// and its slices are never changed in place.
type runEnds map[int64][]runEnd

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

// applyTo applies the ends of their runs to devices as they are stored.
func (all runEnds) applyTo(devices []device) {
	if len(all) == 0 {
		return
	}
	for i := range devices {
		for _, e := range all[devices[i].run] {
			e.applyTo(&devices[i])
		}
	}
}

// of returns the devices of a user as they are after the ends of their runs.
func (all runEnds) of(u *user) []device {
	devices := slices.Clone(u.devices)
	all.applyTo(devices)
	return devices
}

// graceUntil returns when the grace of an ended run is over.
func (all runEnds) graceUntil(id int64) (until micros) {
	for _, e := range all[id] {
		until = max(until, e.at+e.grace)
	}
	return until
}

// outlives reports whether a device that is stored still counts, although its run has
// ended and its grace is over.
func (all runEnds) outlives(d *device, now micros) bool {
	return len(all) > 0 && all[d.run] != nil && d.stateAt(now) < inGrace
}

// forgetEnds forgets the ends of runs that have no device any more.
func (b *batch) forgetEnds() {
	for _, id := range slices.Sorted(maps.Keys(b.ends)) {
		if b.ends.graceUntil(id) <= b.now && !b.hasDevices(id) {
			b.exec("DELETE FROM run_ends WHERE run = ?", id)
			b.ends = maps.Clone(b.ends)
			delete(b.ends, id)
		}
	}
}

// configure replaces the settings that decide outcomes, and leaves the others. It gives
// each switch that is turned on the version at which that happens.
type configure struct {
	Settings Settings `cbor:"1,keyasint,omitempty"`
}

func (op *configure) apply(b *batch) error {
	settings := op.Settings
	settings.Keepalive, settings.BatchWindow = b.settings.Keepalive, b.settings.BatchWindow
	if settings != b.settings {
		b.exec("INSERT OR REPLACE INTO settings VALUES (1, ?)", b.codec.marshal(op.Settings))
		b.settings = settings
	}
	to := b.switches
	b.turn(&to.userStatus, &to.userStatusSince, op.Settings.UserStatus)
	b.turn(&to.friendNotifications, &to.friendNotificationsSince, op.Settings.FriendNotifications)
	from := b.switches
	b.switches = to
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
