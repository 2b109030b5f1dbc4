package presence

import (
	"context"
	"slices"
)

// Logout logs a device out: it no longer counts, and its session ends with
// KickedLogout. An empty deviceID logs out all devices of the user. Logging out a
// device that is not logged in does nothing.
//
// Errors: CodeUnknownUser, CodeMalformed for deviceID, CodeUnavailable.
func (s *Service) Logout(ctx context.Context, userID, deviceID string) error {
	if deviceID != "" {
		if err := checkID(deviceID); err != nil {
			return err
		}
	}
	return s.writer.do(ctx, &logout{UserID: userID, DeviceID: deviceID, At: machineNow()})
}

// Kick logs out all devices of a user, ends their sessions with KickedByAdmin, and
// revokes all credentials issued until now; see Device.IssuedAt.
//
// Kick returns once the second in which the kick happened is over, so that
// credentials issued later are accepted even if their times are in whole seconds.
// Cancelling ctx ends only this wait, without an error.
//
// Errors: CodeUnknownUser, CodeUnavailable.
func (s *Service) Kick(ctx context.Context, userID string) error {
	op := &kick{UserID: userID, At: machineNow()}
	err := s.writer.do(ctx, op)
	if err == nil {
		s.awaitNextSecond(ctx, op.revokedAt)
	}
	return err
}

// connect logs a device in, or connects one that is logged in, with a new stream.
type connect struct {
	UserID   string   `cbor:"1,keyasint,omitempty"`
	DeviceID string   `cbor:"2,keyasint,omitempty"`
	Nameless bool     `cbor:"3,keyasint,omitempty"` // the device came without an ID, and was given a random one
	Platform Platform `cbor:"4,keyasint,omitempty"`
	Stream   int64    `cbor:"5,keyasint,omitempty"` // the number of the stream in the run
	Resume   bool     `cbor:"6,keyasint,omitempty"`
	Cursor   int64    `cbor:"7,keyasint,omitempty"`
	IssuedAt micros   `cbor:"8,keyasint,omitempty"` // zero means that the credentials are never revoked
	version  int64    // the result: that of the login
}

// newConnect returns the operation for a device and a stream.
func newConnect(d Device, nameless bool, stream int64) *connect {
	return &connect{
		UserID: d.UserID, DeviceID: d.ID, Nameless: nameless, Platform: d.Platform,
		Stream: stream, Resume: d.Resume, Cursor: d.Cursor, IssuedAt: issued(d.IssuedAt),
	}
}

// key returns the key of the kick that applies to the device.
func (op *connect) key() deviceKey {
	if op.Nameless {
		return deviceKey{userID: op.UserID}
	}
	return deviceKey{op.UserID, op.DeviceID}
}

func (op *connect) apply(b *batch) error {
	k := b.kick(op.key())
	if op.Resume && k.refuses(b.now, b.issued(op.Cursor), op.IssuedAt) {
		return &KickedError{k.kick}
	}
	if revoked(b.revokedAt(op.UserID), op.IssuedAt) {
		return errRevoked()
	}
	if k.deviceID != "" {
		b.pardon(k.deviceKey)
	}
	a, err := b.register(op.UserID)
	if err != nil {
		return err
	}
	b.change(a, func(a *account) { b.login(a, op) })
	op.version = b.version
	return nil
}

// login stores the stream in the device's row, and applies the limit of devices.
func (b *batch) login(a *account, op *connect) {
	d := a.device(op.DeviceID)
	if d == nil || d.hidden { // in public, a hidden device is logged out, and logs in anew
		a.devices = slices.DeleteFunc(a.devices, func(d device) bool { return d.id == op.DeviceID })
		a.devices = append(a.devices, device{id: op.DeviceID, loginAt: b.now})
		d = &a.devices[len(a.devices)-1]
	}
	d.idle = d.idle && d.stateAt(b.now) >= inGrace
	d.platform = op.Platform
	d.run, d.stream, d.since = b.run, op.Stream, b.read
	d.graceUntil, d.retainUntil = 0, 0
	b.saveDevice(a, d)
	b.makeRoom(a, *d)
}

