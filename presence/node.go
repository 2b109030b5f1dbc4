package presence

import (
	"cmp"
	"context"
	"maps"
	"math/rand/v2"
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
// log. Others submit beats and save snapshots.
type node struct {
	svc     *Service
	w       *writer // nil until the database is open
	log     Log
	state   LogState // of the log when Open began
	name    string
	path    string // of the database
	first   int64  // the streams of this process have the numbers above
	appends histogram

	ctx      context.Context // Service.ctx
	tasks    sync.WaitGroup
	opened   atomic.Bool              // Open has returned
	leaving  atomic.Bool              // it begins no run any more
	nonce    atomic.Int64             // that of the run that this node has begun or proposed last; zero before the first
	grown    atomic.Int64             // the size of the entries that were applied since the last snapshot
	underWay atomic.Pointer[proposal] // was appended, or may have been, and is not applied yet; nil if there is none

	agreement atomic.Pointer[[]string]  // see Config.Agreement
	settings  atomic.Pointer[Settings]  // those that the configuration of this node has, as far as they decide outcomes
	lastOwn   atomic.Pointer[time.Time] // when an entry of this node was applied last
	silence   *time.Timer               // calls moveAway awayAfter later

	// The fields below belong to follow, and before that runs to Open.
	digests   [digestsKept]placeDigest
	differing int // see compareDigest

	mu       sync.Mutex    // Service.mu is taken before it, never after it
	progress chan struct{} // closed and replaced when an entry was applied
	lost     error         // why the log can't be reached; nil if it can
	reported time.Time     // when lost was logged last
}

func newNode(s *Service, config *Config) *node {
	n := &node{
		svc: s, ctx: s.ctx, log: config.Log, name: config.Node, path: config.Path, progress: make(chan struct{}),
		first: rand.Int64N(maxCount / 2), // so that no two nodes have a stream with the same number
	}
	n.agreement.Store(&config.Agreement)
	n.lastOwn.Store(new(time.Now()))
	s.streams.Store(n.first)
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

// fail stops the node, because it can't go on. All sessions end, and nothing is written
// any more.
func (n *node) fail(err error) {
	if n.ctx.Err() != nil {
		return // it has stopped already
	}
	n.svc.stop(&Error{Code: CodeUnavailable, Message: "the node has stopped", Cause: err})
	if n.opened.Load() { // otherwise Open returns it
		n.svc.log.Error("node can't go on", "error", err)
	}
	n.svc.Drain()
}

// ready returns nil if the node can do all its work.
func (n *node) ready() error {
	if n.ctx.Err() == nil && time.Since(*n.lastOwn.Load()) < awayAfter {
		return nil
	}
	return cmp.Or(context.Cause(n.ctx), n.whyLate())
}

// whyLate returns the error of a call that has waited for too long.
func (n *node) whyLate() error {
	if err := n.w.lastError.Load(); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
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
	m := &n.svc.model
	run, _ := m.runOf(n.nonce.Load())
	return run != 0 && run == slices.Min(slices.Collect(maps.Keys(m.runs)))
}

// awayAfter is for how long no entry of a node is applied until it isn't ready, and moves
// its streams away.
const awayAfter = 10 * time.Second

// reconcile compares the sessions of this node with the devices of each user whom a batch has
// changed. A session ends if its device has another stream, and a stream of this node ends if
// it has no session.
func (n *node) reconcile(m *model, b *batch) {
	own, _ := m.runOf(n.nonce.Load())
	for _, id := range b.changed() {
		u := m.user(id)
		for _, s := range slices.Clone(u.sessions()) {
			if d := u.device(s.deviceID); d.hasStream(s.stream) {
				s.login = nil // it is applied
			} else if !s.isAheadOf(d, n.first) {
				m.end(s, ending{kind: endSuperseded})
			}
		}
		if u == nil || m.draining {
			continue
		}
		for _, d := range u.devices {
			isOpen := slices.ContainsFunc(u.sessions(), func(s *Session) bool { return s.stream == d.stream })
			if d.run == own && d.isConnected() && !isOpen {
				m.ended = append(m.ended, endedStream{User: id, DeviceID: d.id, Stream: d.stream})
			}
		}
	}
}
