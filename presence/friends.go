package presence

import (
	"context"
	"database/sql"

	"github.com/presence-server/presence/presence/store"
)

// friendsAtOnce is the maximum number of friends in one operation, which may have to
// count a whole friend list for each of them.
const friendsAtOnce = 100

// AddFriends adds friends to the friend list of userID and, if mutual, adds userID to
// the list of each of them. The open sessions of a user receive the status of a new
// friend. Adding a user who is a friend already does nothing, which is not a failure.
//
// AddFriends returns the IDs that failed: malformed and unknown ones, userID itself,
// and with CodeLimit those for which a friend list would exceed Settings.Friends. A
// list of more than 100 friends is added in several steps. After an error, the first
// steps may have taken effect.
//
// Errors: CodeUnknownUser for userID, CodeUnavailable.
func (s *Service) AddFriends(ctx context.Context, userID string, friends []string, mutual bool) (failed []Failure, err error) {
	err = inPieces(friends, friendsAtOnce, func(piece []string) error {
		op := &befriend{UserID: userID, Friends: piece, Mutual: mutual}
		err := s.writer.do(ctx, op)
		failed = append(failed, op.failed...)
		return err
	})
	return failed, err
}

// RemoveFriends undoes AddFriends. Removing a user who is not a friend does nothing,
// which is not a failure. Nothing more is sent because of the friendship: changes that
// were waiting for a session are withdrawn.
//
// Errors: as AddFriends.
func (s *Service) RemoveFriends(ctx context.Context, userID string, friends []string, mutual bool) (failed []Failure, err error) {
	err = inPieces(friends, sweep, func(piece []string) error {
		op := &unfriend{UserID: userID, Friends: piece, Mutual: mutual}
		err := s.writer.do(ctx, op)
		failed = append(failed, op.failed...)
		return err
	})
	return failed, err
}

// Friends returns up to limit IDs of the user's friend list that are greater than
// after, in byte order. An empty after starts at the first. A limit below 1 means 1.
// next is the value of after for the next page, and empty on the last page.
//
// Errors: CodeUnknownUser, CodeUnavailable.
func (s *Service) Friends(ctx context.Context, userID, after string, limit int) (friends []string, next string, err error) {
	id, err := s.number(userID)
	if err != nil {
		return nil, "", err
	}
	friends, next, err = s.page(ctx, `SELECT user_id FROM friends JOIN users ON id = friend
		WHERE user = ? AND user_id > ? ORDER BY user_id LIMIT ?`, limit, id, after)
	if err != nil {
		return nil, "", err
	}
	if err := s.stillThere(userID, id); err != nil {
		return nil, "", err
	}
	return friends, next, nil
}

// FriendStatuses returns the statuses of all users in the friend list of userID, in
// byte order of their IDs, or nil if the list is empty.
//
// Errors: CodeUnknownUser, CodeUnavailable.
func (s *Service) FriendStatuses(ctx context.Context, userID string) ([]Status, error) {
	return s.statusesFor(ctx, userID, "SELECT friend FROM friends JOIN users ON id = friend WHERE user = ? ORDER BY user_id")
}

// page runs a query for IDs whose last parameter is a limit. next is the last ID of
// the page, or empty if no ID follows.
func (s *Service) page(ctx context.Context, query string, limit int, args ...any) (ids []string, next string, err error) {
	limit = max(1, limit)
	rows, err := s.store.Reader().QueryContext(ctx, query, append(args, limit+1)...)
	ids, err = store.Collect(rows, err, func(rows *sql.Rows) (id string, err error) {
		err = rows.Scan(&id)
		return id, err
	})
	if err != nil {
		return nil, "", unreadable(err)
	}
	if len(ids) > limit {
		return ids[:limit], ids[limit-1], nil
	}
	return ids, "", nil
}

// befriend adds users to a friend list and, if mutual, its owner to theirs.
type befriend struct {
	UserID  string   `cbor:"1,keyasint,omitempty"`
	Friends []string `cbor:"2,keyasint,omitempty"`
	Mutual  bool     `cbor:"3,keyasint,omitempty"`
	failed  []Failure
}

func (op *befriend) apply(b *batch) error {
	edits := newFriendEdits(b)
	return eachFriend(b, op.UserID, op.Friends, &op.failed, func(user, friend *account) *Error {
		return edits.add(user, friend, op.Mutual)
	})
}

// unfriend undoes befriend.
type unfriend struct {
	UserID  string   `cbor:"1,keyasint,omitempty"`
	Friends []string `cbor:"2,keyasint,omitempty"`
	Mutual  bool     `cbor:"3,keyasint,omitempty"`
	failed  []Failure
}

func (op *unfriend) apply(b *batch) error {
	edits := newFriendEdits(b)
	return eachFriend(b, op.UserID, op.Friends, &op.failed, func(user, friend *account) *Error {
		edits.remove(user.id, friend.id, op.Mutual)
		return nil
	})
}

// eachFriend calls do for each friend, and appends those that fail to failed.
func eachFriend(b *batch, userID string, friends []string, failed *[]Failure, do func(user, friend *account) *Error) error {
	user := b.peek(userID)
	if user == nil {
		return unknownUser()
	}
	for _, id := range unique(friends) {
		friend, err := b.findFriend(user, id)
		if err == nil {
			err = do(user, friend)
		}
		if err != nil {
			*failed = append(*failed, failure(id, err))
		}
	}
	return nil
}

// findFriend is find for a user who is to be a friend of user.
func (b *batch) findFriend(user *account, friendID string) (*account, *Error) {
	friend, err := b.find(friendID)
	if err == nil && friend.id == user.id {
		err = malformed("a user can't be their own friend")
	}
	return friend, err
}
