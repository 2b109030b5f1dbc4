package presence

import (
	"context"
	"database/sql"

	"github.com/presence-server/presence/presence/store"
)

// SubscribeResult is the outcome of [Service.Subscribe]. Its lists are nil when empty.
type SubscribeResult struct {
	Statuses []Status  // as they were at the moment of subscribing, in the order asked
	Failed   []Failure // malformed and unknown IDs
	Evicted  []string  // subscriptions that gave way, the earliest first
}

// Subscribe notifies userID of the targets from now on: every later change comes as
// an event. Repeats count once, subscribing again makes a subscription the newest,
// and subscribing to oneself succeeds and counts for nothing. A list of more than
// 1,000 targets is subscribed to in several steps.
//
// Errors: CodeUnknownUser for userID itself, CodeSwitchedOff, CodeUnavailable.
func (s *Service) Subscribe(ctx context.Context, userID string, targets []string) (all SubscribeResult, err error) {
	err = inPieces(targets, sweep, func(piece []string) error {
		for more := true; more; piece = nil { // more when the limit was lowered by a lot
			op := &subscribe{userID: userID, targets: piece}
			if err := s.do(ctx, op); err != nil {
				return err
			}
			all.add(&op.result)
			more = len(op.result.Evicted) == sweep
		}
		return nil
	})
	return all, err
}

func (s *SubscribeResult) add(more *SubscribeResult) {
	s.Statuses = append(s.Statuses, more.Statuses...)
	s.Failed = append(s.Failed, more.Failed...)
	s.Evicted = append(s.Evicted, more.Evicted...)
}

// Unsubscribe ends subscriptions. Nothing more about the targets is sent because
// of them, not even what was waiting. Targets that are registered but
// not subscribed to succeed; malformed and unknown ones are returned.
//
// Errors: as Subscribe.
func (s *Service) Unsubscribe(ctx context.Context, userID string, targets []string) (failed []Failure, err error) {
	err = inPieces(targets, sweep, func(piece []string) error {
		op := &unsubscribe{userID: userID, targets: piece}
		err := s.do(ctx, op)
		failed = append(failed, op.failed...)
		return err
	})
	return failed, err
}

// UnsubscribeAll is Unsubscribe from all that userID subscribes to.
func (s *Service) UnsubscribeAll(ctx context.Context, userID string) error {
	op := &unsubscribeAll{userID: userID}
	for {
		if err := s.do(ctx, op); err != nil || !op.more {
			return err
		}
		op = &unsubscribeAll{userID: userID, upTo: op.upTo}
	}
}

// Subscriptions returns the statuses of all that userID subscribes to, the
// newest subscription first. Nil for none, and for an unknown user.
//
// Errors: CodeUnavailable when the database can't be read.
func (s *Service) Subscriptions(ctx context.Context, userID string) ([]Status, error) {
	return s.statusesFor(ctx, userID, "SELECT target FROM subscriptions WHERE user = ? ORDER BY since DESC")
}

// statusesFor returns the statuses of those whom a query finds for a user. Nil
// for none, and for an unknown user.
func (s *Service) statusesFor(ctx context.Context, userID, query string) ([]Status, error) {
	id, err := s.number(userID)
	if err != nil {
		return nil, nil
	}
	rows, err := s.store.Reader().QueryContext(ctx, query, id)
	found, err := store.Collect(rows, err, func(rows *sql.Rows) (one uint32, err error) {
		err = rows.Scan(&one)
		return one, err
	})
	if err != nil {
		return nil, unreadable(err)
	}
	if s.stillThere(userID, id) != nil {
		return nil, nil
	}
	return s.statusesOf(found), nil
}

// statusesOf returns the statuses of those who still exist.
func (s *Service) statusesOf(ids []uint32) []Status {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var all []Status
	for _, id := range ids {
		if u := s.model.user(id); u != nil {
			all = append(all, u.status())
		}
	}
	return all
}

// subscribe adds subscriptions, and drops the earliest ones over the limit.
type subscribe struct {
	userID  string
	targets []string
	result  SubscribeResult
}

func (op *subscribe) apply(b *batch) error {
	if !b.settings.UserStatus {
		return ErrSwitchedOff
	}
	user := b.peek(op.userID)
	if user == nil {
		return unknownUser()
	}
	for _, id := range unique(op.targets) {
		target, err := b.find(id)
		if err != nil {
			op.result.Failed = append(op.result.Failed, failure(id, err))
			continue
		}
		op.result.Statuses = append(op.result.Statuses, target.status())
		if target.id != user.id {
			b.subscribe(user.id, target.id)
		}
	}
	op.result.Evicted = b.evict(user.id)
	return nil
}

func (b *batch) subscribe(user, target uint32) {
	since := b.nextVersion()
	b.exec("INSERT OR REPLACE INTO subscriptions VALUES (?, ?, ?)", user, target, since)
	b.after(func(m *model) { m.watch(m.user(user), m.user(target), bySubscription, since) })
}

func (b *batch) unsubscribe(user, target uint32) {
	b.exec("DELETE FROM subscriptions WHERE user = ? AND target = ?", user, target)
	b.after(func(m *model) { m.unwatch(m.user(user), m.user(target), bySubscription) })
}

// evict drops the earliest subscriptions over the limit, up to sweep of them, and
// returns their IDs.
func (b *batch) evict(user uint32) []string {
	over := b.count("SELECT count(*) FROM subscriptions WHERE user = ? AND target NOT IN leftovers", user) - b.settings.Subscriptions
	if over <= 0 {
		return nil
	}
	var evicted []string
	for _, target := range b.numbers("SELECT target FROM subscriptions WHERE user = ? AND target NOT IN leftovers ORDER BY since LIMIT ?",
		user, min(over, sweep)) {
		b.unsubscribe(user, uint32(target))
		if a := b.peekByID(uint32(target)); a != nil { // nil only in a damaged database
			evicted = append(evicted, a.userID)
		}
	}
	return evicted
}

// unsubscribe ends subscriptions.
type unsubscribe struct {
	userID  string
	targets []string
	failed  []Failure
}

func (op *unsubscribe) apply(b *batch) error {
	if !b.settings.UserStatus {
		return ErrSwitchedOff
	}
	user := b.peek(op.userID)
	if user == nil {
		return unknownUser()
	}
	for _, id := range unique(op.targets) {
		if target, err := b.find(id); err != nil {
			op.failed = append(op.failed, failure(id, err))
		} else {
			b.unsubscribe(user.id, target.id)
		}
	}
	return nil
}

// unsubscribeAll ends up to sweep subscriptions.
type unsubscribeAll struct {
	userID string
	upTo   int64 // the version up to which they began; 0 means now
	more   bool  // there may be more of them
}

func (op *unsubscribeAll) apply(b *batch) error {
	if !b.settings.UserStatus {
		return ErrSwitchedOff
	}
	user := b.peek(op.userID)
	if user == nil {
		return unknownUser()
	}
	if op.upTo == 0 {
		op.upTo = b.version
	}
	targets := b.numbers("SELECT target FROM subscriptions WHERE user = ? AND since <= ? AND target NOT IN leftovers LIMIT ?", user.id, op.upTo, sweep)
	for _, target := range targets {
		b.unsubscribe(user.id, uint32(target))
	}
	op.more = len(targets) == sweep
	return nil
}
