package presence

import (
	"context"
	"slices"
)

// FriendPair is a user and another user to add to the user's friend list.
type FriendPair struct {
	UserID   string
	FriendID string
	Mutual   bool // also add the user to the other's friend list
}

// AddFriendPairs does what AddFriends does, for the friend lists of many users. It
// returns the pairs that failed, for the reasons of AddFriends, or because UserID is
// malformed or unknown. If one of the two lists of a mutual pair is full, neither is
// changed. Many pairs are added in several steps. After an error, the first steps may
// have taken effect.
//
// Errors: CodeUnavailable.
func (s *Service) AddFriendPairs(ctx context.Context, pairs []FriendPair) (failed []PairFailure, err error) {
	for pairs = unique(pairs); ; {
		op := &befriendPairs{Pairs: pairs[:min(len(pairs), sweep)]}
		if err := s.writer.do(ctx, op); err != nil {
			return failed, err
		}
		failed = append(failed, op.failed...)
		if pairs = pairs[op.done:]; len(pairs) == 0 {
			return failed, nil
		}
	}
}

// SetFriends replaces the friend list of userID with friends. It has the effect of
// RemoveFriends for those in the list who are not in friends, and then that of
// AddFriends for friends, both with mutual. So if mutual is true, userID is also
// removed from the lists of those who are removed, and added to the lists of those in
// friends. The list of a user who is neither in the earlier list nor in friends doesn't
// change.
//
// SetFriends returns the IDs that failed, for the reasons of AddFriends. If friends is
// empty or nil, the list becomes empty. A long list is set in several steps, between
// which other calls may change it. After an error, the first steps may have taken
// effect.
//
// Errors: as AddFriends.
func (s *Service) SetFriends(ctx context.Context, userID string, friends []string, mutual bool) (failed []Failure, err error) {
	op := setFriends{UserID: userID, Friends: unique(friends), Mutual: mutual}
	for {
		next := op
		if err := s.writer.do(ctx, &next); err != nil {
			return failed, err
		}
		failed = append(failed, next.failed...)
		if next.done.Removed && next.done.Added == len(next.Friends) {
			return failed, nil
		}
		op.Done = next.done
	}
}

// befriendPairs adds as many of the pairs as one operation may.
type befriendPairs struct {
	Pairs  []FriendPair `cbor:"1,keyasint,omitempty"`
	done   int          // how many pairs were added or have failed
	failed []PairFailure
}

func (op *befriendPairs) apply(b *batch) error {
	edits := newFriendEdits(b)
	for op.done < len(op.Pairs) && !edits.full() {
		p := op.Pairs[op.done]
		op.done++
		user, err := b.find(p.UserID)
		if err == nil {
			err = edits.addByID(user, p.FriendID, p.Mutual)
		}
		if err != nil {
			op.failed = append(op.failed, PairFailure{p.UserID, p.FriendID, err.Code, err.Message})
		}
	}
	return nil
}

// setFriends removes the friends of a user who are not in a list, and then adds those
// who are, as far as one operation may. Another one continues from its result.
type setFriends struct {
	UserID  string      `cbor:"1,keyasint,omitempty"`
	Friends []string    `cbor:"2,keyasint,omitempty"` // the whole list, without repeats
	Mutual  bool        `cbor:"3,keyasint,omitempty"`
	Done    friendsDone `cbor:"4,keyasint,omitempty"` // by earlier operations
	done    friendsDone // the result, which includes Done
	failed  []Failure
}

// friendsDone is how much of setting a friend list is done.
type friendsDone struct {
	After   int64 `cbor:"1,keyasint,omitempty"` // the account.id up to which friends that are not in the list are removed
	Removed bool  `cbor:"2,keyasint,omitempty"` // all of them are removed
	Added   int   `cbor:"3,keyasint,omitempty"` // how many of the list were added or have failed
}

func (op *setFriends) apply(b *batch) error {
	user := b.peek(op.UserID)
	if user == nil {
		return unknownUser()
	}
	edits := newFriendEdits(b)
	op.done = op.Done
	if !op.done.Removed {
		op.removeOthers(edits, user)
	}
	for op.done.Removed && op.done.Added < len(op.Friends) && !edits.full() {
		id := op.Friends[op.done.Added]
		op.done.Added++
		if err := edits.addByID(user, id, op.Mutual); err != nil {
			op.failed = append(op.failed, failure(id, err))
		}
	}
	return nil
}

