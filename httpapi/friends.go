package httpapi

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/presence-server/presence/presence"
)

// This file has the calls of the server API that are about friend lists.

// adminPairs is the maximum number of distinct pairs of friends in one call.
const adminPairs = 1000

// friendsEdit edits the friend list of one user.
type friendsEdit func(ctx context.Context, userID string, friends []string, mutual bool) ([]presence.Failure, error)

// editFriends returns a call that edits one friend list.
func editFriends(edit friendsEdit) adminCall {
	return func(w http.ResponseWriter, r *http.Request) (object, error) {
		return edit.serve(w, r, strictBody(w, r))
	}
}

func (edit friendsEdit) serve(w http.ResponseWriter, r *http.Request, in *fields) (object, error) {
	userID, friends, mutual := in.userID("userID"), in.ids("friendIDList", adminUsers), in.flag("mutual", true)
	if err := in.check(); err != nil {
		return nil, err
	}
	failed, err := edit(r.Context(), userID, friends, mutual)
	responseOf(w).changed("friend", friends, failed, slog.String("user", userID), slog.Bool("mutual", mutual))
	return list(object{}, "failureUserList", failed), err
}

// addFriends adds to one friend list, or to those of many users.
func (h *Handler) addFriends(w http.ResponseWriter, r *http.Request) (object, error) {
	in := strictBody(w, r)
	if !in.has("list") {
		return friendsEdit(h.service.AddFriends).serve(w, r, in)
	}
	pairs := in.friendPairs("list", adminPairs)
	for _, name := range []string{"userID", "friendIDList", "mutual"} {
		if in.has(name) {
			return nil, malformed("list and %s can't be given together", name)
		}
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	failed, err := h.service.AddFriendPairs(r.Context(), pairs)
	responseOf(w).changedPairs(pairs, failed)
	return list(object{}, "failureUserList", failed), err
}

// friendPairs returns the pairs of a list of objects, each of which has the members of
// a call that edits one friend list. More than most distinct pairs are an error with
// CodeIDCount.
func (f *fields) friendPairs(name string, most int) (pairs []presence.FriendPair) {
	for i, one := range f.objects(name) {
		userID, friends, mutual := one.text("userID"), one.ids("friendIDList", most), one.flag("mutual", true)
		if err := one.check(); err != nil {
			f.inside(name, i, err)
			return nil
		}
		for _, friend := range friends {
			pairs = append(pairs, presence.FriendPair{UserID: userID, FriendID: friend, Mutual: mutual})
		}
	}
	if len(pairs) > most && f.err == nil && countDistinct(pairs) > most {
		f.err = fail(CodeIDCount, "%s must have at most %d pairs of users", name, most)
	}
	return pairs
}

// changedPairs stores, for the log, the number of pairs for which a call has succeeded,
// and of the users whose friend lists it is about, and the first of these.
func (resp *response) changedPairs(pairs []presence.FriendPair, failed []presence.PairFailure) {
	without := make(map[[2]string]bool, len(failed))
	for _, f := range failed {
		without[[2]string{f.UserID, f.FriendID}] = true
	}
	n, users := 0, []string(nil)
	for _, p := range pairs {
		if pair := [2]string{p.UserID, p.FriendID}; !without[pair] {
			without[pair] = true // count each pair once
			users = append(users, p.UserID)
			n++
		}
	}
	resp.changed("user", users, nil, slog.Int("pairs", n))
}

// setFriends replaces a friend list. An empty list is allowed, but not an absent one,
// which could be a mistake that removes all friends.
func (h *Handler) setFriends(w http.ResponseWriter, r *http.Request) (object, error) {
	in := strictBody(w, r)
	most := max(adminUsers, h.service.Settings().Friends)
	userID, friends, mutual := in.userID("userID"), in.someIDs("friendIDList", most), in.flag("mutual", true)
	if !in.has("friendIDList") || in.isNull("friendIDList") {
		in.wrong("friendIDList", "a list of strings")
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	failed, err := h.service.SetFriends(r.Context(), userID, friends, mutual)
	n, named := succeeded(friends, failed)
	responseOf(w).change = []slog.Attr{
		slog.String("user", userID), slog.Bool("mutual", mutual), slog.Int("friends", n), slog.Any("friendIDs", named),
	}
	return list(object{}, "failureUserList", failed), err
}

func (h *Handler) friends(_ http.ResponseWriter, r *http.Request) (object, error) {
	userID, err := userIDOf(r)
	if err != nil {
		return nil, err
	}
	after, limit, err := pageOf(r.URL.Query())
	if err != nil {
		return nil, err
	}
	friends, next, err := h.service.Friends(r.Context(), userID, after, limit)
	return list(object{}, "friendIDList", friends).next(next), err
}
