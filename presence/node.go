package presence

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// node makes a service one of several that share a log. Its requests are appended to the
// log instead of being applied; every node applies all entries of the log, in order, to a
// database of its own. The node that has appended an entry also answers its callers.
//
// A node proposes as a run. If the others consider it dead, they end its run; it notices
// that in the log, begins another, and takes over the devices whose streams are still open.
type node struct {
	svc     *Service
	w       *writer
	log     Log
	logID   string
	name    string
	codec   *codec
	appends histogram

	ctx      context.Context // done when the node can't go on, or stops
	stop     context.CancelFunc
	mayBegin chan struct{} // closed when the node may begin its first run
	tasks    sync.WaitGroup

	// The fields below belong to follow, and before start to its starter.
	place     int64  // of the last entry that was applied or skipped
	committed int64  // of the last entry that is stored
	at        micros // when that entry was appended, by the clock of the engine
	entry     []byte // the SHA-256 of that entry
	digest    []byte
	unread    []endedStream // the streams of logins whose callers have returned

	mu        sync.Mutex    // Service.mu is taken before it, never after it
	opened    bool          // Open has returned
	leaving   bool          // the node begins no run any more
	run       int64         // the run as which the node proposes; zero means that it has none
	agreement []string      // see Config.Agreement
	nonce     int64         // that of the run, or of the one that was proposed last
	number    int64         // of the last entry that was proposed
	pending   []*proposed   // in order
	began     chan struct{} // closed when the run that was proposed has begun; nil if none is proposed
	missed    map[int64]int // how many beats of this node each other run has missed
	counted   micros        // the time of the last of these beats
	digests   [digestsKept]placeDigest
	differing map[int64]bool // the runs whose state is not that of this node
	applied   int64          // place, for other goroutines
	progress  chan struct{}  // closed and replaced when applied grows
	minute    placeDigest    // at the first entry of the last minute of the log; zero until one has begun
	silent    int            // how many times beatEvery has passed since an entry of this node was applied last
	snapshots snapshots
	proposed  uint64   // how many entries were appended
	bytes     int64    // the size of the entries that were applied since the last snapshot
	settings  Settings // those that the configuration of this node has, as far as they decide outcomes
	lost      error    // why the log can't be reached; nil if it can
	failed    error    // why the node can't go on
}

func newNode(s *Service, config *Config) *node {
	n := &node{
		svc: s, w: s.writer, log: config.Log, name: config.Node, agreement: config.Agreement, codec: s.writer.codec,
		mayBegin: make(chan struct{}), progress: make(chan struct{}), missed: make(map[int64]int), differing: make(map[int64]bool),
		snapshots: snapshots{last: time.Now()},
	}
	n.ctx, n.stop = context.WithCancel(context.Background())
	return n
}

func (n *node) currentRun() int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.run
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

// start starts the goroutines that apply the log and append beats. close ends them.
func (n *node) start() {
	n.tasks.Go(n.follow)
	n.tasks.Go(n.beat)
}

// leave ends the run of a node that is about to stop, so that the others needn't wait for
// its beats. It waits for at most maxWait.
func (n *node) leave() {
	n.mu.Lock()
	n.leaving = true
	run := n.run
	n.mu.Unlock()
	if run != 0 {
		n.w.send(&endRun{Run: run, Beats: -1}, nil, false)
	}
}

// setOpened makes the node log why it stops from now on, and returns why it has stopped.
func (n *node) setOpened() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.opened = true
	return n.failed
}

func (n *node) close() {
	n.stop()
	n.tasks.Wait()
}

// fail stops the node, because it can't go on. All sessions end, and nothing is written
// any more.
func (n *node) fail(err error) {
	n.mu.Lock()
	n.failed = err
	opened := n.opened
	n.mu.Unlock()
	if opened { // otherwise Open returns it
		n.svc.log.Error("node can't go on", "error", err)
	}
	n.stop()
	n.svc.Drain()
}

// beat appends a beat each second, the next one once the last one is applied. It also
// measures for how long no entry of this node was applied.
func (n *node) beat() {
	ticker := time.NewTicker(beatEvery)
	defer ticker.Stop()
	beaten := make(chan struct{}, 1)
	beaten <- struct{}{}
	var beats sync.WaitGroup
	defer beats.Wait()
	for {
		select {
		case <-ticker.C:
		case <-n.ctx.Done():
			return
		}
		n.tick()
		n.saveDue()
		select {
		case <-beaten:
			beats.Go(func() {
				n.w.send(n.newBeat(), nil, false)
				beaten <- struct{}{}
			})
		default: // the last one is not applied yet
		}
	}
}

func (n *node) newBeat() *beat {
	n.mu.Lock()
	defer n.mu.Unlock()
	return &beat{Place: n.applied, Digest: n.digests[n.applied%digestsKept].digest}
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
	case n.silent >= awayAfter && n.w.lastError.Load() != nil:
		return n.w.lastError.Load()
	case n.silent >= awayAfter && n.lost != nil:
		return &Error{Code: CodeUnavailable, Message: "the log can't be reached", Cause: n.lost}
	case n.silent >= awayAfter:
		return &Error{Code: CodeUnavailable, Message: fmt.Sprintf("what this node has appended to the log was not applied for %d seconds", n.silent)}
	}
	return nil
}

// nextApplied returns a channel that is closed when the next entry is applied.
func (n *node) nextApplied() chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.progress
}

func (n *node) metrics() *LogMetrics {
	n.mu.Lock()
	defer n.mu.Unlock()
	return &LogMetrics{
		Place: n.applied, DigestPlace: n.minute.place, Digest: n.minute.digest, Silent: time.Duration(n.silent) * beatEvery,
		AwayFor: n.lost, Failed: n.failed, Append: n.appends.read(&times), Pending: len(n.pending), Proposed: n.proposed,
	}
}

// nodeStates returns the nodes that live, in order of their runs. own is the run of this
// node.
func (m *model) nodeStates(own int64) (all []NodeState) {
	for i, id := range slices.Sorted(maps.Keys(m.runs)) {
		r := m.runs[id]
		all = append(all, NodeState{Name: r.node, Run: id, Own: id == own, Leads: i == 0, Beats: r.beats})
	}
	return all
}

// leads reports whether the node does what one node of all has to do: it has the earliest
// run.
func (n *node) leads() bool {
	n.svc.mu.RLock()
	defer n.svc.mu.RUnlock()
	run := n.currentRun()
	for id := range n.svc.model.runs {
		if id < run {
			return false
		}
	}
	return run != 0
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

// takeOverStreams proposes that the devices whose streams are open on this node belong to
// its new run. It ends the streams whose devices don't have them any more.
func (n *node) takeOverStreams() {
	run, m, open := n.currentRun(), &n.svc.model, make(map[int64][]endedStream)
	n.svc.mu.Lock()
	for _, u := range m.users {
		for _, s := range slices.Clone(u.sessions()) {
			switch d := u.device(s.deviceID); {
			case s.ahead:
			case d == nil || d.stream != s.stream:
				m.end(s, ending{kind: endSuperseded})
			case d.run != run:
				open[d.run] = append(open[d.run], s.endedAt(0))
			}
		}
	}
	woken := m.takeWoken()
	n.svc.mu.Unlock()
	rouse(woken)
	for _, ended := range slices.Sorted(maps.Keys(open)) {
		for streams := range slices.Chunk(open[ended], sweep) {
			r, op := newRequest(), &takeOver{Run: ended, Streams: streams}
			r.op, r.then = op, op.endFailed
			n.propose([]*request{r})
		}
	}
}
