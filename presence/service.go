package presence

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/presence-server/presence/presence/store"
)

// Service keeps the status of users in one database. Its methods may be called
// from any goroutine.
//
// A method that changes something returns once the change is durable and the
// sessions are notified. Its ctx is checked before the change is queued; after
// that, cancelling ctx has no effect. Every such method may return, besides the
// errors that it lists, the error of ctx, and an [*Error] with CodeUnavailable:
// [ErrClosed], [ErrOverloaded], or the reason why the database can't be written.
type Service struct {
	log      *slog.Logger
	store    *store.DB
	watching *sql.Stmt // reads the users that a user watches; see readWatches
	clock    *clock
	janitor  *janitor
	writer   *writer
	meters   meters
	machine  machine
	codec    *codec
	node     *node // nil without a log

	ctx  context.Context         // done when the service closes, or its node can't go on
	stop context.CancelCauseFunc // with the error that callers get from then on

	mu    sync.RWMutex
	model model

	started micros       // when this run began
	streams atomic.Int64 // counts the sessions of this run
	turns   sync.Pool    // buffers of rounds
}

// Open opens a service on its database file, which it creates if it doesn't exist.
// The service must be closed. Open applies every deadline that passed while no
// service ran. Users who were ONLINE when the last run ended stay so for
// Settings.RestartGrace, in which their devices may reconnect.
//
// Open backs up a database of an earlier release, and then upgrades it to the
// schema of this release, completely or not at all.
//
// Open fails if
//
//   - a setting is out of range; see [Settings.Validate].
//   - the file can't be opened or written, or belongs to another program.
//   - another service uses the file.
//   - it belongs to a log, and Config.Log is nil; see [LeaveLog].
//   - its schema is that of a newer release.
//   - it is damaged in a way that [Check] reports.
//   - it has to be upgraded, and the backup can't be written.
//   - the machine's clock is later than the year 2100.
//   - ctx is done before the service is open, which may take seconds with a million
//     users, or longer if the database is upgraded. Later, ctx has no effect.
func Open(ctx context.Context, config Config) (*Service, error) {
	settings := DefaultSettings()
	if config.Settings != nil {
		settings = *config.Settings
	}
	if err := settings.Validate(); err != nil {
		return nil, err
	}
	s := &Service{
		log:     config.Logger,
		machine: machine{suspended, onClockSet},
		codec:   cmp.Or(config.codec, newCodec()),
		meters:  meters{opened: time.Now().Add(-1)},
	}
	s.ctx, s.stop = context.WithCancelCause(context.Background())
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if config.machine != nil {
		s.machine = *config.machine
	} else if simulated(time.Now()) {
		s.machine = simulatedMachine()
	}
	detach := context.AfterFunc(ctx, func() { s.stop(ctx.Err()) })
	err, end := s.open(ctx, &config, settings), s.release
	if err == nil {
		err, end = s.startTasks(), s.Close
	}
	if !detach() || err != nil {
		err = orDone(ctx, cmp.Or(s.StopCause(), err))
		s.stop(err)
		return nil, errors.Join(err, end())
	}
	return s, nil
}

// open opens the database, and does all that Open does before the goroutines start.
func (s *Service) open(ctx context.Context, config *Config, settings Settings) error {
	schema, err := store.ReadSchema(migrations)
	if err != nil {
		return err
	}
	if config.Log != nil {
		s.node = newNode(s, config)
		if err := s.node.fetch(ctx, *config); err != nil {
			return err
		}
	}
	if s.store, err = store.Open(ctx, config.Path, schema, s.log); err != nil {
		return err
	}
	if err := s.read(ctx); err != nil {
		return store.Diagnose(s.store.Path(), err)
	}
	s.model.settings.takeOwn(settings)
	if s.node != nil {
		return s.node.catchUp(ctx, settings.deciding())
	}
	return store.Diagnose(s.store.Path(), s.beginRun(ctx, settings))
}

