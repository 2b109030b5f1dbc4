package presence

import (
	"context"
	"slices"
	"time"
)

// Logout logs a device out: it is forgotten at once, and its session kicked.
// deviceID "" logs out all of the user's devices. A device that is not logged
// in is no error.
//
// Errors: CodeUnknownUser, CodeMalformed, CodeUnavailable.
func (s *Service) Logout(ctx context.Context, userID, deviceID string) error {
	if deviceID != "" {
		if err := checkID(deviceID); err != nil {
			return err
		}
	}
	return s.do(ctx, &logout{userID: userID, deviceID: deviceID})
}

// Kick ends all sessions of a user, forgets the devices, and refuses
// credentials issued up to now; see Device.IssuedAt.
//
// Errors: CodeUnknownUser, CodeUnavailable.
func (s *Service) Kick(ctx context.Context, userID string) error {
	return s.do(ctx, &kick{userID: userID, at: time.Now().UnixMicro()})
}

// connect logs a device in, or brings it back, with a new stream.
type connect struct {
	device  Device
	session *Session
}

func (op *connect) apply(b *batch) error {
	key := deviceKey{op.device.UserID, op.device.ID}
	kicked := b.kickedUntil(key) > b.now
	if kicked && op.device.Resume {
		return ErrKicked
	}
	if a := b.peek(op.device.UserID); a != nil && a.refuses(op.device.IssuedAt) {
		return errRevoked()
	}
	if kicked {
		b.pardon(key)
	}
	a := b.register(op.device.UserID)
	b.change(a, func() { b.login(a, op) })
	b.after(func(m *model) { m.open(m.byName[a.userID], op.session) })
	return nil
}

// refuses reports whether credentials of that time were issued before the last
// kick.
func (a *account) refuses(issuedAt time.Time) bool {
	return !issuedAt.IsZero() && a.revokedAt != 0 && issuedAt.UnixMicro() <= a.revokedAt
}

// login enters the stream in the device's row, and makes room for it.
func (b *batch) login(a *account, op *connect) {
	d := a.device(op.device.ID)
	if d == nil {
		a.devices = append(a.devices, device{id: op.device.ID, loginAt: b.now})
		d = &a.devices[len(a.devices)-1]
	}
	d.platform = op.device.Platform
	d.run, d.stream, d.since = b.run, op.session.stream, b.now
	d.graceUntil, d.retainUntil = 0, 0
	b.saveDevice(a, d)
	b.makeRoom(a, *d)
}

// makeRoom has devices of the newcomer's platform over the limit give way: the
// one logged in longest, which is kicked; but first those that have dropped.
// These are only forgotten, so that they may come back.
func (b *batch) makeRoom(a *account, newcomer device) {
	var rivals []device
	for _, d := range a.devices {
		if d.platform == newcomer.platform && d.id != newcomer.id {
			rivals = append(rivals, d)
		}
	}
	slices.SortStableFunc(rivals, func(x, y device) int { return int(min(x.run, 1) - min(y.run, 1)) })
	for i := range len(rivals) + 1 - b.settings.DevicesPerPlatform {
		if rivals[i].run == 0 {
			b.forget(a, rivals[i].id)
		} else {
			b.expel(a, rivals[i].id, KickedMultipleDevice)
		}
	}
}

func (b *batch) forget(a *account, deviceID string) {
	a.devices = slices.DeleteFunc(a.devices, func(d device) bool { return d.id == deviceID })
	b.deleteDevice(a, deviceID)
}

// expel forgets a device and kicks it: its stream ends, if there is one, and it
// is refused if it merely reconnects.
func (b *batch) expel(a *account, deviceID string, why Kick) {
	b.forget(a, deviceID)
	key, until := deviceKey{a.userID, deviceID}, b.now+span(kickMemory)
	b.exec("INSERT OR REPLACE INTO kicked VALUES (?, ?, ?)", key.userID, key.deviceID, until)
	b.after(func(m *model) {
		m.kicked.add(key, until)
		if u := m.byName[a.userID]; u != nil {
			m.endDevice(u, deviceID, ending{kind: endKicked, kick: why})
		}
	})
}

func (b *batch) expelAll(a *account, why Kick) {
	for _, d := range slices.Clone(a.devices) {
		b.expel(a, d.id, why)
	}
}

// kickedUntil looks only at what was committed: a device that is kicked and
// comes back within one batch is told again.
func (b *batch) kickedUntil(key deviceKey) micros { return b.model.kicked.until[key] }

func (b *batch) pardon(key deviceKey) {
	b.exec("DELETE FROM kicked WHERE user_id = ? AND device_id = ?", key.userID, key.deviceID)
	b.after(func(m *model) { delete(m.kicked.until, key) })
}

// endedStream is a stream that broke, or that its reader closed.
type endedStream struct {
	user     uint32
	deviceID string
	stream   int64
	at       micros
}

// drop notes the end of streams of this run, each at its own time. The device
// then has its grace. A device that meanwhile has a newer stream is left alone.
type drop struct{ ended []endedStream }

func (op *drop) apply(b *batch) error {
	for _, e := range op.ended {
		a := b.accountByID(e.user)
		if a == nil {
			continue
		}
		d := a.device(e.deviceID)
		if d == nil || d.run != b.run || d.stream != e.stream {
			continue
		}
		b.change(a, func() { b.dropDevice(a, d, e.at, span(b.settings.ReconnectGrace)) })
	}
	return nil
}

func (b *batch) dropDevice(a *account, d *device, at, grace micros) {
	d.run, d.stream, d.since, d.graceUntil = 0, 0, at, at+grace
	if d.platform.Native() {
		d.retainUntil = at + span(b.settings.OfflineRetention)
	}
	b.saveDevice(a, d)
}

// logout forgets one device, or all, at once.
type logout struct {
	userID   string
	deviceID string // "": all
}

func (op *logout) apply(b *batch) error {
	a := b.account(op.userID)
	if a == nil {
		return unknownUser()
	}
	b.change(a, func() {
		if op.deviceID == "" {
			b.expelAll(a, KickedLogout)
		} else if a.device(op.deviceID) != nil {
			b.expel(a, op.deviceID, KickedLogout)
		}
	})
	return nil
}

// kick forgets all devices, and refuses credentials issued up to now: those who
// issue them go by the clocks of their machines, not by the service's.
type kick struct {
	userID string
	at     micros // as the machine's clock is set
}

func (op *kick) apply(b *batch) error {
	a := b.account(op.userID)
	if a == nil {
		return unknownUser()
	}
	b.change(a, func() {
		a.revokedAt = max(b.now, op.at)
		b.expelAll(a, KickedByAdmin)
	})
	return nil
}
