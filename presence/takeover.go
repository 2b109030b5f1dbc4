package presence

import (
	"maps"
	"slices"
)

// takeOver makes devices whose run has ended belong to the run of the batch, because their
// streams are still open on its node.
type takeOver struct {
	Run     int64         `cbor:"1,keyasint,omitempty"` // the run that has ended
	Streams []endedStream `cbor:"2,keyasint,omitempty"`
}

func (op *takeOver) apply(b *batch) error {
	for _, e := range op.Streams {
		a := b.accountByID(e.User)
		if a == nil {
			continue
		}
		d := a.device(e.DeviceID)
		if d == nil || d.hidden || d.run != op.Run || d.stream != e.Stream {
			continue // it has changed since
		}
		b.change(a, func() {
			d.run, d.since, d.graceUntil, d.retainUntil = b.run, b.read, 0, 0
			b.saveDevice(a, d)
		})
	}
	return nil
}

// takeOverStreams proposes that the devices whose streams are open on this node belong to
// its new run. Then it ends the streams whose devices have changed meanwhile, as if they had
// newer ones.
func (n *node) takeOverStreams() {
	open := make(map[int64][]endedStream)
	n.openStreams(func(s *Session, d *device, run int64) {
		if d != nil && d.run != run {
			open[d.run] = append(open[d.run], s.endedAt(0))
		}
	})
	for _, ended := range slices.Sorted(maps.Keys(open)) {
		for streams := range slices.Chunk(open[ended], sweep) {
			r := newRequest()
			r.op = &takeOver{Run: ended, Streams: streams}
			n.propose([]*request{r})
		}
	}
	n.openStreams(func(s *Session, d *device, run int64) {
		if run != 0 && (d == nil || d.run != run || d.stream != s.stream) {
			n.svc.model.end(s, ending{kind: endSuperseded})
		}
	})
}

// openStreams calls f with each session of this node whose login is applied, with its
// device, which may be nil, and with the run of the node.
func (n *node) openStreams(f func(s *Session, d *device, run int64)) {
	n.svc.update(func(m *model) {
		run, _ := m.runOf(n.nonce.Load())
		for _, u := range m.users {
			for _, s := range slices.Clone(u.sessions()) {
				if s.login == nil {
					f(s, u.device(s.deviceID), run)
				}
			}
		}
	})
}
