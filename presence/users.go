package presence

import (
	"context"
	"slices"
	"time"
)

// Import registers users, who are UNLOGINED until they log in. A user who is
// registered already stays unchanged, which is not a failure. Import returns the IDs
// that failed: malformed ones with CodeMalformed, and with CodeLimit those for which
// there is no room, because 2^28 users were ever registered. A list of more than
// 1,000 IDs is imported in several steps. After an error, the first steps may have taken
// effect.
//
// Errors: CodeUnavailable.
func (s *Service) Import(ctx context.Context, userIDs []string) (failed []Failure, err error) {
	err = inPieces(userIDs, sweep, func(piece []string) error {
		op := &importUsers{UserIDs: piece}
		err := s.writer.do(ctx, op)
		failed = append(failed, op.failed...)
		return err
	})
	return failed, err
}

// Admit decides whether credentials of a user that were issued at issuedAt may be
// accepted. It registers a user who is unknown. It returns CodeRevoked if the user
// was kicked, renamed or deleted at that time or later. Credentials with the zero time
// are never revoked.
//
// Errors: also CodeMalformed for userID, CodeLimit if no more users can be
// registered, CodeUnavailable.
func (s *Service) Admit(ctx context.Context, userID string, issuedAt time.Time) error {
	if err := checkID(userID); err != nil {
		return err
	}
	s.mu.RLock()
	u := s.model.byName[userID]
	var old bool
	if u != nil {
		old = revoked(u.revokedAt, issued(issuedAt))
	}
	s.mu.RUnlock()
	switch {
	case u == nil:
		return s.writer.do(ctx, &admit{UserID: userID, IssuedAt: issued(issuedAt)})
	case old:
		return errRevoked()
	}
	return nil
}

func errRevoked() error {
	return &Error{Code: CodeRevoked, Message: "the user was kicked, renamed or deleted after the credentials were issued"}
}

// issued returns when credentials were issued. Zero means that they are never revoked, and
// so a time before 1970 becomes the earliest one after.
func issued(t time.Time) micros {
	if t.IsZero() {
		return 0
	}
	return max(1, t.UnixMicro())
}

// revoked reports whether revokedAt revokes credentials issued at issuedAt.
func revoked(revokedAt, issuedAt micros) bool { return issuedAt != 0 && issuedAt <= revokedAt }

// admit registers the user of credentials that are not revoked.
type admit struct {
	UserID   string `cbor:"1,keyasint,omitempty"`
	IssuedAt micros `cbor:"2,keyasint,omitempty"` // zero means that the credentials are never revoked
}

func (op *admit) apply(b *batch) error {
	if revoked(b.revokedAt(op.UserID), op.IssuedAt) {
		return errRevoked()
	}
	if _, err := b.register(op.UserID); err != nil {
		return err
	}
	return nil
}

// Get returns the statuses of users as the server side sees them, in the order of userIDs, without repeats, and
// the IDs that are malformed or unknown. It never waits for the disk, and also works
// after Close.
func (s *Service) Get(userIDs ...string) ([]Status, []Failure) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.model.statuses(userIDs, nil)
}

// Query is Get on behalf of the user asker: it returns what that user may see of the
// others. It returns [ErrSwitchedOff] while Settings.UserStatus is false, unless asker
// is the only user in userIDs.
func (s *Service) Query(asker string, userIDs []string) ([]Status, []Failure, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	isOther := func(id string) bool { return id != asker }
	if !s.model.settings.UserStatus && slices.ContainsFunc(userIDs, isOther) {
		return nil, nil, ErrSwitchedOff
	}
	found, failed := s.model.statuses(userIDs, s.model.asker(asker))
	return found, failed, nil
}

// asker returns the user with an ID, or one who is nobody, to whom everyone shows the
// public view.
func (m *model) asker(userID string) *user {
	if u := m.byName[userID]; u != nil {
		return u
	}
	return new(user)
}

// statuses returns the statuses of users as the user to sees them; nil means the server
// side.
func (m *model) statuses(userIDs []string, to *user) (found []Status, failed []Failure) {
	found = make([]Status, 0, len(userIDs))
	seen := make(map[uint32]struct{}, len(userIDs)) // by number, at half the cost of IDs
	var strangers []string
	for _, id := range userIDs {
		u := m.byName[id]
		if u == nil {
			strangers = append(strangers, id)
		} else if _, again := seen[u.id]; !again {
			seen[u.id] = struct{}{}
			found = append(found, m.status(u, to))
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

// Users returns the statuses of up to limit registered users whose IDs begin with the
// bytes of prefix and are greater than after, in byte order of their IDs. An empty
// prefix means all users. An empty after starts at the first of them. A limit below 1
// means 1. next is the value of after for the next page, and empty on the last page. A
// page may have fewer than limit users, if some were deleted while it was read.
//
// Errors: CodeUnavailable.
func (s *Service) Users(ctx context.Context, prefix, after string, limit int) (users []Status, next string, err error) {
	next = after
	for {
		var ids []string
		ids, next, err = s.page(ctx, selectUsers, limit, max(prefix, next+"\x00"), prefix+"\xff")
		if err != nil {
			return nil, "", err
		}
		users, _ = s.Get(ids...)
		if len(users) > 0 || next == "" { // otherwise all users of the page were deleted meanwhile
			return users, next, nil
		}
	}
}

// selectUsers has one lower and one upper bound, so that SQLite reads only that range of
// the index. The text that follows t in byte order is t + "\x00". All IDs that begin with
// p, and no others, are from p to below p + "\xff", a byte that UTF-8 doesn't have.
const selectUsers = "SELECT user_id FROM users WHERE user_id >= ? AND user_id < ? ORDER BY user_id LIMIT ?"

// number returns the users.id of a user, or unknownUser.
func (s *Service) number(userID string) (uint32, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if u := s.model.byName[userID]; u != nil {
		return u.id, nil
	}
	return 0, unknownUser()
}

// stillThere returns unknownUser unless the user with that ID still has that number.
// It is called after rows of the user were read from the database: if the user was
// deleted meanwhile, the rows mean nothing.
func (s *Service) stillThere(userID string, number uint32) error {
	now, err := s.number(userID)
	if err == nil && now != number {
		err = unknownUser()
	}
	return err
}

// importUsers registers users who may exist already.
type importUsers struct {
	UserIDs []string `cbor:"1,keyasint,omitempty"`
	failed  []Failure
}

func (op *importUsers) apply(b *batch) error {
	for _, id := range unique(op.UserIDs) {
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

// find returns the account, which must not be changed, or why there is none.
func (b *batch) find(userID string) (*account, *Error) {
	if err := checkID(userID); err != nil {
		return nil, err
	}
	if a := b.peek(userID); a != nil {
		return a, nil
	}
	return nil, unknownUser()
}

// unique returns the values without repeats, in order of first occurrence.
func unique[T comparable](all []T) []T {
	seen := make(map[T]struct{}, len(all))
	kept := make([]T, 0, len(all))
	for _, s := range all {
		if _, ok := seen[s]; !ok {
			seen[s] = struct{}{}
			kept = append(kept, s)
		}
	}
	return kept
}
