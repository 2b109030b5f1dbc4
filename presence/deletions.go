package presence

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"time"
)

// Delete deletes users. Their sessions end with KickedByAdmin, and the sessions of
// their watchers receive the status [Unknown]. Delete returns the malformed and
// unknown IDs.
//
// A keyed hash of the ID is kept with the time of deletion: credentials issued until
// then stay revoked, even if the user is registered again; see [Service.Admit]. The ID
// itself is kept for a minute, in which the user's devices can't reconnect, and until
// all feeds have sent the deletion; see [Service.FollowAs]. Like [Service.Kick], Delete
// returns once the second in which it was done is over. A list of more than 1,000 IDs
// is deleted in several steps. After an error, the first steps may have taken effect.
//
// Errors: CodeUnavailable.
func (s *Service) Delete(ctx context.Context, userIDs []string) (failed []Failure, err error) {
	var last micros
	err = inPieces(userIDs, sweep, func(piece []string) error {
		op := &deleteUsers{UserIDs: piece, At: machineNow()}
		err := s.writer.do(ctx, op)
		failed = append(failed, op.failed...)
		last = max(last, op.deletedAt)
		return err
	})
	s.awaitNextSecond(ctx, last)
	return failed, err
}

// deletions is what the model knows about deleted users, and about the former IDs of
// renamed ones.
type deletions struct {
	key       []byte // the key of the hashes; nil means that there is none yet
	any       bool   // whether there is a hash
	leftovers int    // deleted users whose friends and subscriptions are not removed yet
}

// createDeletionKey stores a key for the hashes, unless there is one.
type createDeletionKey struct {
	Key []byte `cbor:"1,keyasint,omitempty"`
}

func newDeletionKey() *createDeletionKey {
	key := make([]byte, sha256.Size)
	rand.Read(key)
	return &createDeletionKey{key}
}

func (op *createDeletionKey) apply(b *batch) error {
	if b.deletions.key == nil {
		b.exec("INSERT INTO deletion_key VALUES (1, ?)", op.Key)
		b.deletions.key = op.Key
	}
	return nil
}

// hash returns the hash of a user ID that stays after the user is deleted or renamed.
func (d *deletions) hash(userID string) []byte {
	mac := hmac.New(sha256.New, d.key)
	mac.Write([]byte(userID))
	return mac.Sum(nil)[:16]
}

// deletedAt returns when a user with that ID was last deleted or renamed. Zero means
// never.
func (b *batch) deletedAt(userID string) micros {
	if !b.deletions.any {
		return 0
	}
	if at := b.numbers("SELECT at FROM deleted WHERE hash = ?", b.deletions.hash(userID)); len(at) == 1 {
		return at[0]
	}
	return 0
}

// revokedAt returns the time until which issued credentials of a user are revoked.
// Zero means that none are.
func (b *batch) revokedAt(userID string) micros {
	if a := b.peek(userID); a != nil {
		return a.revokedAt
	}
	return b.deletedAt(userID)
}

// deleteUsers deletes users.
type deleteUsers struct {
	UserIDs   []string `cbor:"1,keyasint,omitempty"`
	At        micros   `cbor:"2,keyasint,omitempty"` // the time by the machine's clock
	failed    []Failure
	deletedAt micros // zero means that none was deleted
}

func (op *deleteUsers) apply(b *batch) error {
	for _, id := range unique(op.UserIDs) {
		a, err := b.find(id)
		if err != nil {
			op.failed = append(op.failed, failure(id, err))
			continue
		}
		op.deletedAt = max(b.now, op.At)
		b.delete(a, op.deletedAt)
	}
	return nil
}

// delete deletes a user. The user's friends and subscriptions, which may be many, no
// longer count, and are removed later by removeLeftovers.
func (b *batch) delete(a *account, at micros) {
	a = b.copyOf(a)
	b.expelAll(a, KickedByAdmin, at)
	b.revokeFormer(a, at)
	b.exec("DELETE FROM users WHERE id = ?", a.id)
	b.exec("DELETE FROM entries WHERE user = ?", a.id)
	b.exec("INSERT INTO leftovers VALUES (?)", a.id)
	b.deletions.leftovers++
	b.remove(a)
	version := b.nextVersion()
	b.saveGone(a.userID, version)
	b.after(func(m *model) { m.remove(m.user(a.id), version) })
}

// revokeFormer stores that the credentials of an ID that its user loses are revoked, if
// they were issued until at.
func (b *batch) revokeFormer(a *account, at micros) {
	b.exec("INSERT OR REPLACE INTO deleted VALUES (?, ?)", b.deletions.hash(a.userID), max(at, a.revokedAt))
	b.deletions.any = true
}

// removeLeftovers removes up to sweep friends and subscriptions of deleted users.
type removeLeftovers struct{}

func (*removeLeftovers) apply(b *batch) error {
	for left := int64(sweep); left > 0 && b.deletions.leftovers > 0 && b.err == nil; {
		next := b.numbers("SELECT user FROM leftovers ORDER BY user LIMIT 1")
		if len(next) == 0 {
			b.deletions.leftovers = 0
			return nil
		}
		left -= b.removeSome(next[0], left)
	}
	return nil
}

// removeSome removes up to most rows of a deleted user, and returns their number.
func (b *batch) removeSome(user, most int64) (removed int64) {
	for _, query := range []string{
		"DELETE FROM subscriptions WHERE (user, target) IN (SELECT user, target FROM subscriptions WHERE user = ? ORDER BY target LIMIT ?)",
		"DELETE FROM subscriptions WHERE (user, target) IN (SELECT user, target FROM subscriptions WHERE target = ? ORDER BY user LIMIT ?)",
		"DELETE FROM friends WHERE (user, friend) IN (SELECT user, friend FROM friends WHERE user = ? ORDER BY friend LIMIT ?)",
		"DELETE FROM friends WHERE (user, friend) IN (SELECT user, friend FROM friends WHERE friend = ? ORDER BY user LIMIT ?)",
	} {
		if removed < most {
			removed += b.exec(query, user, most-removed)
		}
	}
	if removed < most {
		removed += b.exec("DELETE FROM leftovers WHERE user = ?", user)
		b.deletions.leftovers--
	}
	return removed
}

// awaitNextSecond waits until the second of at is over, by the machine's clock and by
// the service's, because the times in tokens are often in whole seconds. It waits for
// at most 2 seconds, since the clocks may differ by more, and no longer than ctx.
func (s *Service) awaitNextSecond(ctx context.Context, at micros) {
	const second = 1_000_000
	now := min(s.clock.now(), time.Now().UnixMicro())
	wait := min(time.Duration((at/second+1)*second-now)*time.Microsecond, 2*time.Second)
	if at == 0 || wait <= 0 {
		return
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// inPieces calls do with up to most IDs at a time, without repeats, until do fails. So
// even a long list doesn't stall the writer. If there are no IDs, it calls do once.
func inPieces(ids []string, most int, do func(piece []string) error) error {
	ids = unique(ids)
	for {
		n := min(len(ids), most)
		if err := do(ids[:n]); err != nil || n == len(ids) {
			return err
		}
		ids = ids[n:]
	}
}
