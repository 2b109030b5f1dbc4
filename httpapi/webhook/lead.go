package webhook

import (
	"context"
	"time"
)

// This file decides which of several nodes that share a log sends.

const (
	// checkLead is how often a node checks whether it leads.
	checkLead = 500 * time.Millisecond

	// lostLead is after how long without an entry of the log a node stops to send: the
	// others may consider it dead, and another one may send already. A node that can't
	// reach the log can't learn of that.
	lostLead = 3 * time.Second
)

// followLead sends while this node leads, until ctx is done.
func (s *Senders) followLead(ctx context.Context) {
	for ctx.Err() == nil {
		s.settle(ctx)
		pause(ctx, checkLead)
	}
}

// settle starts the deliveries if this node leads, those included that have ended because
// another node had sent meanwhile. Otherwise it stops them.
func (s *Senders) settle(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
	case !s.leads():
		s.stopAll()
		s.forgotten = false // another node may have other URLs
	default:
		s.startAll()
		ctx, cancel := context.WithTimeout(ctx, checkLead)
		defer cancel()
		s.forget(ctx) // after an error, it is tried again the next time
	}
}

func (s *Senders) leads() bool { return s.svc.Leads() && s.svc.LogMetrics().Silent < lostLead }
