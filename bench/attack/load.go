//go:build linux

package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	server "github.com/presence-server/presence/deploy/testserver"
)

// load is users who write as fast as they are answered, and what they were
// answered: each sets the numbers from 1 on as a status, and some befriend each
// other, and part again. Beside them users are imported, some in each call.
type load struct {
	setters  []*setter
	pairs    []*pair
	imported int // calls that were answered

	answered atomic.Int64 // writes
	refused  atomic.Int64 // writes, with 503 and 60022
	mu       sync.Mutex
	delays   []time.Duration // of those answered
}

type setter struct {
	user, token string
	number      int // that was answered last
	version     int64
}

type pair struct {
	a, b    string
	friends bool // was answered last
	trying  bool // the other is under way, or was when the server was killed
}

func (a *attacker) newLoad(ctx context.Context, v *victim, setters, pairs int) (*load, error) {
	l := new(load)
	for i := range setters {
		user := fmt.Sprint("setter-", i)
		l.setters = append(l.setters, &setter{user: user, token: a.token(user)})
	}
	users := l.users()
	for i := range pairs {
		p := &pair{a: fmt.Sprint("left-", i), b: fmt.Sprint("right-", i)}
		l.pairs = append(l.pairs, p)
		users = append(users, p.a, p.b)
	}
	return l, v.register(ctx, users)
}

// users returns those who set statuses.
func (l *load) users() []string {
	var users []string
	for _, s := range l.setters {
		users = append(users, s.user)
	}
	return users
}

// run writes until the server has gone, or end is done: what is under way then
// is still waited for. When so many writes were answered enough is called.
func (l *load) run(end context.Context, v *victim, most int64, enough func()) {
	ctx := context.WithoutCancel(end)
	last := l.answered.Load() + most
	once := sync.OnceFunc(enough)
	count := func() {
		if l.answered.Add(1) >= last {
			once()
		}
	}
	var running sync.WaitGroup
	for _, s := range l.setters {
		running.Go(func() { l.repeat(end, count, func() (server.Answer, error) { return s.set(ctx, v) }) })
	}
	for _, p := range l.pairs {
		running.Go(func() { l.repeat(end, count, func() (server.Answer, error) { return p.toggle(ctx, v) }) })
	}
	running.Go(func() { l.repeat(end, count, func() (server.Answer, error) { return l.importSome(ctx, v) }) })
	running.Wait()
}

// repeat makes calls until one isn't answered.
func (l *load) repeat(end context.Context, count func(), call func() (server.Answer, error)) {
	for end.Err() == nil {
		began := time.Now()
		answer, err := call()
		switch {
		case err != nil:
			return
		case answer.Code == 0:
			count()
			l.mu.Lock()
			l.delays = append(l.delays, time.Since(began))
			l.mu.Unlock()
		case answer.Status == 503 && answer.Code == 60022:
			l.refused.Add(1)
		}
	}
}

func (l *load) forgetDelays() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delays = nil
}

func (l *load) delaysSorted() []time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return sorted(slices.Clone(l.delays))
}

func (s *setter) set(ctx context.Context, v *victim) (server.Answer, error) {
	var status server.Status
	answer, err := v.CallInto(ctx, "/v1/setSelfStatus", s.token, map[string]any{"customStatus": strconv.Itoa(s.number + 1)}, &status)
	if err == nil && answer.Code == 0 {
		s.number++
		s.version = status.Version
	}
	return answer, err
}

func (p *pair) toggle(ctx context.Context, v *victim) (server.Answer, error) {
	path := "/v1/admin/addFriends"
	if p.friends {
		path = "/v1/admin/removeFriends"
	}
	p.trying = true
	answer, err := v.Call(ctx, path, server.AdminKey, map[string]any{"userID": p.a, "friendIDList": []string{p.b}})
	if err == nil {
		p.trying = false
		if answer.Code == 0 {
			p.friends = !p.friends
		}
	}
	return answer, err
}

