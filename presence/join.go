package presence

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/presence-server/presence/presence/store"
)

// openNode opens a service with a log. If the log has no snapshot yet, the database founds
// the log. Otherwise the database becomes a copy of the state of the log.
func (s *Service) openNode(ctx context.Context, config *Config, schema store.Schema, settings Settings) error {
	state, err := s.awaitLog(ctx, config.Log)
	if err != nil {
		return err
	}
	if state.Snapshot < 0 {
		if err := found(ctx, *config, state.ID); err != nil && !errors.Is(err, ErrFounded) {
			return err
		}
	}
	if err := fetch(ctx, config, &state); err != nil {
		return err
	}
	if s.store, err = store.Open(ctx, config.Path, schema, s.log); err != nil {
		return err
	}
	if err = s.read(ctx); err == nil {
		err = s.store.Start()
	}
	if err != nil {
		return errors.Join(err, s.closeStore())
	}
	return s.startNode(ctx, config, &state, settings)
}

// reportEvery is how often a node that waits for the log says so.
const reportEvery = time.Minute

// awaitLog waits until the log can be reached.
func (s *Service) awaitLog(ctx context.Context, log Log) (LogState, error) {
	var reported time.Time
	for {
		attempt, cancel := context.WithTimeout(ctx, maxWait)
		state, err := log.State(attempt)
		cancel()
		if err == nil {
			for _, warning := range state.Warnings {
				s.log.Warn("the log is less safe than it could be: " + warning)
			}
		}
		if err == nil || errors.Is(err, ErrLogUnusable) {
			return state, err
		}
		if time.Since(reported) >= reportEvery {
			reported = time.Now()
			s.log.Error("waiting for the log, which can't be reached", "error", err)
		}
		select {
		case <-time.After(retryEvery):
		case <-ctx.Done():
			return state, ctx.Err()
		}
	}
}

// found makes the database the first snapshot of the log. It fails with ErrFounded if
// another node was quicker. A database that belongs to a log doesn't found another one: when
// a log is lost, the first node that starts again would go on alone, and may have applied
// less than the others.
func found(ctx context.Context, config Config, id string) error {
	c, err := readCopied(ctx, config.Path)
	if err == nil && c.log != "" {
		err = fmt.Errorf("%w: %s has applied the entry %d of a log, and this one is empty. Correct the address of the log; "+
			"or the command presence cluster accept makes the log begin with this database", errLostLog, config.Path, c.place)
	}
	if err != nil {
		return err
	}
	log := config.Log
	config.Log = nil
	s, err := Open(ctx, config) // alone, to upgrade the file and to apply what is due
	if err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	if err := store.Change(ctx, config.Path, leaveLog); err != nil {
		return err
	}
	if err := saveSnapshot(ctx, config.Path, log); err != nil {
		return err
	}
	return store.Change(ctx, config.Path, fmt.Sprintf("UPDATE node SET log = '%s'", id))
}

// copied is what a database says about its place in a log.
type copied struct {
	users int
	log   string
	place int64
	entry []byte
}

