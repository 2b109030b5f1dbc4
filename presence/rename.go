package presence

import (
	"context"
	"maps"
	"strings"
)

// Rename gives a user another ID, and returns the status under the new one. Friends,
// subscriptions on both sides, the custom status and its deadline stay with the user.
// The devices don't: as after [Service.Kick], the sessions of the user end with
// KickedByAdmin, and credentials issued for the old ID until now are revoked. Watchers
// receive the status [Unknown] for the old ID, and the status of the new one.
//
// The old ID is kept as that of a deleted user is; see [Service.Delete]. A user may be
// registered with it again. Like Kick, Rename returns once the second in which it was
// done is over. Cancelling ctx ends only this wait, without an error.
//
// Errors: CodeMalformed if to is malformed, is userID itself, or belongs to a user;
// CodeUnknownUser for userID; CodeUnavailable.
func (s *Service) Rename(ctx context.Context, userID, to string) (Status, error) {
	op := &renameUser{UserID: userID, To: to, At: machineNow()}
	if err := s.writer.do(ctx, op); err != nil {
		return Status{}, err
	}
	s.awaitNextSecond(ctx, op.renamedAt)
	return op.result, nil
}

// renameUser gives a user another ID.
type renameUser struct {
	UserID    string `cbor:"1,keyasint,omitempty"`
	To        string `cbor:"2,keyasint,omitempty"`
	At        micros `cbor:"3,keyasint,omitempty"` // the time by the machine's clock
	renamedAt micros
	result    Status
}

func (op *renameUser) apply(b *batch) error {
	if err := checkID(op.To); err != nil {
		return err
	}
	a := b.peek(op.UserID)
	if a == nil {
		return unknownUser()
	}
	if b.peek(op.To) != nil {
		return malformed("the new ID belongs to a user already")
	}
	op.renamedAt = max(b.now, op.At)
	op.result = b.rename(a, op.To, op.renamedAt).ownStatus(b.settings.LastSeen)
	return nil
}

// rename moves a user to another ID, and returns the account that has it. The number of
// the user stays, and with it everything that is stored under the number. In memory the
// old ID ends as that of a deleted user does.
func (b *batch) rename(a *account, to string, at micros) *account {
	a = b.copyOf(a)
	from, before := a.userID, *a
	b.expelAll(a, KickedByAdmin, at)
	b.revokeFormer(a, at)
	b.remove(a)
	gone := b.nextVersion()
	b.saveGone(from, gone)
	renamed := new(*a)
	renamed.userID, renamed.revokedAt = strings.Clone(to), b.deletedAt(to)
	renamed.settle(&before, b.now, toMicros(b.settings.CustomStatusTTL))
	b.put(renamed)
	b.forgetGone(to)
	b.exec("UPDATE users SET user_id = ? WHERE id = ?", to, a.id)
	b.announce(renamed, announcement{user: a.id, own: true, public: true})
	b.after(func(m *model) { m.rename(m.byName[from], renamed, gone, b.now) })
	return renamed
}

// rename replaces a user by the same user with another ID. The watchers stay.
func (m *model) rename(old *user, a *account, gone int64, now micros) {
	watchers := old.audience
	m.withdrawFormer(old)
	m.remove(old, gone)
	m.put(a, now)
	m.user(a.id).audience = watchers
}

// withdrawFormer withdraws what waits about users who had the ID of t before. Without
// it, a session that isn't read would keep an UNKNOWN for each time that t is renamed
// there and back.
func (m *model) withdrawFormer(t *user) {
	if t.audience == nil {
		return
	}
	isFormer := func(u *user, _ int64) bool { return u != t && u.userID == t.userID }
	for _, watchers := range t.audience {
		for _, id := range watchers {
			for _, s := range m.user(id).sessions() {
				maps.DeleteFunc(s.waiting, isFormer)
			}
		}
	}
}
