package presence

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// node makes a service one of several that share a log. Its requests are appended to the
// log instead of being applied; every node applies all entries of the log, in order, to a
// database of its own. The node that has appended an entry also answers its callers.
//
// A node proposes as a run. If the others consider it dead, they end its run; it notices
// that in the log, begins another, and takes over the devices whose streams are still open.
//
// The goroutine of the writer proposes, one entry at a time. Another goroutine follows the
// log. Others submit beats, move the streams away, and save snapshots.
type node struct {
	svc     *Service
	w       *writer // nil until the database is open
	log     Log
	logID   string
	name    string
	path    string // of the database
	codec   *codec
	appends histogram

	ctx     context.Context         // done when the node can't go on, or stops
	stop    context.CancelCauseFunc // with ErrClosed, unless the node can't go on
	tasks   sync.WaitGroup
	opened  atomic.Bool  // Open has returned
	leaving atomic.Bool  // it begins no run any more
	nonce   atomic.Int64 // that of the run that this node has begun or proposed last; zero before the first
	grown   atomic.Int64 // the size of the entries that were applied since the last snapshot
	before  int64        // that of the last run of the process before

	// The fields below belong to follow, and before start to its starter.
	mark *mark // what is applied

	mu        sync.Mutex // Service.mu is taken before it, never after it
	agreement []string   // see Config.Agreement
	settings  Settings   // those that the configuration of this node has, as far as they decide outcomes
	underWay  *proposal  // was appended, or may have been, and is not applied yet; nil if there is none
	digests   [digestsKept]placeDigest
	differing map[int64]bool // the runs whose state is not that of this node
	progress  chan struct{}  // closed and replaced when an entry was applied
	lastOwn   time.Time      // when an entry of this node was applied last
	silence   *time.Timer    // fires awayAfter later
	lost      error          // why the log can't be reached; nil if it can
	reported  time.Time      // when lost was logged last
}

func newNode(s *Service, config *Config) *node {
	n := &node{
		svc: s, log: config.Log, name: config.Node, path: config.Path, agreement: config.Agreement, codec: s.codec,
		progress: make(chan struct{}), differing: make(map[int64]bool), lastOwn: time.Now(), silence: time.NewTimer(awayAfter),
	}
	n.ctx, n.stop = context.WithCancelCause(context.Background())
	return n
}

// runOf returns the run with a nonce. The number is zero if there is none.
func (s *Service) runOf(nonce int64) (int64, run) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.model.runOf(nonce)
}

func (m *model) runOf(nonce int64) (id int64, r run) {
	for id, r := range m.runs {
		if nonce != 0 && r.nonce == nonce {
			return id, r
		}
	}
	return 0, run{}
}

// setAgreement replaces the hashes with which the node begins its next run.
func (n *node) setAgreement(hashes []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.agreement = hashes
}

// setOwn remembers the settings of the node's configuration.
func (n *node) setOwn(settings Settings) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.settings = settings.deciding()
}

// leave ends the run of a node that is about to stop, so that the others needn't wait for
// its beats. It waits for at most maxWait.
func (n *node) leave() {
	n.leaving.Store(true)
	n.w.send(&endRun{}, nil, false)
	n.stop(ErrClosed)
}

// fail stops the node, because it can't go on. All sessions end, and nothing is written
// any more.
func (n *node) fail(err error) {
	n.stop(err)
	if n.opened.Load() { // otherwise Open returns it
		n.svc.log.Error("node can't go on", "error", err)
	}
	n.svc.Drain()
}

// failed returns why the node can't go on, or nil.
func (n *node) failed() error {
	if err := context.Cause(n.ctx); err != ErrClosed {
		return err
	}
	return nil
}

// reason returns the error of callers when the node has stopped.
func (n *node) reason() error {
	if err := n.failed(); err != nil {
		return &Error{Code: CodeUnavailable, Message: "the node has stopped", Cause: err}
	}
	return ErrClosed
}

// ready returns nil if the node can do all its work.
func (n *node) ready() error {
	if err := n.failed(); err != nil {
		return &Error{Code: CodeUnavailable, Message: err.Error(), Cause: err}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if time.Since(n.lastOwn) < awayAfter {
		return nil
	}
	return n.whyLate()
}

// whyLate returns the error of a call that has waited for too long. n.mu is held.
func (n *node) whyLate() error {
	if err := n.w.lastError.Load(); err != nil {
		return err
	}
	if n.lost != nil {
		return &Error{Code: CodeUnavailable, Message: "the log can't be reached"} // the cause, which names PostgreSQL's host, is logged
	}
	return &Error{Code: CodeUnavailable, Message: "what this node has appended to the log was not applied yet"}
}

// leads reports whether the node does what one node of all has to do: it has the earliest
// run.
func (n *node) leads() bool {
	n.svc.mu.RLock()
	defer n.svc.mu.RUnlock()
	runs := &n.svc.model
	run, _ := runs.runOf(n.nonce.Load())
	return run != 0 && run == slices.Min(slices.Collect(maps.Keys(runs.runs)))
}

// awayAfter is for how long no entry of a node is applied until it isn't ready, and moves
// its streams away.
const awayAfter = 10 * time.Second

// moveAway ends all sessions and the feeds that are not stored, when no entry of this node
// was applied for awayAfter, so that their clients connect elsewhere. New ones may be opened.
func (n *node) moveAway() {
	for {
		select {
		case <-n.silence.C:
		case <-n.ctx.Done():
			return
		}
		now := n.svc.clock.now()
		n.svc.update(func(m *model) {
			for _, u := range m.users {
				for _, session := range u.sessions() {
					m.ended = append(m.ended, session.endedAt(now))
				}
			}
			m.endAll(false)
		})
	}
}
