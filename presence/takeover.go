package presence

import "slices"

// takeOver makes devices whose run has ended belong to the run of the batch, because their
// streams are still open on its node.
type takeOver struct {
	Streams []endedStream `cbor:"1,keyasint,omitempty"`
}

func (op *takeOver) apply(b *batch) error {
	for _, e := range op.Streams {
		if a := b.peekByID(e.User); a != nil {
			b.change(a, func(a *account) {
				if d := a.device(e.DeviceID); d.hasStream(e.Stream) {
					d.run, d.since, d.graceUntil, d.retainUntil = b.run, b.read, 0, 0
					b.saveDevice(a, d)
				}
			})
		}
	}
	return nil
}

// takeOverStreams proposes that the devices whose streams are open on this node belong to
// its new run.
func (n *node) takeOverStreams() {
	var open []endedStream
	n.svc.update(func(m *model) {
		for s := range m.sessions {
			if d := s.user.device(s.deviceID); d.hasStream(s.stream) && m.runs[d.run].nonce != n.nonce.Load() {
				open = append(open, s.endedStream())
			}
		}
	})
	for streams := range slices.Chunk(open, sweep) {
		n.propose([]*request{newRequest(&takeOver{streams})})
	}
}
