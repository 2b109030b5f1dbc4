package presence

import (
	"context"
	"slices"
	"time"
)

// Import registers users: they are UNLOGINED until they log in. A user who exists
// already succeeds and stays as they are. It returns the IDs that failed: malformed
// ones, and with CodeLimit those over 2^28 users that were ever registered. A list
// of more than 1,000 IDs is imported in several steps.
//
// Errors: CodeUnavailable.
func (s *Service) Import(ctx context.Context, userIDs []string) (failed []Failure, err error) {
	err = inPieces(userIDs, sweep, func(piece []string) error {
		op := &importUsers{userIDs: piece}
		err := s.do(ctx, op)
		failed = append(failed, op.failed...)
		return err
	})
	return failed, err
}

// Admit is called before credentials are accepted. It registers a user who is
// unknown. It refuses with CodeRevoked credentials that were issued up to the
// time when the user was last kicked or deleted. A zero issuedAt is never
// refused.
//
// Errors: also CodeMalformed, CodeUnavailable.
func (s *Service) Admit(ctx context.Context, userID string, issuedAt time.Time) error {
	if err := checkID(userID); err != nil {
		return err
	}
	s.mu.RLock()
	u := s.model.byName[userID]
	var old bool
	if u != nil {
		old = revoked(u.revokedAt, issuedAt)
	}
	s.mu.RUnlock()
	switch {
	case u == nil:
		return s.do(ctx, &admit{userID: userID, issuedAt: issuedAt})
	case old:
		return errRevoked()
	}
	return nil
}

func errRevoked() error {
	return &Error{Code: CodeRevoked, Message: "the user was kicked or deleted after the credentials were issued"}
}

// revoked reports whether credentials of that time were issued up to revokedAt.
func revoked(revokedAt micros, issuedAt time.Time) bool {
	return !issuedAt.IsZero() && revokedAt != 0 && issuedAt.UnixMicro() <= revokedAt
}

// admit registers the user of credentials that are not refused.
type admit struct {
	userID   string
	issuedAt time.Time
}

func (op *admit) apply(b *batch) error {
	if revoked(b.revokedAt(op.userID), op.issuedAt) {
		return errRevoked()
	}
	if _, err := b.register(op.userID); err != nil {
		return err
	}
	return nil
}

// Get returns the statuses of users in the order asked, repeats dropped.
// Returned apart are malformed and unknown IDs. It never waits for the disk.
func (s *Service) Get(userIDs ...string) ([]Status, []Failure) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.model.statuses(userIDs)
}

// Query is Get for a user who asks: it fails with CodeSwitchedOff while the
// user status switch is off, unless the user asks for nobody but themselves.
func (s *Service) Query(asker string, userIDs []string) ([]Status, []Failure, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	isOther := func(id string) bool { return id != asker }
	if !s.model.settings.UserStatus && slices.ContainsFunc(userIDs, isOther) {
		return nil, nil, ErrSwitchedOff
	}
	found, failed := s.model.statuses(userIDs)
	return found, failed, nil
}

func (m *model) statuses(userIDs []string) (found []Status, failed []Failure) {
	found = make([]Status, 0, len(userIDs))
	seen := make(map[uint32]struct{}, len(userIDs)) // by number: half of what IDs would cost
	var strangers []string
	for _, id := range userIDs {
		u := m.byName[id]
		if u == nil {
			strangers = append(strangers, id)
		} else if _, again := seen[u.id]; !again {
			seen[u.id] = struct{}{}
			found = append(found, u.status())
		}
	}
	for _, id := range unique(strangers) {
		err := checkID(id)
		if err == nil {
			err = unknownUser()
		}
		failed = append(failed, failure(id, err))
	}
	return found, failed
}

// Users returns the statuses of up to limit registered users in byte order of
// their IDs, beginning after the ID after; "" begins with the first user. next is
// the value of after for the next page, or "" on the last page. It stays right
// when users are deleted meanwhile, which may leave fewer than limit in a page.
//
// Errors: CodeUnavailable.
func (s *Service) Users(ctx context.Context, after string, limit int) (users []Status, next string, err error) {
	next = after
	for {
		var ids []string
		ids, next, err = s.page(ctx, "SELECT user_id FROM users WHERE user_id > ? ORDER BY user_id LIMIT ?", limit, next)
		if err != nil {
			return nil, "", err
		}
		users, _ = s.Get(ids...)
		if len(users) > 0 || next == "" { // else all of the page were deleted meanwhile
			return users, next, nil
		}
	}
}

// number returns users.id of a user, or an error if there is no such user.
func (s *Service) number(userID string) (uint32, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if u := s.model.byName[userID]; u != nil {
		return u.id, nil
	}
	return 0, unknownUser()
}

// stillThere returns an error unless the user of that ID is still the one of that
// number. It is called after something about the user was read from the database:
// if the user was deleted meanwhile, that is about nobody.
func (s *Service) stillThere(userID string, number uint32) error {
	now, err := s.number(userID)
	if err == nil && now != number {
		err = unknownUser()
	}
	return err
}

// importUsers registers users who may exist already.
type importUsers struct {
	userIDs []string
	failed  []Failure
}

func (op *importUsers) apply(b *batch) error {
	for _, id := range unique(op.userIDs) {
		err := checkID(id)
		if err == nil {
			_, err = b.register(id)
		}
		if err != nil {
			op.failed = append(op.failed, failure(id, err))
		}
	}
	return nil
}

// find returns the account to read, or why there is none.
func (b *batch) find(userID string) (*account, *Error) {
	if err := checkID(userID); err != nil {
		return nil, err
	}
	if a := b.peek(userID); a != nil {
		return a, nil
	}
	return nil, unknownUser()
}

// unique returns the strings without repeats, in the order of the first.
func unique(all []string) []string {
	seen := make(map[string]struct{}, len(all))
	kept := make([]string, 0, len(all))
	for _, s := range all {
		if _, ok := seen[s]; !ok {
			seen[s] = struct{}{}
			kept = append(kept, s)
		}
	}
	return kept
}
