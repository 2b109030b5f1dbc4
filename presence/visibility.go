package presence

import "context"

// SetIdle records what a connected device reports: that nobody is using it, or that
// somebody is using it again. A user is away while they are ONLINE and nobody uses any
// of the devices that make them so. A device that logs in begins as not idle. In its
// grace period a device counts as it last reported, and if it reconnects within that
// period, this stays so. There is one exception: if the user became visible while the
// device was disconnected, it logs in anew when it reconnects.
//
// Errors: CodeMalformed for deviceID and when that device isn't connected,
// CodeUnknownUser, CodeUnavailable.
func (s *Service) SetIdle(ctx context.Context, userID, deviceID string, idle bool) error {
	if err := checkID(deviceID); err != nil {
		return err
	}
	return s.writer.do(ctx, &setIdle{userID, deviceID, idle})
}

// SetVisibility makes a user invisible, or visible again. An invisible user looks to
// all others as if they had logged out on all devices at that moment. A user who becomes
// visible looks to all others as if the devices that are connected at that moment had
// just logged in. The user's own devices and the server side see the user as they are.
//
// Only devices are hidden: the custom status and the availability that entries state
// are still sent to everyone. The user's own entry ends as if the user were UNLOGINED;
// see Settings.CustomStatusTTL. Invisibility survives logout, Kick, Rename and restarts.
//
// Errors: CodeUnknownUser, CodeUnavailable.
func (s *Service) SetVisibility(ctx context.Context, userID string, invisible bool) error {
	return s.writer.do(ctx, &setVisibility{userID, invisible})
}

// setIdle records whether a connected device is in use.
type setIdle struct {
	UserID   string `cbor:"1,keyasint,omitempty"`
	DeviceID string `cbor:"2,keyasint,omitempty"`
	Idle     bool   `cbor:"3,keyasint,omitempty"`
}

func (op *setIdle) apply(b *batch) error {
	a := b.peek(op.UserID)
	if a == nil {
		return unknownUser()
	}
	d := b.copyOf(a).device(op.DeviceID)
	if d == nil || !d.isConnected() {
		return malformed("the device is not connected")
	}
	if d.idle != op.Idle {
		b.change(a, func(a *account) {
			d := a.device(op.DeviceID)
			d.idle = op.Idle
			b.saveDevice(a, d)
		})
	}
	return nil
}

// setVisibility makes a user invisible, or visible again.
type setVisibility struct {
	UserID    string `cbor:"1,keyasint,omitempty"`
	Invisible bool   `cbor:"2,keyasint,omitempty"`
}

func (op *setVisibility) apply(b *batch) error {
	a := b.peek(op.UserID)
	if a == nil {
		return unknownUser()
	}
	if a.invisible != op.Invisible {
		b.change(a, func(a *account) { b.setInvisible(a, op.Invisible) })
	}
	return nil
}

// setInvisible makes a user invisible, or visible again. A device that isn't connected
// when its user becomes visible stays hidden until it connects, because in public it was
// logged out. It then begins as not idle, because in public it logs in anew.
func (b *batch) setInvisible(a *account, invisible bool) {
	a.invisible = invisible
	for i := range a.devices {
		d := &a.devices[i]
		if hidden := !invisible && !d.isConnected(); d.hidden != hidden {
			d.hidden = hidden
			b.saveDevice(a, d)
		}
	}
}
