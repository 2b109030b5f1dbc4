//go:build linux

package main

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/presence-server/presence/bench/lab"
	"github.com/presence-server/presence/deploy/testserver"
)

// load is users who write as fast as the server answers, and the answers they
// received. Each user sets the numbers from 1 on as a status. Meanwhile users are
// imported, several in each call.
type load struct {
	setters  []*setter
	imported int // number of calls that were answered

	answered atomic.Int64 // number of writes
	refused  atomic.Int64 // number of writes refused with 503 and 60022
}

type setter struct {
	user, token string
	number      int // the last number that was answered
	version     int64
}

func newLoad(ctx context.Context, v *victim, setters int) (*load, error) {
	l := new(load)
	for _, user := range lab.Names("setter", setters) {
		l.setters = append(l.setters, &setter{user: user, token: lab.Token(user)})
	}
	return l, v.Register(ctx, l.users())
}

// users returns the users who set statuses.
func (l *load) users() []string {
	var users []string
	for _, s := range l.setters {
		users = append(users, s.user)
	}
	return users
}

// untilKilled writes, and kills the server after a number of answers.
func (l *load) untilKilled(ctx context.Context, v *victim, answers int64) {
	var running sync.WaitGroup
	enough := make(chan struct{})
	running.Go(func() { l.run(ctx, v, answers, func() { close(enough) }) })
	select {
	case <-enough:
	case <-ctx.Done():
	}
	v.Kill()
	http.DefaultClient.CloseIdleConnections()
	running.Wait()
}

// run writes until the server is gone or end is done, and waits for the calls under
// way. It calls enough when a number of writes have been answered.
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
		running.Go(func() { l.repeat(end, count, func() (testserver.Answer, error) { return s.set(ctx, v) }) })
	}
	running.Go(func() { l.repeat(end, count, func() (testserver.Answer, error) { return l.importSome(ctx, v) }) })
	running.Wait()
}

// repeat makes calls until one is not answered.
func (l *load) repeat(end context.Context, count func(), call func() (testserver.Answer, error)) {
	for end.Err() == nil {
		answer, err := call()
		switch {
		case err != nil:
			return
		case answer.Code == 0:
			count()
		case answer.Status == 503 && answer.Code == 60022:
			l.refused.Add(1)
		}
	}
}

func (s *setter) set(ctx context.Context, v *victim) (testserver.Answer, error) {
	var status testserver.Status
	answer, err := v.CallInto(ctx, "/v1/setSelfStatus", s.token, map[string]any{"customStatus": strconv.Itoa(s.number + 1)}, &status)
	if err == nil && answer.Code == 0 {
		s.number++
		s.version = status.Version
	}
	return answer, err
}

// inEach is the number of users that one call imports.
const inEach = 10

func batchOf(call int) []string { return lab.Names(fmt.Sprint("imported-", call), inEach) }

func (l *load) importSome(ctx context.Context, v *victim) (testserver.Answer, error) {
	answer, err := v.Call(ctx, "/v1/admin/importUsers", testserver.AdminKey, map[string]any{"userIDList": batchOf(l.imported)})
	if err == nil && answer.Code == 0 {
		l.imported++
	}
	return answer, err
}

// halves looks for operations of which only a part is stored, and returns how many
// imports are stored.
func (l *load) halves(ctx context.Context, v *victim, r *report) (imported int, err error) {
	var all []string
	for call := range l.imported + 1 { // one more may have been stored if its answer was lost
		all = append(all, batchOf(call)...)
	}
	found, err := v.Statuses(ctx, all)
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
			r.lose("of %d users imported in one call, %d are stored", inEach, n)
		}
		imported += n / inEach
	}
	return imported, nil
}

// verify compares the answers with what the server has stored. For each writer, one
// more write may be stored, whose answer was lost.
func (l *load) verify(ctx context.Context, v *victim, r *report) error {
	imported, err := l.halves(ctx, v, r)
	if err != nil {
		return err
	}
	if imported < l.imported {
		r.lose("%d imports were answered, but %d are stored", l.imported, imported)
	}
	l.imported = imported
	found, err := v.Statuses(ctx, l.users())
	if err != nil {
		return err
	}
	for _, s := range l.setters {
		got := found[s.user]
		number, _ := strconv.Atoi(got.CustomStatus)
		if number != s.number && number != s.number+1 {
			r.lose("%s was answered %d, but %q is stored", s.user, s.number, got.CustomStatus)
		}
		if got.Version < s.version {
			r.lose("%s was answered version %d, but %d is stored", s.user, s.version, got.Version)
		}
		s.number, s.version = number, got.Version
	}
	return nil
}
