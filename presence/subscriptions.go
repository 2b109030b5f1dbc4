package presence

import (
	"cmp"
	"context"
	"database/sql"

	"github.com/presence-server/presence/presence/store"
)

// SubscribeResult is the outcome of [Service.Subscribe]. Its lists are nil when empty.
type SubscribeResult struct {
	Statuses []Status  // the statuses of the targets when they were subscribed to, in the order of the call
	Failed   []Failure // the malformed and unknown IDs
	Evicted  []string  // the subscriptions removed because of Settings.Subscriptions, the earliest first
}

// Subscribe makes userID a watcher of the targets: the sessions of userID receive each
// later change as an event. Subscribing again makes the subscription the newest.
// Subscribing to oneself succeeds and stores nothing. A list of more than 1,000 targets
// is subscribed to in several steps. After an error, the first steps may have taken
// effect.
//
// Errors: CodeUnknownUser for userID, CodeSwitchedOff, CodeUnavailable.
func (s *Service) Subscribe(ctx context.Context, userID string, targets []string) (all SubscribeResult, err error) {
	err = inPieces(targets, sweep, func(piece []string) error {
		for more := true; more; piece = nil { // more than sweep are evicted only after the limit was lowered
			op := &subscribe{UserID: userID, Targets: piece}
			if err := s.writer.do(ctx, op); err != nil {
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

// Unsubscribe ends subscriptions. Nothing more is sent because of them: changes that
// were waiting for a session are withdrawn. A target that is registered but not
// subscribed to is not a failure. Unsubscribe returns the malformed and unknown IDs.
//
// Errors: as Subscribe.
func (s *Service) Unsubscribe(ctx context.Context, userID string, targets []string) (failed []Failure, err error) {
	err = inPieces(targets, sweep, func(piece []string) error {
		op := &unsubscribe{UserID: userID, Targets: piece}
		err := s.writer.do(ctx, op)
		failed = append(failed, op.failed...)
		return err
	})
	return failed, err
}

// UnsubscribeAll ends all subscriptions of userID.
//
// Errors: as Subscribe.
func (s *Service) UnsubscribeAll(ctx context.Context, userID string) error {
	op := &unsubscribeAll{UserID: userID}
	for {
		if err := s.writer.do(ctx, op); err != nil || !op.more {
			return err
		}
		op = &unsubscribeAll{UserID: userID, UpTo: op.reached}
	}
}

// Subscriptions returns the statuses of all users that userID subscribes to, the
// newest subscription first, or nil if there are none.
//
// Errors: CodeUnknownUser, CodeUnavailable.
func (s *Service) Subscriptions(ctx context.Context, userID string) ([]Status, error) {
	return s.statusesFor(ctx, userID, "SELECT target FROM subscriptions WHERE user = ? ORDER BY since DESC")
}

// statusesFor returns the statuses of the users that a query finds for a user, or nil if
// there are none.
func (s *Service) statusesFor(ctx context.Context, userID, query string) ([]Status, error) {
	id, err := s.number(userID)
	if err != nil {
		return nil, err
	}
	rows, err := s.store.Reader().QueryContext(ctx, query, id)
	found, err := store.Collect(rows, err, func(rows *sql.Rows) (one uint32, err error) {
		err = rows.Scan(&one)
		return one, err
	})
	if err != nil {
		return nil, unreadable(err)
	}
	if err := s.stillThere(userID, id); err != nil {
		return nil, err
	}
	return s.statusesOf(userID, found), nil
}

// statusesOf returns the statuses of the users that still exist, as userID sees them.
func (s *Service) statusesOf(userID string, ids []uint32) []Status {
	s.mu.RLock()
	defer s.mu.RUnlock()
	to := s.model.asker(userID)
	var all []Status
	for _, id := range ids {
		if u := s.model.user(id); u != nil {
			all = append(all, s.model.status(u, to))
		}
	}
	return all
}

// subscribe adds subscriptions, and removes the earliest ones over the limit.
type subscribe struct {
	UserID  string   `cbor:"1,keyasint,omitempty"`
	Targets []string `cbor:"2,keyasint,omitempty"`
	result  SubscribeResult
}

func (op *subscribe) apply(b *batch) error {
	if !b.settings.UserStatus {
		return ErrSwitchedOff
	}
	user := b.peek(op.UserID)
	if user == nil {
		return unknownUser()
	}
	for _, id := range unique(op.Targets) {
		target, err := b.find(id)
		if err != nil {
			op.result.Failed = append(op.result.Failed, failure(id, err))
			continue
		}
		op.result.Statuses = append(op.result.Statuses, b.statusFor(user, target))
		if target.id != user.id {
			b.subscribe(user.id, target.id)
		}
	}
	op.result.Evicted = b.evict(user.id)
	return nil
}

// statusFor returns the status of target as user sees it.
func (b *batch) statusFor(user, target *account) Status {
	if user.id == target.id {
		return target.ownStatus(b.settings.LastSeen)
	}
	return target.publicStatus(b.settings.LastSeen)
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

// evict removes the earliest subscriptions over the limit, at most sweep of them, and
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
		if a := b.peekByID(uint32(target)); a != nil { // a is nil only if the database is damaged
			evicted = append(evicted, a.userID)
		}
	}
	return evicted
}

// unsubscribe ends subscriptions.
type unsubscribe struct {
	UserID  string   `cbor:"1,keyasint,omitempty"`
	Targets []string `cbor:"2,keyasint,omitempty"`
	failed  []Failure
}

func (op *unsubscribe) apply(b *batch) error {
	if !b.settings.UserStatus {
		return ErrSwitchedOff
	}
	user := b.peek(op.UserID)
	if user == nil {
		return unknownUser()
	}
	for _, id := range unique(op.Targets) {
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
	UserID  string `cbor:"1,keyasint,omitempty"`
	UpTo    int64  `cbor:"2,keyasint,omitempty"` // the version up to which they began; zero means the current one
	reached int64  // the result: UpTo, or the version that was the current one
	more    bool   // there may be more of them
}

func (op *unsubscribeAll) apply(b *batch) error {
	if !b.settings.UserStatus {
		return ErrSwitchedOff
	}
	user := b.peek(op.UserID)
	if user == nil {
		return unknownUser()
	}
	op.reached = cmp.Or(op.UpTo, b.version)
	targets := b.numbers("SELECT target FROM subscriptions WHERE user = ? AND since <= ? AND target NOT IN leftovers ORDER BY target LIMIT ?", user.id, op.reached, sweep)
	for _, target := range targets {
		b.unsubscribe(user.id, uint32(target))
	}
	op.more = len(targets) == sweep
	return nil
}
