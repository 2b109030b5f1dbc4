package presence

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"
)

// burst makes several moves that share one batch. Each operation sees what the
// operations before it have done, although nothing is committed yet.
func (k *walk) burst(user, other string) {
	first := k.rand.IntN(2) == 0
	now := k.now()
	var ops []operation
	var hold []func(err error)
	do := func(name string, op operation, then func(err error)) {
		k.steps = append(k.steps, "in one batch: "+name)
		ops, hold = append(ops, op), append(hold, then)
	}
	opened := make(map[string]*viewer) // by device; sessions that the burst has ended are nil
	for range 2 + k.rand.IntN(4) {
		if k.rand.IntN(4) == 0 {
			user, other = other, user
		}
		switch n := k.rand.IntN(14); {
		case n < 4:
			k.connectInBurst(do, opened, user, now)
		case n < 6:
			k.expelInBurst(do, opened, user, k.anyDevice(user).ID, now)
		case n < 7:
			k.expelInBurst(do, opened, user, "", now)
		case n < 8 && first && k.rand.IntN(2) == 0:
			k.deleteInBurst(do, opened, user, now)
		case n < 8 && first:
			k.renameInBurst(do, opened, user, other, now)
		case n < 9:
			do("import "+user, &importUsers{UserIDs: []string{user}}, k.must)
			k.ref.register(user)
		case n < 10:
			k.subscribeInBurst(do, user, other)
		case n < 11:
			k.setIdleInBurst(do, user, k.anyDevice(user).ID)
		case n < 12:
			k.setVisibilityInBurst(do, user, now)
		default:
			k.sayInBurst(do, user, other, now)
		}
	}
	for i, err := range k.together(ops...) {
		hold[i](err)
	}
	k.settleBurst(opened)
}

type doInBurst = func(name string, op operation, then func(error))

func (k *walk) connectInBurst(do doInBurst, opened map[string]*viewer, user string, now time.Time) {
	d := k.anyDevice(user)
	d.Resume = k.rand.IntN(2) == 0
	key := user + "/" + d.ID
	op, s := k.login(d)
	if d.Resume && k.ref.refuses(user, d.ID, now) {
		do("reconnect "+key+", refused", op, func(err error) {
			if !errors.Is(err, ErrKicked) {
				k.t.Errorf("a kicked device that only reconnects gets %v", err)
			}
		})
		return
	}
	do(fmt.Sprint("connect ", key, " resume ", d.Resume), op, k.must)
	k.ref.connect(user, d.ID, d.Platform.Native(), now)
	opened[key] = &viewer{s, make(map[string]Status)}
}

func (k *walk) expelInBurst(do doInBurst, opened map[string]*viewer, user, device string, now time.Time) {
	name := fmt.Sprintf("logout %s %q", user, device)
	if k.ref.users[user] == nil {
		do(name, &logout{UserID: user, DeviceID: device}, func(err error) { wantCode(k.t, err, CodeUnknownUser, "there must be no such user") })
		return
	}
	do(name, &logout{UserID: user, DeviceID: device}, k.must)
	k.ref.expel(user, device, now)
	k.endInBurst(opened, user, device)
}

func (k *walk) deleteInBurst(do doInBurst, opened map[string]*viewer, user string, now time.Time) {
	op := &deleteUsers{UserIDs: []string{user}}
	do("delete "+user, op, k.must)
	if k.ref.users[user] == nil {
		return
	}
	k.ref.delete(user, now)
	k.loseInBurst(opened, user)
}

func (k *walk) renameInBurst(do doInBurst, opened map[string]*viewer, user, to string, now time.Time) {
	op := &renameUser{UserID: user, To: to}
	name := "rename " + user + " to " + to
	switch {
	case k.ref.users[user] == nil:
		do(name, op, func(err error) { wantCode(k.t, err, CodeUnknownUser, "renaming nobody") })
		return
	case k.ref.users[to] != nil:
		do(name, op, func(err error) { wantCode(k.t, err, CodeMalformed, "the new ID is taken") })
		return
	}
	do(name, op, k.must)
	k.ref.rename(user, to, now)
	k.loseInBurst(opened, user)
}

func (k *walk) loseInBurst(opened map[string]*viewer, user string) {
	k.endInBurst(opened, user, "")
	delete(k.last, user)
	delete(k.public, user)
	for key, v := range k.left {
		if v.device.UserID == user {
			delete(k.left, key)
		}
	}
}

// endInBurst records that streams are ended, whether they were open before or were
// opened by the same burst.
func (k *walk) endInBurst(opened map[string]*viewer, user, device string) {
	for _, d := range []string{"tab", "phone", "pc"} {
		if device == "" || device == d {
			opened[user+"/"+d] = nil
		}
	}
}

