//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
)

// powerCut copies the files of a server that was killed under load, and does to the
// end of its log what a power cut may do. It checks that each database opens and holds
// no operation by half, and that every client catches up with the server, whatever it
// knew before.
func (a *attacker) powerCut(ctx context.Context, r *report) error {
	random := a.random("power")
	each := a.Scale(60, 16)
	for _, writes := range []int64{100 + random.Int64N(1000), checkpointed} {
		w, err := a.wreck(ctx, r, writes)
		if err != nil {
			return err
		}
		for i := range each {
			if err := w.open(ctx, r, damages[i%len(damages)], random); err != nil {
				return err
			}
		}
		r.try("%d databases after a cut at a random byte of the last %d KiB of a log of %d KiB", each, (w.end-w.safe)>>10, w.end>>10)
		w.v.End()
	}
	r.figure("%d clients came back, each from a random event, and %d with a cursor that was never issued", 2*each*watchingWreck, 2*each)
	return nil
}

// checkpointed is the number of writes after which part of the log has been copied to
// the database.
const checkpointed = 9000

// watchingWreck is the number of clients that follow what happens before the cut.
const watchingWreck = 3

// wreck is a server that was killed, and the clients that followed it.
type wreck struct {
	a         *attacker
	v         *victim
	load      *load
	followers []*follower
	wal       []byte
	safe, end int // offsets in the log: the database may rely on what is before safe
}

func (a *attacker) wreck(ctx context.Context, r *report, writes int64) (*wreck, error) {
	v, err := a.start()
	if err != nil {
		return nil, err
	}
	w := &wreck{a: a, v: v}
	if w.load, err = newLoad(ctx, v, 24); err != nil {
		return nil, err
	}
	for i := range watchingWreck {
		f := newFollower(fmt.Sprint("follower-", i), r)
		w.followers = append(w.followers, f)
		err := errors.Join(f.open(ctx, v), v.Befriend(ctx, f.user, w.load.users()...))
		if err != nil {
			return nil, err
		}
	}
	w.load.untilKilled(ctx, v, writes)
	for _, f := range w.followers {
		<-f.ended
	}
	return w, w.read()
}

// read reads the log, and from the index next to it which part of the log is in force.
// See walformat.html and WalCkptInfo in SQLite's wal.c: pages of frames up to
// nBackfillAttempted may be in the database.
func (w *wreck) read() (err error) {
	if w.wal, err = os.ReadFile(w.v.Database() + "-wal"); err != nil {
		return err
	}
	index, err := os.ReadFile(w.v.Database() + "-shm")
	if err != nil || len(index) < 136 {
		return fmt.Errorf("the index of the log: %d bytes, %w", len(index), err)
	}
	const header, frame = 32, 24 + 1024
	w.end = header + frame*int(binary.LittleEndian.Uint32(index[16:]))
	w.safe = header + frame*int(binary.LittleEndian.Uint32(index[128:]))
	if w.safe > w.end || w.end > len(w.wal) {
		return fmt.Errorf("a log of %d bytes, in force up to %d, in the database up to %d", len(w.wal), w.end, w.safe)
	}
	return nil
}

// damages are the ways in which a power cut may damage the end of a log.
var damages = []string{"cut off", "zeros", "garbage", "without one sector"}

// damaged returns a copy of a log that is damaged from one byte on.
func damaged(wal []byte, at int, how string, random *rand.Rand) []byte {
	wal = bytes.Clone(wal)
	switch how {
	case "cut off":
		return wal[:at]
	case "zeros":
		clear(wal[at:])
	case "garbage":
		for i := range wal[at:] {
			wal[at+i] = byte(random.Uint32())
		}
	case "without one sector":
		clear(wal[at:min(len(wal), at/512*512+512)])
	}
	return wal
}

// open starts a server on what the power cut has left, and checks what is stored.
func (w *wreck) open(ctx context.Context, r *report, how string, random *rand.Rand) error {
	s, err := w.a.Prepare(w.v.Database())
	if err != nil {
		return err
	}
	v := &victim{s}
	defer v.End()
	at := w.safe + random.IntN(w.end-w.safe+1)
	if err := os.WriteFile(v.Database()+"-wal", damaged(w.wal, at, how, random), 0o600); err != nil {
		return err
	}
	what := fmt.Sprintf("a log of %d bytes, %s from byte %d on", len(w.wal), how, at)
	if err := v.Start(); err != nil {
		r.lose("%s: the database does not open: %v", what, err)
		return nil
	}
	if out, err := v.Command("check").CombinedOutput(); err != nil {
		r.lose("%s: %s", what, out)
	}
	if _, err := w.load.halves(ctx, v, r); err != nil {
		return err
	}
	for _, f := range w.followers {
		if err := returns(ctx, v, f.asOf(random.IntN(len(f.heard)+1))); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	stranger := w.followers[0].asOf(0) // this client knows nothing
	stranger.cursor = random.Int64N(1 << 53)
	return returns(ctx, v, stranger)
}

// returns makes a client come back, and checks that it then knows what the server
// knows. When its own status has arrived, everything else has arrived before.
func returns(ctx context.Context, v *victim, f *follower) error {
	defer f.close()
	marker := fmt.Sprint("back from ", f.cursor) // a text that READY can't contain yet
	if err := f.open(ctx, v); err != nil {
		return err
	}
	if answer, err := v.set(ctx, f.token, marker); err != nil || answer.Code != 0 {
		return fmt.Errorf("setting a status is answered %+v, %w", answer, err)
	}
	err := until(ctx, func() (bool, error) {
		known, _ := f.known()
		return known[f.user].CustomStatus == marker, nil
	})
	if err != nil {
		f.r.lose("%s does not receive its own status: %v", f.user, err)
	}
	var list struct{ FriendIDList []string }
	if err := v.Admin(ctx, "friends?userID="+f.user, nil, &list); err != nil {
		return err
	}
	want, err := v.Statuses(ctx, list.FriendIDList)
	got, _ := f.known()
	for user, status := range want {
		if got[user] != status {
			f.r.lose("%s came back and knows %+v, but the server has %+v", f.user, got[user], status)
		}
	}
	return err
}
