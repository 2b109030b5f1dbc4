package presence

import (
	"context"
	"maps"
	"slices"
	"time"
)

// Position is how much a service has done: what a caller has seen at one node, another node
// may not have applied yet. Positions of one log are ordered by both fields.
type Position struct {
	Version int64 // the last version that was issued
	Place   int64 // of the last entry of the log that is applied; zero without a log
}

// Position returns the present position.
func (s *Service) Position() Position {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return Position{s.model.version, s.model.applied.place}
}

// Await waits until the service has reached a position, for at most 5 seconds. Without a log
// it returns nil at once. A position of another log, which may never be reached, counts as
// any other.
//
// Errors: CodeUnavailable if the time is over or the node has stopped; that of ctx.
func (s *Service) Await(ctx context.Context, p Position) error {
	if s.node == nil {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, maxWait, errBehind)
	defer cancel()
	return s.node.reach(ctx, p)
}

// reach waits until the node has reached a position.
func (n *node) reach(ctx context.Context, p Position) error {
	for {
		n.mu.Lock()
		progress := n.progress
		n.mu.Unlock()
		if now := n.svc.Position(); now.Version >= p.Version && now.Place >= p.Place {
			return nil
		}
		select {
		case <-progress:
		case <-n.ctx.Done():
			return context.Cause(n.ctx)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// errBehind is the error of a read that has waited for the log for too long.
var errBehind = &Error{Code: CodeUnavailable, Message: "this node has not yet applied what the request refers to"}

// NodeState is what a service knows about one of the nodes that share its log.
type NodeState struct {
	Name  string `json:"name"`           // Config.Node
	Run   int64  `json:"run"`            // the number of its run; a node that starts again begins another
	Beats int64  `json:"beats"`          // how many beats of the run are in the log; one is due each second
	Own   bool   `json:"own,omitzero"`   // it is this service
	Leads bool   `json:"leads,omitzero"` // it does what one of all nodes does; see Service.Leads
}

// LogMetrics are the numbers of a service with a log, for monitoring.
type LogMetrics struct {
	Nodes   []NodeState   // the nodes that live, in order of their runs
	Place   int64         // of the last entry that is applied
	Silent  time.Duration // for how long no entry of this node was applied, in whole seconds
	AwayFor error         // why the log can't be reached; nil if it can
	Append  Histogram     // the time in seconds to append an entry

	// DigestPlace is the place of the first entry of the last minute, by the time of the
	// log, and Digest a hash of the state there. So for most of each minute, all nodes
	// have the same place, and then the same digest. Zero and nil mean that no minute has
	// begun since Open.
	DigestPlace int64
	Digest      []byte
}

// LogMetrics returns the numbers as they are now, or nil without a log.
func (s *Service) LogMetrics() *LogMetrics {
	n := s.node
	if n == nil {
		return nil
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	n.mu.Lock()
	defer n.mu.Unlock()
	m := &LogMetrics{
		Place: s.model.applied.place, DigestPlace: s.model.minute.place, Digest: s.model.minute.digest, Silent: time.Since(*n.lastOwn.Load()).Truncate(time.Second),
		AwayFor: n.lost, Append: n.appends.read(&times),
	}
	for i, id := range slices.Sorted(maps.Keys(s.model.runs)) {
		r := s.model.runs[id]
		m.Nodes = append(m.Nodes, NodeState{Name: r.node, Run: id, Own: r.nonce == n.nonce.Load(), Leads: i == 0, Beats: r.count})
	}
	return m
}
