package presence

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"time"
)

// Delete removes users and every trace of them but one: a keyed hash of the ID
// with the time, so that credentials issued up to then stay refused, also if the
// user is registered again; see [Service.Admit]. Their sessions are kicked, and
// the open sessions of those who watch them receive [Unknown]. It returns the
// malformed and unknown IDs.
//
// Like [Service.Kick] it returns once the second in which it was done is over.
// A list of more than 1,000 IDs is deleted in several steps.
//
// Errors: CodeUnavailable.
func (s *Service) Delete(ctx context.Context, userIDs []string) (failed []Failure, err error) {
	var last micros
	err = inPieces(userIDs, sweep, func(piece []string) error {
		op := &deleteUsers{userIDs: piece, at: machineNow()}
		err := s.do(ctx, op)
		failed = append(failed, op.failed...)
		last = max(last, op.deletedAt)
		return err
	})
	s.awaitNextSecond(ctx, last)
	return failed, err
}

// deletions is what is known of deleted users without reading the database.
type deletions struct {
	key       []byte // of their hashes; nil means there is none yet
	any       bool   // at least one user was ever deleted
	leftovers int    // deleted users whose friends and subscriptions are not removed yet
}

// createDeletionKey stores the key, unless there is one.
type createDeletionKey struct{ key []byte }

func newDeletionKey() *createDeletionKey {
	key := make([]byte, sha256.Size)
	rand.Read(key)
	return &createDeletionKey{key}
}

func (op *createDeletionKey) apply(b *batch) error {
	if b.deletions.key == nil {
		b.exec("INSERT INTO deletion_key VALUES (1, ?)", op.key)
		b.deletions.key = op.key
	}
	return nil
}

// hash is what is kept of a user ID.
func (d *deletions) hash(userID string) []byte {
	mac := hmac.New(sha256.New, d.key)
	mac.Write([]byte(userID))
	return mac.Sum(nil)[:16]
}

// deletedAt returns when the last user of that ID was deleted, or 0.
func (b *batch) deletedAt(userID string) micros {
	if !b.deletions.any {
		return 0
	}
	if at := b.numbers("SELECT at FROM deleted WHERE hash = ?", b.deletions.hash(userID)); len(at) == 1 {
		return at[0]
	}
	return 0
}

// revokedAt returns up to when issued credentials of a user are refused.
func (b *batch) revokedAt(userID string) micros {
	if a := b.peek(userID); a != nil {
		return a.revokedAt
	}
	return b.deletedAt(userID)
}

// deleteUsers removes users and every trace of them but one.
type deleteUsers struct {
	userIDs   []string
	at        micros // as the machine's clock is set
	failed    []Failure
	deletedAt micros // 0 if none was deleted
}

func (op *deleteUsers) apply(b *batch) error {
	for _, id := range unique(op.userIDs) {
		if _, err := b.find(id); err != nil {
			op.failed = append(op.failed, failure(id, err))
			continue
		}
		op.deletedAt = max(b.now, op.at)
		b.delete(b.account(id), op.deletedAt)
	}
	return nil
}

// delete removes a user. What may be large, friends and subscriptions, no longer
// counts from here on, and is removed by removeLeftovers.
func (b *batch) delete(a *account, at micros) {
	b.expelAll(a, KickedByAdmin, at)
	b.exec("DELETE FROM users WHERE id = ?", a.id)
	b.exec("INSERT OR REPLACE INTO deleted VALUES (?, ?)", b.deletions.hash(a.userID), max(at, a.revokedAt))
	b.exec("INSERT INTO leftovers VALUES (?)", a.id)
	b.deletions.any = true
	b.deletions.leftovers++
	b.remove(a)
	version := b.nextVersion()
	b.after(func(m *model) { m.remove(m.user(a.id), version) })
}

// removeLeftovers removes up to sweep rows of deleted users.
type removeLeftovers struct{}

func (removeLeftovers) apply(b *batch) error {
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

// removeSome removes up to most rows of a deleted user, and returns how many.
func (b *batch) removeSome(user, most int64) (removed int64) {
	for _, query := range []string{
		"DELETE FROM subscriptions WHERE (user, target) IN (SELECT user, target FROM subscriptions WHERE user = ? LIMIT ?)",
		"DELETE FROM subscriptions WHERE (user, target) IN (SELECT user, target FROM subscriptions WHERE target = ? LIMIT ?)",
		"DELETE FROM friends WHERE (user, friend) IN (SELECT user, friend FROM friends WHERE user = ? LIMIT ?)",
		"DELETE FROM friends WHERE (user, friend) IN (SELECT user, friend FROM friends WHERE friend = ? LIMIT ?)",
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

// awaitNextSecond waits until the second of that time is over, by the clock of
// the machine and by that of the service, because the times in tokens are often
// in whole seconds. It waits 2 seconds at most: the clocks may be further apart.
// The end of ctx ends only the waiting.
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

// inPieces calls do with up to most of the IDs at a time, without repeats, until
// it fails, so that no list of any length stalls the writer. It calls it once if
// there are none.
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