// inEach is how many users are imported by one call.
const inEach = 10

func batchOf(call int) (users []string) {
	for i := range inEach {
		users = append(users, fmt.Sprintf("imported-%d-%d", call, i))
	}
	return users
}

func (l *load) importSome(ctx context.Context, v *victim) (server.Answer, error) {
	answer, err := v.Call(ctx, "/v1/admin/importUsers", server.AdminKey, map[string]any{"userIDList": batchOf(l.imported)})
	if err == nil && answer.Code == 0 {
		l.imported++
	}
	return answer, err
}

// halves looks for what was done in one operation and is there by half only,
// and returns how many imports are there.
func (l *load) halves(ctx context.Context, v *victim, r *report) (imported int, err error) {
	var all []string
	for call := range l.imported + 1 { // one may have been stored, and its answer lost
		all = append(all, batchOf(call)...)
	}
	found, err := v.statuses(ctx, all)
	if err != nil {
		return 0, err
	}
	for call := range l.imported + 1 {
		n := 0
		for _, user := range batchOf(call) {
			if _, ok := found[user]; ok {
				n++
			}
		}
		if n != 0 && n != inEach {
			r.lose("of %d users imported at once %d are there", inEach, n)
		}
		imported += n / inEach
	}
	for _, p := range l.pairs {
		if _, err := p.areFriends(ctx, v, r); err != nil {
			return imported, err
		}
	}
	return imported, nil
}

// verify compares what was answered with what the server has: of each writer,
// one write more may have been stored, whose answer was lost.
func (l *load) verify(ctx context.Context, v *victim, r *report) error {
	imported, err := l.halves(ctx, v, r)
	if err != nil {
		return err
	}
	if imported < l.imported {
		r.lose("%d imports were answered, and %d are there", l.imported, imported)
	}
	l.imported = imported
	found, err := v.statuses(ctx, l.users())
	if err != nil {
		return err
	}
	for _, s := range l.setters {
		got := found[s.user]
		number, _ := strconv.Atoi(got.CustomStatus)
		if number != s.number && number != s.number+1 {
			r.lose("%s was answered %d, and has %q", s.user, s.number, got.CustomStatus)
		}
		if got.Version < s.version {
			r.lose("%s was answered version %d, and has %d", s.user, s.version, got.Version)
		}
		s.number, s.version = number, got.Version
	}
	for _, p := range l.pairs {
		if err := p.verify(ctx, v, r); err != nil {
			return err
		}
	}
	return nil
}

func (p *pair) verify(ctx context.Context, v *victim, r *report) error {
	friends, err := p.areFriends(ctx, v, r)
	if err != nil {
		return err
	}
	if friends != p.friends && !p.trying {
		r.lose("%s and %s: it was answered that they are friends: %v, and now: %v", p.a, p.b, p.friends, friends)
	}
	p.friends, p.trying = friends, false
	return nil
}

func (p *pair) areFriends(ctx context.Context, v *victim, r *report) (bool, error) {
	there, err := v.friendsOf(ctx, p.a)
	if err != nil {
		return false, err
	}
	back, err := v.friendsOf(ctx, p.b)
	friends := slices.Contains(there, p.b)
	if err == nil && friends != slices.Contains(back, p.a) {
		r.lose("%s and %s are half friends", p.a, p.b)
	}
	return friends, err
}

// friendsOf returns a user's friends; who isn't there has none.
func (v *victim) friendsOf(ctx context.Context, user string) ([]string, error) {
	var data struct{ FriendIDList []string }
	answer, err := v.CallInto(ctx, "/v1/admin/friends?userID="+user, server.AdminKey, nil, &data)
	if err == nil && answer.Code != 0 && answer.Code != 70107 {
		err = fmt.Errorf("the friends of %s: %d %s", user, answer.Code, answer.Message)
	}
	return data.FriendIDList, err
}