func (k *walk) subscribeInBurst(do doInBurst, user, target string) {
	op := &subscribe{UserID: user, Targets: []string{target}}
	switch {
	case !k.ref.settings.UserStatus:
		do("subscribe", op, func(err error) { wantCode(k.t, err, CodeSwitchedOff, "subscribing needs the switch") })
		return
	case k.ref.users[user] == nil:
		do("subscribe", op, func(err error) { wantCode(k.t, err, CodeUnknownUser, "nobody subscribes") })
		return
	}
	evicted := k.ref.subscribe(user, target)
	do("subscribe "+user+" to "+target, op, func(err error) {
		k.must(err)
		wantList(k.t, op.result.Evicted, evicted, "the earliest are evicted")
		for _, v := range k.streams {
			for _, s := range op.result.Statuses {
				if v.device.UserID == user { // the clients of a user share the result
					v.fold(s)
				}
			}
		}
	})
}

func (k *walk) setIdleInBurst(do doInBurst, user, device string) {
	op, name := &setIdle{user, device, k.rand.IntN(3) > 0}, "idle "+user+"/"+device
	switch {
	case k.ref.users[user] == nil:
		do(name, op, func(err error) { wantCode(k.t, err, CodeUnknownUser, "nobody is idle") })
	case !k.ref.setIdle(user, device, op.Idle):
		do(name, op, func(err error) { wantCode(k.t, err, CodeMalformed, "only a connected device is idle") })
	default:
		do(name, op, k.must)
	}
}

func (k *walk) setVisibilityInBurst(do doInBurst, user string, now time.Time) {
	op := &setVisibility{user, k.rand.IntN(2) == 0}
	if k.ref.users[user] == nil {
		do("visibility", op, func(err error) { wantCode(k.t, err, CodeUnknownUser, "nobody becomes invisible") })
		return
	}
	do(fmt.Sprintf("visibility %s %v", user, op.Invisible), op, k.must)
	k.ref.setVisibility(user, op.Invisible, now)
}

// sayInBurst sets an entry that doesn't expire, or one of a source for an hour.
func (k *walk) sayInBurst(do doInBurst, user, text string, now time.Time) {
	e := Entry{Source: []string{"", "call", "calendar"}[k.rand.IntN(3)], CustomStatus: text, Availability: Availability(k.rand.IntN(4))}
	set := refEntry{text: text, availability: e.Availability, setAt: now, place: len(k.steps) + 1}
	if e.Source != "" {
		e.ExpiresAt, set.priority = now.UTC().Add(time.Hour).Truncate(time.Second), 10
		set.expireAt = e.ExpiresAt
	}
	op, err := newSetEntry(user, &e)
	k.must(err)
	name := fmt.Sprintf("say %s %q %s", user, e.Source, text)
	switch {
	case k.ref.users[user] == nil:
		do(name, op, func(err error) { wantCode(k.t, err, CodeUnknownUser, "nobody says something") })
	case !k.ref.room(user, e.Source):
		do(name, op, func(err error) { wantCode(k.t, err, CodeLimit, "one more entry than a user may have") })
	default:
		do(name, op, k.must)
		k.ref.set(user, e.Source, set)
	}
}

// settleBurst closes what the burst has opened and ended, and goes on with the
// rest as clients that come back with a snapshot.
func (k *walk) settleBurst(opened map[string]*viewer) {
	for _, key := range slices.Sorted(maps.Keys(opened)) {
		v := opened[key]
		if older := k.streams[key]; older != nil {
			older.drainToEnd()
			delete(k.streams, key)
		}
		delete(k.left, key)
		if v == nil {
			continue
		}
		k.must(k.load(k.t.Context(), v.Session))
		if v.ready = v.next(); v.ready.Type != EventReady {
			k.t.Errorf("%s gets %s, want READY", key, v.ready.Type)
		}
		if err := v.failedEarly(); err != nil {
			k.t.Errorf("%s should be open, but ends with %v", key, err)
		}
		d := v.device
		v.Close()
		k.ref.drop(d.UserID, d.ID, k.now())
		d.Resume, d.Cursor = true, 0
		k.attach(d, make(map[string]Status))
	}
}

// drainToEnd reads a stream that was ended.
func (v *viewer) drainToEnd() {
	v.w.t.Helper()
	for {
		_, err := v.Next(v.w.t.Context())
		if err == io.EOF {
			return
		}
		v.w.must(err)
	}
}

// failedEarly returns the reason why a stream has ended that should be open.
func (v *viewer) failedEarly() error {
	v.w.mu.RLock()
	defer v.w.mu.RUnlock()
	if v.ending.kind != notEnded {
		return fmt.Errorf("%v", v.ending)
	}
	return nil
}
