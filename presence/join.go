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
	n.w, n.path = s.writer, s.store.Path()
	n.digests[s.model.applied.place%digestsKept] = s.model.applied.placeDigest
	if _, err := s.store.Exec("PRAGMA synchronous = NORMAL"); err != nil { // what is lost is applied again
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
	n.silence = time.AfterFunc(awayAfter, n.moveAway)
	n.tasks.Go(n.follow)
	if err := n.reach(ctx, Position{Place: n.state.Last}); err != nil {
		return err
	}
	return n.awaitSilence()
}

// join begins the run of the node, with settings that differ from what it proposed last.
func (n *node) join() error {
	n.tasks.Go(n.beat)
	n.tasks.Go(n.saveSnapshots)
	var first operation = &beat{}
	if deciding := *n.settings.Load(); !bytes.Equal(n.svc.codec.marshal(deciding), n.svc.applied().proposed) {
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
	err := n.try(func(ctx context.Context) (err error) { n.state, err = n.log.State(ctx); return err })
	if err != nil {
		return err
	}
	for _, warning := range n.state.Warnings {
		n.svc.log.Warn("the log is less safe than it could be: " + warning)
	}
	c, err := Check(ctx, n.path)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	case c.log == n.state.ID && c.place >= n.state.First-1:
		return nil
	case c.log == n.state.ID:
		return n.load(ctx)
	case c.log != "" && n.state.Snapshot < 0:
		return fmt.Errorf("%s has applied the entry %d of a log, and this one is empty. Correct the address of the log; "+
			"or the command presence cluster accept makes the log begin with this database", n.path, c.place)
	case c.log != "":
		return fmt.Errorf("%s belongs to another log: correct the address of the log, or move the file away, and the node copies the state from this log", n.path)
	case n.state.Snapshot < 0:
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
	return store.Replace(ctx, n.path, func(file *os.File) (prepare string, err error) {
		place, err := n.log.LoadSnapshot(ctx, file)
		if err != nil {
			return "", err
		}
		if _, err := Check(ctx, file.Name()); err != nil {
			return "", fmt.Errorf("the snapshot in the log can't be used: %w", err)
		}
		return fmt.Sprintf("UPDATE node SET log = '%s', place = %d, nonce = 0, proposed = x''", n.state.ID, place), nil
	})
}

// awaitSilence returns an error if the last run of this database still has beats: then
// another process runs with a copy of the file.
func (n *node) awaitSilence() error {
	before := n.svc.applied().nonce
	_, last := n.svc.runOf(before)
	end := time.Now().Add(time.Duration(last.beats[0]+toMicros(longestGap)-n.svc.clock.now()) * time.Microsecond)
	for {
		switch _, now := n.svc.runOf(before); {
		case now.count > last.count:
			return fmt.Errorf("another process runs with a copy of %s: a node needs a database of its own; move this one away", n.path)
		case time.Now().After(end):
			return nil
		case !n.pause(time.After(retryEvery)):
			return context.Cause(n.ctx)
		}
	}
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
	for n.pause(time.After(time.Minute)) {
		grown := n.grown.Load()
		if grown == 0 || time.Since(last) < snapshotEvery && grown < max(snapshotBytes, size) || !n.leads() {
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
