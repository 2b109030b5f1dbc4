package presence

import (
	"context"
	"fmt"
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
// log, and a third one appends beats.
type node struct {
	svc     *Service
	w       *writer
	log     Log
	logID   string
	name    string
	codec   *codec
	appends histogram

	ctx     context.Context // done when the node can't go on, or stops
	stop    context.CancelFunc
	tasks   sync.WaitGroup
	leaving atomic.Bool  // it begins no run any more
	nonce   atomic.Int64 // that of the run that this node has begun or proposed last; zero before the first
	grown   atomic.Int64 // the size of the entries that were applied since the last snapshot
	before  int64        // that of the last run of the process before

	// The fields below belong to follow, and before start to its starter.
	mark   *mark         // what is applied
	unread []endedStream // the streams of logins whose callers have returned

	mu        sync.Mutex    // Service.mu is taken before it, never after it
	opened    bool          // Open has returned
	agreement []string      // see Config.Agreement
	settings  Settings      // those that the configuration of this node has, as far as they decide outcomes
	underWay  *proposal     // was appended, or may have been, and is not applied yet; nil if there is none
	missed    map[int64]int // how many beats of this node each other run has missed
	counted   micros        // the time of the last of these beats
	applied   placeDigest   // at the last entry that is applied
	digests   [digestsKept]placeDigest
	differing map[int64]bool // the runs whose state is not that of this node
	progress  chan struct{}  // closed and replaced when an entry was applied
	minute    placeDigest    // at the first entry of the last minute of the log; zero until one has begun
	silent    int            // how many times beatEvery has passed since an entry of this node was applied last
	lost      error          // why the log can't be reached; nil if it can
	reported  time.Time      // when lost was logged last
	failed    error          // why the node can't go on
}

func newNode(s *Service, config *Config) *node {
	n := &node{
		svc: s, w: s.writer, log: config.Log, name: config.Node, agreement: config.Agreement, codec: s.writer.codec,
		progress: make(chan struct{}), missed: make(map[int64]int), differing: make(map[int64]bool),
	}
	n.ctx, n.stop = context.WithCancel(context.Background())
	return n
}

// ownRun returns the run as which the node proposes. The number is zero if it has none.
func (n *node) ownRun() (int64, run) {
	n.svc.mu.RLock()
	defer n.svc.mu.RUnlock()
	return n.svc.model.runOf(n.nonce.Load())
}

// runOf returns the run with a nonce. The number is zero if there is none.
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
	if run, _ := n.ownRun(); run != 0 {
		n.w.send(&endRun{Run: run, Beats: -1}, nil, false)
	}
	n.stop()
}

// setOpened makes the node log why it stops from now on, and returns why it has stopped.
func (n *node) setOpened() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.opened = true
	return n.failed
}

// fail stops the node, because it can't go on. All sessions end, and nothing is written
// any more.
func (n *node) fail(err error) {
	n.mu.Lock()
	n.failed = err
	if n.opened { // otherwise Open returns it
		n.svc.log.Error("node can't go on", "error", err)
	}
	n.mu.Unlock()
	n.stop()
	n.svc.Drain()
}

// beat proposes a beat each second, or later once the last one is applied. It also
// measures for how long no entry of this node was applied.
func (n *node) beat() {
	ticker := time.NewTicker(beatEvery)
	defer ticker.Stop()
	r := newRequest()
	r.answer()
	var due chan struct{} // receives when the last beat is applied; nil unless one is due
	for {
		select {
		case <-ticker.C:
			n.tick()
			due = r.done
		case <-due:
			due = nil
			r = newRequest()
			r.op = n.newBeat()
			if n.w.enqueue(r) != nil {
				r.answer()
			}
		case <-n.ctx.Done():
			return
		}
	}
}

func (n *node) newBeat() *beat {
	n.mu.Lock()
	defer n.mu.Unlock()
	return &beat{Place: n.applied.place, Digest: n.applied.digest}
}

// awayAfter is after how many seconds without an entry of its own a node is not ready, and
// moves its streams away.
const awayAfter = 10

// tick counts the time without an entry of this node.
func (n *node) tick() {
	n.mu.Lock()
	n.silent++
	away := n.silent == awayAfter
	n.mu.Unlock()
	if away {
		n.svc.moveAway()
	}
}

// ready returns nil if the node can do all its work.
func (n *node) ready() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.failed != nil:
		return &Error{Code: CodeUnavailable, Message: n.failed.Error(), Cause: n.failed}
	case n.silent < awayAfter:
		return nil
	case n.lost == nil && n.w.lastError.Load() == nil:
		return &Error{Code: CodeUnavailable, Message: fmt.Sprintf("what this node has appended to the log was not applied for %d seconds", n.silent)}
	}
	return n.whyLate()
}

// whyLate returns the error of a call that has waited for too long. n.mu is held.
func (n *node) whyLate() error {
	if err := n.w.lastError.Load(); err != nil {
		return err
	}
	return &Error{Code: CodeUnavailable, Message: "the log can't be reached"} // the cause, which names PostgreSQL's host, is logged
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

// moveAway ends all sessions and the feeds that are not stored, so that their clients
// connect elsewhere. New ones may be opened.
func (s *Service) moveAway() {
	now := s.clock.now()
	var ended []endedStream
	s.mu.Lock()
	for _, u := range s.model.users {
		for _, session := range u.sessions() {
			ended = append(ended, session.endedAt(now))
		}
	}
	s.model.endAll(false)
	woken := s.model.takeWoken()
	s.mu.Unlock()
	rouse(woken)
	s.janitor.streamEnded(ended...)
}