// orDone returns the error of ctx, if that is why something failed with err: SQLite then
// only reports that it was interrupted.
func orDone(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// checkAlone returns an error if the database belongs to a log. Without the log, it would
// silently become another one than those of the other nodes.
func (s *Service) checkAlone() error {
	if s.model.applied.log == "" {
		return nil
	}
	return fmt.Errorf("%s is that of one of several nodes, and no log is configured: set cluster.log, "+
		"or the command presence cluster leave makes it that of a single server", s.store.Path())
}

// startTasks starts the goroutines, which Close ends. It returns an error if a node can't
// begin its run.
func (s *Service) startTasks() error {
	s.writer.start()
	go s.janitor.run()
	if s.node != nil {
		return s.node.join()
	}
	return nil
}

// read reads the state into the model, before any other goroutine has s.
func (s *Service) read(ctx context.Context) error {
	lastBatch, err := s.restoreChecked(ctx)
	if err != nil {
		return err
	}
	s.clock = newClock(lastBatch, s.machine.suspended)
	if now := s.clock.now(); now > lastClock {
		return fmt.Errorf("the machine's clock says %s, which is later than the year 2100: set it", toTime(now).Format(time.DateOnly))
	}
	s.janitor = newJanitor(s)
	s.writer = newWriter(s, lastBatch)
	s.watching, err = s.store.Reader().PrepareContext(ctx, selectWatches)
	return err
}

// beginRun ends the last run, begins the next, and applies the deadlines that passed
// meanwhile.
func (s *Service) beginRun(ctx context.Context, settings Settings) error {
	if err := cmp.Or(s.checkAlone(), ctx.Err()); err != nil {
		return err
	}
	// The jump comes first: a version issued before it could equal one that a
	// client holds from a history that was lost when a backup was restored.
	if err := s.writer.doFirst(&beginRun{}, newDeletionKey(), &configure{settings.deciding()}, &endRuns{}); err != nil {
		return err
	}
	s.started = s.writer.lastBatch
	if err := s.store.Start(); err != nil {
		return err
	}
	for op := s.proposeSettling(); op != nil; op = s.proposeSettling() {
		if err := s.writer.doFirst(op); err != nil {
			return err
		}
	}
	return nil
}

// Expire makes the credentials expire now of all sessions whose Device.Key is not empty
// and no longer valid. valid must not call methods of the service.
func (s *Service) Expire(valid func(key string) bool) {
	now := time.Now()
	s.update(func(m *model) {
		for session := range m.sessions {
			if session.key != "" && !valid(session.key) {
				session.expires = now
				m.woken = append(m.woken, &session.waker)
			}
		}
	})
}

// Drain ends all sessions and feeds with [ErrClosed], and makes Connect and Follow return
// it. It is the first step of a shutdown; calls that change something still succeed. The
// devices count as connected until the next run, which gives them
// Settings.RestartGrace, so a restart changes no status by itself.
func (s *Service) Drain() {
	s.update(func(m *model) {
		m.draining = true
		m.endAll(true)
	})
}

// endAll ends all sessions, and all feeds or those that are not stored. The streams of the
// sessions count as ended, unless the service drains.
func (m *model) endAll(stored bool) {
	for _, u := range m.byName {
		for len(u.sessions()) > 0 {
			s := u.live.sessions[0]
			if !m.draining {
				m.ended = append(m.ended, s.endedStream())
			}
			m.end(s, ending{kind: endClosed})
		}
	}
	for _, f := range slices.Clone(m.feeds) {
		if stored || !f.isStored() {
			m.endFeed(f, endClosed)
		}
	}
}

// Close drains the service, waits for the operations that were queued, and closes
// the database. Later calls that write return [ErrClosed]. Closing a service twice
// does nothing the second time, and returns nil.
func (s *Service) Close() error {
	s.Drain()
	if s.node != nil {
		s.node.leaving.Store(true)
		s.writer.send(&endRun{}, nil, false) // so that the others needn't wait for beats; for at most maxWait
	}
	s.stop(ErrClosed)
	if !s.writer.close() {
		return nil
	}
	s.janitor.close()
	return s.release()
}

// release waits for the goroutines of the node, and closes the database.
func (s *Service) release() error {
	if s.node != nil {
		s.node.tasks.Wait()
	}
	var err error
	if s.watching != nil {
		err = s.watching.Close()
	}
	if s.store != nil {
		err = errors.Join(err, s.store.Close())
	}
	return err
}

// Stopped returns a channel that is closed when the service can't go on because of its log,
// or closes; see StopCause.
func (s *Service) Stopped() <-chan struct{} { return s.ctx.Done() }

// StopCause returns why the service can't go on, with what to do about it, or nil.
func (s *Service) StopCause() error {
	err := context.Cause(s.ctx)
	if reason, ok := errors.AsType[*Error](err); ok {
		return reason.Cause
	}
	return err
}

func (s *Service) isDraining() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.model.draining
}

// Settings returns the settings in force.
func (s *Service) Settings() Settings {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.model.settings
}

// Configure replaces the settings. Turning a switch off immediately withdraws what
// was waiting to be sent because of it. Turning one on sends the current statuses to
// every watcher whom it affects. A new duration applies to what begins later: a grace
// period that has begun keeps its end.
//
// Errors: that of [Settings.Validate], which leaves the settings unchanged;
// CodeUnavailable.
func (s *Service) Configure(ctx context.Context, settings Settings) error {
	if err := settings.Validate(); err != nil {
		return err
	}
	if s.node != nil {
		s.node.settings.Store(new(settings.deciding()))
	}
	return s.writer.doThen(ctx, &configure{settings.deciding()}, func(m *model) { m.settings.takeOwn(settings) })
}

// SetAgreement replaces Config.Agreement. Without a log it does nothing.
//
// Errors: CodeUnavailable.
func (s *Service) SetAgreement(ctx context.Context, hashes []string) error {
	if s.node == nil {
		return nil
	}
	s.node.agreement.Store(&hashes)
	return s.writer.do(ctx, &setAgreement{hashes})
}

// publish brings the batch into memory, and then wakes the sessions without holding the
// lock.
func (s *Service) publish(b *batch) {
	var due micros
	var leftovers int
	s.update(func(m *model) {
		b.publish(m)
		if s.node != nil {
			s.node.reconcile(m, b)
		}
		due, leftovers = m.nextDue(), m.deletions.leftovers
	})
	s.janitor.expect(due)
	if leftovers > 0 {
		s.janitor.rouse()
	}
}

// probe writes without changing anything, to test whether writing succeeds again.
type probe struct{}

func (probe) apply(b *batch) error {
	b.exec("UPDATE service SET clock = ?", b.now)
	return nil
}

// Ready returns nil if the service can do all its work. Otherwise it returns the reason
// as an [*Error] with CodeUnavailable. If the last write failed, Ready tries another.
func (s *Service) Ready(ctx context.Context) error {
	if s.node != nil {
		if err := s.node.ready(); err != nil {
			return err
		}
	}
	if s.isDraining() {
		return ErrClosed
	}
	if err := s.writer.stuck(); err != nil {
		return err
	}
	if err := s.writer.lastError.Load(); err != nil && s.node != nil {
		return err // the node writes again by itself
	}
	if s.writer.lastError.Load() != nil {
		return s.writer.do(ctx, probe{})
	}
	if err := s.store.Moved(); err != nil {
		return unwritable(err)
	}
	return nil
}
