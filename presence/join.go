package presence

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/presence-server/presence/presence/store"
)

// catchUp applies what the log held when Open began.
func (n *node) catchUp(ctx context.Context, deciding Settings) error {
	s := n.svc
	if err := n.restore(ctx); err != nil {
		return err
	}
	if err := s.store.Start(); err != nil {
		return err
	}
	n.settings.Store(&deciding)
	s.clock.follow(n.w.lastBatch, n.w.lastBatch) // until an entry arrives, the time is the log's as well
	if err := n.try(n.verify); err != nil {
		return err
	}
	n.tasks.Go(n.follow)
	if err := n.reach(ctx, Position{Place: n.state.Last}); err != nil {
		return err
	}
	return n.awaitSilence()
}

// restore reads how far the database has applied the log.
func (n *node) restore(ctx context.Context) error {
	n.w, n.path = n.svc.writer, n.svc.store.Path()
	m := &n.w.model.applied
	row := n.svc.store.Reader().QueryRowContext(ctx, "SELECT place, at, entry, digest, nonce, proposed FROM node")
	if err := row.Scan(&m.place, &m.at, &m.entry, &m.digest, &n.before, &m.proposed); err != nil {
		return err
	}
	n.digests[m.place%digestsKept] = m.placeDigest
	_, err := n.svc.store.Exec("PRAGMA synchronous = NORMAL") // what is lost is applied again
	return err
}

// join begins the run of the node, with settings that differ from what it proposed last.
func (n *node) join() error {
	n.tasks.Go(n.beat)
	n.tasks.Go(n.moveAway)
	n.tasks.Go(n.saveSnapshots)
	var first operation = n.svc.newBeat()
	if deciding := *n.settings.Load(); !bytes.Equal(n.codec.encodeSettings(deciding), n.svc.applied().proposed) {
		first = &configure{deciding}
	}
	err := n.w.submit(first)
	n.opened.Store(true)
	return cmp.Or(n.svc.StopCause(), err)
}

// fetch makes the database a copy of the state of the log, unless it is one already. If the
// log has no snapshot yet, the database founds the log.
//
// A database that belongs to a log doesn't found another one: when a log is lost, the first
// node that starts again would go on alone, and may have applied less than the others.
func (n *node) fetch(ctx context.Context, config Config) error {
	state := &n.state
	err := n.try(func(ctx context.Context) (err error) { *state, err = n.log.State(ctx); return err })
	if err != nil {
		return err
	}
	for _, warning := range state.Warnings {
		n.svc.log.Warn("the log is less safe than it could be: " + warning)
	}
	c, err := Check(ctx, n.path)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	case c.log == state.ID && c.place >= state.First-1:
		return nil
	case c.log == state.ID:
		return n.load(ctx)
	case c.log != "" && state.Snapshot < 0:
		return fmt.Errorf("%s has applied the entry %d of a log, and this one is empty. Correct the address of the log; "+
			"or the command presence cluster accept makes the log begin with this database", n.path, c.place)
	case c.log != "":
		return fmt.Errorf("%s belongs to another log: correct the address of the log, or move the file away, and the node copies the state from this log", n.path)
	case state.Snapshot < 0:
		if err := n.found(ctx, config); !errors.Is(err, ErrFounded) {
			return err
		}
	}
	if c.Users > 0 {
		return fmt.Errorf("%s has %s of its own, and the log has begun with another database. To keep the users of the log, "+
			"move the file away, and the node copies them; to keep those of the file, use the command presence cluster accept",
			n.path, number(c.Users, "user", "users"))
	}
	return n.load(ctx)
}

// found makes the database the first snapshot of the log. It returns ErrFounded if another
// node was quicker.
func (n *node) found(ctx context.Context, config Config) error {
	config.Log = nil
	s, err := Open(ctx, config) // alone, to upgrade the file and to apply what is due
	if err == nil {
		err = s.Close()
	}
	if err == nil {
		err = n.saveSnapshot(ctx)
	}
	if err == nil {
		err = store.Change(context.WithoutCancel(ctx), n.path, fmt.Sprintf("UPDATE node SET log = '%s'", n.state.ID))
	}
	return err
}

// load replaces the database by the newest snapshot.
func (n *node) load(ctx context.Context) error {
	file, err := os.OpenFile(n.path+".joining", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	place, err := n.log.LoadSnapshot(ctx, file)
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	if _, err := Check(ctx, file.Name()); err != nil {
		return fmt.Errorf("the snapshot in the log can't be used: %w", err)
	}
	return store.Replace(ctx, n.path, file.Name(),
		fmt.Sprintf("UPDATE node SET log = '%s', place = %d, nonce = 0, proposed = x''", n.state.ID, place))
}

// awaitSilence returns an error if the last run of this database still has beats: then
// another process runs with a copy of the file.
func (n *node) awaitSilence() error {
	run, last := n.svc.runOf(n.before)
	silence := last.beats[0] + toMicros(longestGap) - n.svc.clock.now()
	if run == 0 || silence <= 0 {
		return nil
	}
	if !n.pause(time.Duration(silence) * time.Microsecond) {
		return context.Cause(n.ctx)
	}
	if _, now := n.svc.runOf(n.before); now.count > last.count {
		return fmt.Errorf("another process runs with a copy of %s: a node needs a database of its own; move this one away", n.path)
	}
	return nil
}

// A snapshot is due after an hour, or when the log has grown by as much as a snapshot takes,
// but at least by 64 MiB.
const (
	snapshotEvery = time.Hour
	snapshotBytes = 64 << 20
)

// saveSnapshots saves a snapshot in the log whenever one is due while the node leads. If
// that fails, it tries again a minute later.
func (n *node) saveSnapshots() {
	last, size := time.Now(), int64(0)
	for n.pause(time.Minute) {
		grown := n.grown.Load()
		due := time.Since(last) >= snapshotEvery || grown >= max(snapshotBytes, size)
		if !due || grown == 0 || !n.leads() {
			continue
		}
		if err := n.saveSnapshot(n.ctx); err == nil {
			last = time.Now()
			size, _, _ = n.w.store.Sizes()
			n.grown.Add(-grown)
		} else if n.ctx.Err() == nil {
			n.svc.log.Error("snapshot can't be saved in the log", "error", err)
		}
	}
}

// saveSnapshot saves a copy of the database in the log.
func (n *node) saveSnapshot(ctx context.Context) error {
	return store.WithCopy(ctx, n.path, func(copied *os.File) error {
		c, err := Check(ctx, copied.Name())
		if err != nil {
			return err
		}
		return n.log.SaveSnapshot(ctx, c.place, copied)
	})
}