// makeRoom removes devices of the newcomer's platform that are over the limit: hidden
// ones first, because for others they take no room, then disconnected ones, then those
// that logged in first. A connected device is kicked. A disconnected one is only
// forgotten, so that it may log in again.
func (b *batch) makeRoom(a *account, newcomer device) {
	var rivals []device
	for _, d := range a.devices {
		if d.platform == newcomer.platform && d.id != newcomer.id {
			rivals = append(rivals, d)
		}
	}
	rank := func(d device) int {
		switch {
		case d.hidden:
			return 0
		case !d.isConnected():
			return 1
		}
		return 2
	}
	slices.SortStableFunc(rivals, func(x, y device) int { return rank(x) - rank(y) })
	for i := range len(rivals) + 1 - b.settings.DevicesPerPlatform {
		if !rivals[i].isConnected() {
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

// expel kicks a device and forgets it: its session ends, if it has one, and Connect
// refuses it for a minute if it only reconnects.
func (b *batch) expel(a *account, deviceID string, why KickReason, at micros) {
	b.forget(a, deviceID)
	b.remember(kicked{deviceKey: deviceKey{a.userID, deviceID}, kick: why, at: at})
	b.after(func(m *model) { m.endSessions(m.byName[a.userID], deviceID, why) })
}

// expelAll is expel for all devices of a user, including those that reconnect
// without an ID.
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

// forgetKicks forgets up to sweep kicks whose time is over.
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

// endedStream is a stream that ended because the connection broke or the reader
// closed it.
type endedStream struct {
	User     uint32 `cbor:"1,keyasint,omitempty"`
	DeviceID string `cbor:"2,keyasint,omitempty"`
	Stream   int64  `cbor:"3,keyasint,omitempty"`
	Age      micros `cbor:"4,keyasint,omitempty"` // the time that has passed since
	at       micros // when it ended
}

// drop records that streams of a run ended, each at its own time, which begins the grace
// of their devices. A device that has a newer stream is not changed.
type drop struct {
	Ended []endedStream `cbor:"1,keyasint,omitempty"`
}

func (op *drop) apply(b *batch) error {
	for _, e := range op.Ended {
		a := b.peekByID(e.User)
		if a == nil {
			continue
		}
		b.change(a, func(a *account) {
			if d := a.device(e.DeviceID); d != nil && d.isConnected() && d.run == b.run && d.stream == e.Stream {
				b.dropDevice(a, d, max(b.read-e.Age, d.since), toMicros(b.settings.ReconnectGrace))
			}
		})
	}
	return nil
}

func (b *batch) dropDevice(a *account, d *device, at, grace micros) {
	d.disconnect(at, grace, toMicros(b.settings.OfflineRetention))
	b.saveDevice(a, d)
}

// logout logs out one device of a user, or all of them.
type logout struct {
	UserID   string `cbor:"1,keyasint,omitempty"`
	DeviceID string `cbor:"2,keyasint,omitempty"` // "" means all
	At       micros `cbor:"3,keyasint,omitempty"` // the time by the machine's clock
}

func (op *logout) apply(b *batch) error {
	a := b.peek(op.UserID)
	if a == nil {
		return unknownUser()
	}
	b.change(a, func(a *account) {
		if op.DeviceID == "" {
			b.expelAll(a, KickedLogout, max(b.now, op.At))
		} else if a.device(op.DeviceID) != nil {
			b.expel(a, op.DeviceID, KickedLogout, b.now)
		}
	})
	return nil
}

// kick logs out all devices and revokes the credentials issued until now. Their
// issuers date them by the clocks of their machines, not by the service's, so the
// later of the two clocks counts.
type kick struct {
	UserID    string `cbor:"1,keyasint,omitempty"`
	At        micros `cbor:"2,keyasint,omitempty"` // the time by the machine's clock
	revokedAt micros
}

func (op *kick) apply(b *batch) error {
	a := b.peek(op.UserID)
	if a == nil {
		return unknownUser()
	}
	op.revokedAt = max(b.now, op.At)
	b.change(a, func(a *account) {
		a.revokedAt = max(a.revokedAt, op.revokedAt)
		b.expelAll(a, KickedByAdmin, op.revokedAt)
	})
	return nil
}