// readCopied reads the database of a service that is not open. One that doesn't exist, or
// is of an earlier schema, is in no log.
func readCopied(ctx context.Context, path string) (c copied, err error) {
	checked, err := Check(ctx, path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && checked.Schema == 0 {
		return c, nil
	}
	if c.users = checked.Users; err != nil || checked.Schema < 5 {
		return c, err
	}
	db, err := store.OpenToRead(ctx, path)
	if err != nil {
		return c, err
	}
	defer db.Close()
	err = db.QueryRowContext(ctx, "SELECT log, place, entry FROM node").Scan(&c.log, &c.place, &c.entry)
	return c, err
}

// fetch makes the database a copy of the state of the log, unless it is one already.
func fetch(ctx context.Context, config *Config, state *LogState) error {
	c, err := readCopied(ctx, config.Path)
	if err != nil {
		return err
	}
	switch {
	case c.log == state.ID && c.place >= state.First-1:
		return verify(ctx, config.Log, config.Path, c.place, c.entry, state)
	case c.log != state.ID && c.log != "":
		return fmt.Errorf("%s belongs to another log: correct the address of the log, or move the file away, and the node copies the state from this log", config.Path)
	case c.log == "" && c.users > 0:
		return fmt.Errorf("%s has %s of its own, and the log has its own users as well: "+
			"move the file away, and the node copies the state from the log; or the command presence cluster accept makes the log go on from this file", config.Path, number(c.users, "user", "users"))
	}
	return load(ctx, config, state)
}

// verify checks that the last entry which a database has applied is in the log.
func verify(ctx context.Context, log Log, path string, place int64, entry []byte, state *LogState) error {
	if place > state.Last {
		return errLostEnd(path, place, state.Last)
	}
	if place < state.First {
		return nil // there was none, or it was removed
	}
	entries, err := log.Next(ctx, place-1)
	if err != nil && !errors.Is(err, ErrLostEnd) {
		return err
	}
	if len(entries) == 0 || !bytes.Equal(entryHash(&entries[0]), entry) {
		return errLostEnd(path, place, place-1)
	}
	return nil
}

// errLostLog is matched by the errors of a node whose log isn't the one that it has applied.
var errLostLog = errors.New("the log is not the one that this node has applied")

func errLostEnd(path string, place, last int64) error {
	return fmt.Errorf("%w: %s has applied the entry %d of the log, and the log has lost it: the log ends, or goes on differently, after the entry %d. "+
		"The command presence cluster accept makes the log go on from this database; or move the file away to go on from the log", errLostLog, path, place, last)
}

// load replaces the database by the newest snapshot.
func load(ctx context.Context, config *Config, state *LogState) error {
	file, err := os.OpenFile(config.Path+".joining", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	place, err := config.Log.LoadSnapshot(ctx, file)
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	if _, err := Check(ctx, file.Name()); err != nil {
		return fmt.Errorf("the snapshot in the log can't be used: %w", err)
	}
	return store.Replace(ctx, config.Path, file.Name(),
		fmt.Sprintf("UPDATE node SET log = '%s', place = %d, nonce = 0, proposed = x''", state.ID, place))
}

// saveSnapshot stores a copy of the database in the log.
func saveSnapshot(ctx context.Context, path string, log Log) error {
	copied := path + ".snapshot"
	if err := os.Remove(copied); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := store.Backup(ctx, path, copied); err != nil {
		return err
	}
	defer os.Remove(copied)
	c, err := readCopied(ctx, copied)
	if err != nil {
		return err
	}
	file, err := os.Open(copied)
	if err != nil {
		return err
	}
	defer file.Close()
	return log.SaveSnapshot(ctx, c.place, file)
}

// startNode starts the node, and waits until it has applied what the log held, and has begun
// its run.
func (s *Service) startNode(ctx context.Context, config *Config, state *LogState, settings Settings) error {
	n := newNode(s, config)
	n.logID = state.ID
	proposed, err := n.restore(ctx)
	if err != nil {
		return errors.Join(err, s.closeStore())
	}
	s.node, s.writer.node = n, n
	s.model.logPlace = n.mark.place
	s.model.settings.takeOwn(settings)
	n.setOwn(settings)
	s.started = s.clock.now()
	n.tasks.Go(n.follow)
	unlessDone := context.AfterFunc(ctx, n.stop)
	if err = n.reach(ctx, Position{Place: state.Last}); err == nil {
		err = n.awaitSilence()
	}
	if err != nil {
		n.stop()
	}
	s.startTasks() // also after an error, because Close ends them
	n.tasks.Go(n.beat)
	n.tasks.Go(n.saveSnapshots)
	if err == nil {
		err = n.join(settings, proposed)
	}
	if !unlessDone() {
		err = ctx.Err()
	}
	if failed := n.setOpened(); failed != nil {
		err = failed
	}
	if err != nil {
		return errors.Join(err, s.Close())
	}
	return nil
}

// restore reads how far the database has applied the log, and returns the settings that the
// node has proposed last.
func (n *node) restore(ctx context.Context) (proposed []byte, err error) {
	m := &mark{}
	row := n.w.store.Reader().QueryRowContext(ctx, "SELECT place, at, entry, digest, nonce, proposed FROM node")
	if err := row.Scan(&m.place, &m.at, &m.entry, &m.digest, &n.before, &proposed); err != nil {
		return nil, err
	}
	n.mark, n.applied = m, placeDigest{m.place, m.digest}
	n.digests[m.place%digestsKept] = n.applied
	_, err = n.w.store.Exec("PRAGMA synchronous = NORMAL") // what is lost is applied again
	return proposed, err
}

// join begins the first run of the node. It proposes the node's settings if they are not
// those that the node proposed last.
func (n *node) join(settings Settings, proposed []byte) error {
	var op operation = n.newBeat()
	if value := n.codec.encodeSettings(settings.deciding()); !bytes.Equal(value, proposed) {
		op = &configure{settings.deciding()}
	}
	return n.w.submit(op)
}

// awaitSilence returns an error if the last run of this database still has beats: then
// another process runs with a copy of the file.
func (n *node) awaitSilence() error {
	run, last := n.runBefore()
	if run == 0 {
		return nil
	}
	select {
	case <-time.After(beatsToDeath * beatEvery):
	case <-n.ctx.Done():
		return n.reason()
	}
	if _, now := n.runBefore(); now.beats > last.beats {
		return fmt.Errorf("another process runs with a copy of %s: a node needs a database of its own; move this one away", n.w.store.Path())
	}
	return nil
}

func (n *node) runBefore() (int64, run) {
	n.svc.mu.RLock()
	defer n.svc.mu.RUnlock()
	return n.svc.model.runOf(n.before)
}
