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
// A call that changes something returns once the change is durable and
// announced; until then ctx can only keep it from being begun.
type Service struct {
	log      *slog.Logger
	store    *store.DB
	watching *sql.Stmt // reads whom a user watches; see watches
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
	fault   atomic.Pointer[Error] // why the last write failed; nil: it didn't

	queueMu    sync.RWMutex // held for writing only to close the queue
	closed     bool
	queue      chan *request
	requests   sync.Pool // of those that were answered
	writerDone chan struct{}

	// Of the writer.
	run       int64
	nextUser  uint32
	lastBatch micros
	batch     *batch
}

// Open opens the service on its database file, which it makes if there is
// none, and applies what fell due while nothing ran. Everyone who was ONLINE
// has the restart grace to come back.
//
// A database of an earlier release is backed up and brought to the schema of
// this one, all at once or not at all.
//
// It fails, with the reason in one line, when the settings are impossible, when
// the file can't be opened or written, belongs to another program, has the
// schema of a newer release, is damaged in a way that [Check] reports, or is in use
// by another process; and when there is no place for that backup.
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

// start loads the model and begins the run, before anyone can ask.
func (s *Service) start(ctx context.Context, settings Settings) error {
	if err := s.restoreChecked(ctx); err != nil {
		return err
	}
	if now := s.clock.now(); now > lastClock {
		return fmt.Errorf("the machine's clock is at %s: set it", toTime(now).Format(time.DateOnly))
	}
	s.janitor = newJanitor(s)
	s.meters.openedAt = s.clock.now()
	// The jump comes first: a version given out before it could be one that a
	// client holds from a history that was lost with a restored backup.
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

// writeFirst applies operations as one batch while there is no writer yet.
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

// Drain ends all sessions with [ErrClosed] and refuses new ones. Their devices
// count as still connected: the next run gives them the restart grace.
func (s *Service) Drain() {
	s.mu.Lock()
	s.model.draining = true
	for _, u := range s.model.byName {
		for len(u.sessions()) > 0 {
			s.model.end(u.live.sessions[0], ending{kind: endClosed})
		}
	}
	woken := s.model.takeWoken()
	s.mu.Unlock()
	rouse(woken)
}

// Close drains, finishes the operations that wait, and closes the database.
// Calls made later fail with [ErrClosed].
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

// Configure changes the settings. A switch that goes off withdraws at once
// what was waiting to be sent because of it; one that goes on has all whom it
// concerns told as they are. Times in force apply to what begins from now on:
// a grace that has begun keeps its end.
func (s *Service) Configure(ctx context.Context, settings Settings) error {
	if err := settings.Validate(); err != nil {
		return err
	}
	return s.do(ctx, &configure{settings})
}
