package presence

import (
	"slices"
	"time"
)

// beatEvery is how often a node appends a beat, by which the others know that it lives.
const beatEvery = time.Second

// beatsToDeath is how many beats of another node make a node dead that had none meanwhile.
const beatsToDeath = 3

// beat says that the node of a run lives, and what its state was at a place.
type beat struct {
	Place  int64  `cbor:"1,keyasint,omitempty"`
	Digest []byte `cbor:"2,keyasint,omitempty"`
}

func (*beat) apply(b *batch) error {
	if b.mark != nil {
		b.mark.beats++
	}
	return nil
}

// takeOver makes devices whose run has ended belong to the run of the batch, because their
// streams are still open on its node.
type takeOver struct {
	Run     int64         `cbor:"1,keyasint,omitempty"` // the run that has ended
	Streams []endedStream `cbor:"2,keyasint,omitempty"`
	failed  []int64       // the result: the streams whose device has changed since
}

func (op *takeOver) apply(b *batch) error {
	for _, e := range op.Streams {
		a := b.accountByID(e.User)
		var d *device
		if a != nil {
			d = a.device(e.DeviceID)
		}
		if d != nil && d.run == b.run && d.stream == e.Stream {
			continue // the run has it already
		}
		if d == nil || d.hidden || d.run != op.Run || d.stream != e.Stream {
			op.failed = append(op.failed, e.Stream)
			continue
		}
		b.change(a, func() {
			d.run, d.since, d.graceUntil, d.retainUntil = b.run, b.read, 0, 0
			b.saveDevice(a, d)
		})
	}
	return nil
}

// endFailed ends the sessions whose device has changed, as if it had a newer one.
func (op *takeOver) endFailed(m *model) {
	if len(op.failed) == 0 {
		return
	}
	for _, u := range m.users {
		for _, s := range slices.Clone(u.sessions()) {
			if slices.Contains(op.failed, s.stream) {
				m.end(s, ending{kind: endSuperseded})
			}
		}
	}
}