func (op *setFriends) removeOthers(edits *friendEdits, user *account) {
	keep := make(map[string]bool, len(op.Friends))
	for _, id := range op.Friends {
		keep[id] = true
	}
	for !op.done.Removed && !edits.full() {
		friends := edits.friendsAfter(user.id, op.done.After)
		for _, id := range friends {
			op.done.After = id
			friend := edits.peekByID(uint32(id)) // nil only if the database is damaged
			if friend != nil && !keep[friend.userID] {
				edits.remove(user.id, friend.id, op.Mutual)
			}
		}
		op.done.Removed = len(friends) < sweep
	}
}

// friendEdits changes friend lists in one operation, and measures how much it does.
type friendEdits struct {
	*batch
	lengths map[uint32]int // of the friend lists that were counted
	cost    int            // in statements that write a row; see full
}

// What reading costs: as much as writing one row.
const (
	countedPerWrite = 100 // rows that are counted
	readPerWrite    = 10  // rows that are read
)

func newFriendEdits(b *batch) *friendEdits {
	return &friendEdits{batch: b, lengths: make(map[uint32]int)}
}

// full reports whether the operation has done as much as one may, so that it doesn't
// stall the writer. The friend lists that it has to count may be short or long.
func (e *friendEdits) full() bool { return e.cost >= sweep }

// add adds friend to the list of user and, if mutual, user to that of friend. It adds
// neither if a list that would grow is full.
func (e *friendEdits) add(user, friend *account, mutual bool) *Error {
	pairs := [][2]uint32{{user.id, friend.id}}
	if mutual {
		pairs = append(pairs, [2]uint32{friend.id, user.id})
	}
	if slices.ContainsFunc(pairs, e.isFull) {
		pairs = slices.DeleteFunc(pairs, e.areFriends)
		if slices.ContainsFunc(pairs, e.isFull) {
			return &Error{Code: CodeLimit, Message: "the friend list is full"}
		}
	}
	for _, p := range pairs {
		e.insert(p)
	}
	return nil
}

// addByID is add for a friend who may be malformed, unknown, or user.
func (e *friendEdits) addByID(user *account, friendID string, mutual bool) *Error {
	friend, err := e.findFriend(user, friendID)
	if err != nil {
		return err
	}
	return e.add(user, friend, mutual)
}

// insert stores a friendship, and takes a version for it, unless there is one already.
func (e *friendEdits) insert(p [2]uint32) {
	e.cost++
	since := e.version + 1
	if e.exec("INSERT OR IGNORE INTO friends VALUES (?, ?, ?)", p[0], p[1], since) == 0 {
		return
	}
	e.version = since
	e.lengths[p[0]]++
	e.after(func(m *model) { m.watch(m.user(p[0]), m.user(p[1]), byFriendship, since) })
}

// remove removes friend from the list of user and, if mutual, user from that of friend.
func (e *friendEdits) remove(user, friend uint32, mutual bool) {
	e.cost++
	e.exec("DELETE FROM friends WHERE user = ? AND friend = ?", user, friend)
	e.after(func(m *model) { m.unwatch(m.user(user), m.user(friend), byFriendship) })
	if mutual {
		e.remove(friend, user, false)
	}
}

// isFull reports whether the friend list of p[0] has no room.
func (e *friendEdits) isFull(p [2]uint32) bool {
	n, counted := e.lengths[p[0]]
	if !counted {
		n = e.count("SELECT count(*) FROM friends WHERE user = ? AND friend NOT IN leftovers", p[0])
		e.cost += n / countedPerWrite
		e.lengths[p[0]] = n
	}
	return n >= e.settings.Friends
}

func (e *friendEdits) areFriends(p [2]uint32) bool {
	return e.count("SELECT count(*) FROM friends WHERE user = ? AND friend = ?", p[0], p[1]) > 0
}

// friendsAfter returns the first friends of a user whose account.id is greater than
// after, at most sweep of them, in ascending order.
func (e *friendEdits) friendsAfter(user uint32, after int64) []int64 {
	friends := e.numbers("SELECT friend FROM friends WHERE user = ? AND friend > ? AND friend NOT IN leftovers ORDER BY friend LIMIT ?",
		user, after, sweep)
	e.cost += len(friends) / readPerWrite
	return friends
}
