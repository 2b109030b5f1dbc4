package presence

import (
	"maps"
	"slices"
	"time"
)

// longestGap is the longest time between two entries of a log that is no outage: each node
// appends a beat every second.
const longestGap = 3 * time.Second

// isOutage reports whether there was an outage between two batches.
func isOutage(before, at micros) bool { return at-before > toMicros(longestGap) }

// extendGraces extends the graces that were running before an outage of the log by its
// length, because no device could reconnect meanwhile. It is the first change of a batch.
func (b *batch) extendGraces() {
	if !isOutage(b.before, b.now) {
		return
	}
	gap := b.now - b.before
	for _, id := range slices.Sorted(maps.Keys(b.ends)) {
		if until := b.ends.graceUntil(id); until > b.before {
			b.addEnd(id, runEnd{node: b.nodeOf(id), at: b.now, clock: b.before, grace: until + gap - b.now, retention: toMicros(b.settings.OfflineRetention)})
		}
	}
	for _, id := range b.inGrace(b.before) {
		b.change(b.peekByID(id), func(a *account) {
			for i := range a.devices {
				if d := &a.devices[i]; b.ends[d.run] == nil && d.stateAt(b.before) == inGrace {
					d.graceUntil += gap
					b.saveDevice(a, d)
				}
			}
		})
	}
}
