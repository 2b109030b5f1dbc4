package presence

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
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
	meters   meters
	pace     *pace
	machine  machine

	mu    sync.RWMutex
	model model

	started micros                // when this run began
	streams atomic.Int64          // counts the sessions of this run
	turns   sync.Pool             // buffers of rounds
	fault   atomic.Pointer[Error] // why the last write failed; nil means that it succeeded

	queueMu    sync.RWMutex // held for writing only to close the queue
	closed     bool
	queue      chan *request
	requests   sync.Pool // requests that were answered, for reuse
	writerDone chan struct{}

	// The fields below belong to the writer.
	run       int64
	nextUser  uint32
	lastBatch micros
	batch     *batch
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
//   - its schema is that of a newer release.
//   - it is damaged in a way that [Check] reports.
//   - it has to be upgraded, and the backup can't be written.
//   - the machine's clock is later than the year 2100.
func Open(config Config) (*Service, error) {
	settings := DefaultSettings()
	if config.Settings != nil {
		settings = *config.Settings
	}
	if err := settings.Validate(); err != nil {
		return nil, err
	}
	s := &Service{
		log:        config.Logger,
		machine:    machine{suspended, onClockSet},
		queue:      make(chan *request, queueLength),
		requests:   sync.Pool{New: func() any { return newRequest() }},
		writerDone: make(chan struct{}),
		pace:       newPace(),
		meters:     meters{opened: time.Now().Add(-1)},
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if config.machine != nil {
		s.machine = *config.machine
	} else if simulated(time.Now()) {
		s.machine = simulatedMachine()
	}
	ctx := context.Background()
	schema, err := store.ReadSchema(migrations)
	if err != nil {
		return nil, err
	}
	if s.store, err = store.Open(ctx, config.Path, schema, s.log); err != nil {
		return nil, err
	}
	if err := s.start(ctx, settings); err != nil {
		return nil, errors.Join(store.Diagnose(s.store.Path(), err), s.closeStore())
	}
	return s, nil
}

// start loads the model and begins the run, before any other goroutine has s.
func (s *Service) start(ctx context.Context, settings Settings) error {
	if err := s.restoreChecked(ctx); err != nil {
		return err
	}
	if now := s.clock.now(); now > lastClock {
		return fmt.Errorf("the machine's clock says %s, which is later than the year 2100: set it", toTime(now).Format(time.DateOnly))
	}
	s.janitor = newJanitor(s)
	s.meters.openedAt = s.clock.now()
	// The jump comes first: a version given out before it could equal one that a
	// client holds from a history that was lost when a backup was restored.
	if err := s.writeFirst(beginRun{}, newDeletionKey(), &configure{settings}, &endRuns{clock: s.lastBatch}); err != nil {
		return err
	}
	s.started = s.lastBatch
	if err := s.store.Start(); err != nil {
		return err
	}
	for op := s.proposeSettling(); op != nil; op = s.proposeSettling() {
		if err := s.writeFirst(op); err != nil {
			return err
		}
	}
	var err error
	if s.watching, err = s.store.Reader().PrepareContext(ctx, selectWatches); err != nil {
		return err
	}
	go func() {
		defer close(s.writerDone)
		s.writeLoop()
	}()
	go s.janitor.run()
	return nil
}

// writeFirst applies operations as one batch, before the writer is started.
func (s *Service) writeFirst(ops ...operation) error {
	var batch []*request
	for _, op := range ops {
		r := newRequest()
		r.op = op
		batch = append(batch, r)
	}
	s.write(batch)
	var errs []error
	for _, r := range batch {
		errs = append(errs, r.err)
	}
	return errors.Join(errs...)
}

// Drain ends all sessions and feeds with [ErrClosed], and makes Connect and Follow
// return it. It is the
// first step of a shutdown; calls that change something still succeed. The devices count as
// connected until the next run, which gives them Settings.RestartGrace, so a
// restart changes no status by itself.
func (s *Service) Drain() {
	s.mu.Lock()
	s.model.draining = true
	for _, u := range s.model.byName {
		for len(u.sessions()) > 0 {
			s.model.end(u.live.sessions[0], ending{kind: endClosed})
		}
	}
	for len(s.model.feeds) > 0 {
		s.model.endFeed(s.model.feeds[0], endClosed)
	}
	woken := s.model.takeWoken()
	s.mu.Unlock()
	rouse(woken)
}

// Close drains the service, waits for the operations that were queued, and closes
// the database. Later calls that write return [ErrClosed]. Closing a service twice
// does nothing the second time, and returns nil.
func (s *Service) Close() error {
	s.queueMu.Lock()
	if s.closed {
		s.queueMu.Unlock()
		return nil
	}
	s.closed = true
	s.queueMu.Unlock()
	s.Drain()
	s.janitor.close()
	close(s.queue)
	<-s.writerDone
	return s.closeStore()
}

func (s *Service) closeStore() error {
	var err error
	if s.watching != nil {
		err = s.watching.Close()
	}
	return errors.Join(err, s.store.Close())
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
// was waiting to be sent because of it. Turning it on sends every watcher that it
// affects the current statuses. A new time applies to what begins later: a grace
// that has begun keeps its end.
//
// Errors: that of [Settings.Validate], which leaves the settings unchanged;
// CodeUnavailable.
func (s *Service) Configure(ctx context.Context, settings Settings) error {
	if err := settings.Validate(); err != nil {
		return err
	}
	return s.do(ctx, &configure{settings})
}
