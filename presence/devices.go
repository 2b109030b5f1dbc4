package presence

import (
	"context"
	"slices"
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
	return s.do(ctx, &logout{userID: userID, deviceID: deviceID, at: machineNow()})
}

// Kick ends all sessions of a user, forgets the devices, and refuses
// credentials issued up to now; see Device.IssuedAt.
//
// It returns once the second in which the kick happened is over, so that
// credentials issued after that are accepted even if their times are in whole
// seconds. The end of ctx ends only this waiting, without an error.
//
// Errors: CodeUnknownUser, CodeUnavailable.
func (s *Service) Kick(ctx context.Context, userID string) error {
	op := &kick{userID: userID, at: machineNow()}
	err := s.do(ctx, op)
	if err == nil {
		s.awaitNextSecond(ctx, op.revokedAt)
	}
	return err
}

// connect logs a device in, or brings it back, with a new stream.
type connect struct {
	device   Device
	nameless bool // the device has a random ID, because it came without one
	session  *Session
}

// key returns the kick that concerns the device.
func (op *connect) key() deviceKey {
	if op.nameless {
		return deviceKey{userID: op.device.UserID}
	}
	return deviceKey{op.device.UserID, op.device.ID}
}

func (op *connect) apply(b *batch) error {
	d := &op.device
	k := b.kick(op.key())
	if d.Resume && k.refuses(b.now, b.issued(d.Cursor), d.IssuedAt) {
		return &KickedError{k.kick}
	}
	if revoked(b.revokedAt(d.UserID), d.IssuedAt) {
		return errRevoked()
	}
	if k.deviceID != "" {
		b.pardon(k.deviceKey)
	}
	a, err := b.register(d.UserID)
	if err != nil {
		return err
	}
	b.change(a, func() { b.login(a, op) })
	version := b.version
	b.after(func(m *model) { m.open(m.byName[a.userID], op.session, version) })
	return nil
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
			b.expel(a, rivals[i].id, KickedMultipleDevice, b.now)
		}
	}
}

func (b *batch) forget(a *account, deviceID string) {
	a.devices = slices.DeleteFunc(a.devices, func(d device) bool { return d.id == deviceID })
	b.deleteDevice(a, deviceID)
}

// expel forgets a device and kicks it: its stream ends, if there is one, and it
// is refused if it only reconnects.
func (b *batch) expel(a *account, deviceID string, why KickReason, at micros) {
	b.forget(a, deviceID)
	b.remember(kicked{deviceKey: deviceKey{a.userID, deviceID}, kick: why, at: at})
	b.after(func(m *model) { m.endSessions(m.byName[a.userID], deviceID, why) })
}

// expelAll is expel of all devices, those included that reconnect without an ID.
func (b *batch) expelAll(a *account, why KickReason, at micros) {
	for _, d := range a.devices {
		b.remember(kicked{deviceKey: deviceKey{a.userID, d.id}, kick: why, at: at})
	}
	b.remember(kicked{deviceKey: deviceKey{userID: a.userID}, kick: why, at: at})
	if len(a.devices) > 0 {
		a.devices = nil
		b.exec("DELETE FROM devices WHERE user = ?", a.id)
	}
	b.after(func(m *model) { m.endSessions(m.byName[a.userID], "", why) })
}

// remember stores a kick.
func (b *batch) remember(k kicked) {
	k.version, k.until = b.version, b.now+toMicros(kickMemory)
	b.kicks[k.deviceKey] = k
	b.exec("INSERT OR REPLACE INTO kicks VALUES (?, ?, ?, ?, ?, ?)", k.userID, k.deviceID, string(k.kick), k.at, k.version, k.until)
	b.after(func(m *model) { m.kicked.add(k) })
}

// pardon forgets the kick of a device.
func (b *batch) pardon(key deviceKey) {
	b.kicks[key] = kicked{}
	b.exec("DELETE FROM kicks WHERE user_id = ? AND device_id = ?", key.userID, key.deviceID)
	b.after(func(m *model) { delete(m.kicked.last, key) })
}

// forgetKicks forgets up to sweep of the kicks that are over.
func (b *batch) forgetKicks() {
	over := b.kicksOver(b.now, sweep)
	for _, e := range over {
		if b.kick(e.deviceKey).until == e.until {
			b.exec("DELETE FROM kicks WHERE user_id = ? AND device_id = ?", e.userID, e.deviceID)
		}
	}
	if n := len(over); n > 0 {
		b.after(func(m *model) { m.kicked.forget(n) })
	}
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
		b.change(a, func() { b.dropDevice(a, d, e.at, toMicros(b.settings.ReconnectGrace)) })
	}
	return nil
}

func (b *batch) dropDevice(a *account, d *device, at, grace micros) {
	d.run, d.stream, d.since, d.graceUntil = 0, 0, at, at+grace
	if d.platform.Native() {
		d.retainUntil = at + toMicros(b.settings.OfflineRetention)
	}
	b.saveDevice(a, d)
}

// logout forgets one device, or all, at once.
type logout struct {
	userID   string
	deviceID string // "" means all
	at       micros // as the machine's clock is set
}

func (op *logout) apply(b *batch) error {
	a := b.account(op.userID)
	if a == nil {
		return unknownUser()
	}
	b.change(a, func() {
		if op.deviceID == "" {
			b.expelAll(a, KickedLogout, max(b.now, op.at))
		} else if a.device(op.deviceID) != nil {
			b.expel(a, op.deviceID, KickedLogout, b.now)
		}
	})
	return nil
}

// kick forgets all devices, and refuses credentials issued up to now: those who
// issue them go by the clocks of their machines, not by the service's.
type kick struct {
	userID    string
	at        micros // as the machine's clock is set
	revokedAt micros
}

func (op *kick) apply(b *batch) error {
	a := b.account(op.userID)
	if a == nil {
		return unknownUser()
	}
	op.revokedAt = max(b.now, op.at)
	b.change(a, func() {
		a.revokedAt = max(a.revokedAt, op.revokedAt)
		b.expelAll(a, KickedByAdmin, op.revokedAt)
	})
	return nil
}
