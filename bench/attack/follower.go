//go:build linux

package main

import (
	"context"
	"maps"
	"strconv"
	"sync"

	"github.com/presence-server/presence/bench/lab"
	"github.com/presence-server/presence/deploy/testserver"
)

// follower is a well-behaved client: it knows what its stream has sent, and resumes
// where the stream ended. It checks what every stream promises.
type follower struct {
	user, token string
	r           *report
	resumes     bool // it has had a stream before
	lossy       bool // the server may have lost what the follower knows, and then versions go back

	// each, unless nil, is called with each event instead of remembering it, with mu held.
	each func(moment)

	mu     sync.Mutex
	cursor int64
	knows  map[string]testserver.Status
	stream *testserver.Stream
	ended  chan struct{}
	heard  []moment
}

// moment is what a follower received in one event, so that a client can be returned to
// it.
type moment struct {
	cursor   int64
	statuses []testserver.Status
}

func newFollower(user string, r *report) *follower {
	return &follower{user: user, token: lab.Token(user), r: r, knows: make(map[string]testserver.Status)}
}

// open opens the stream, resuming if there was one, and reads until it ends.
func (f *follower) open(ctx context.Context, v *victim) error {
	last := ""
	if f.resumes {
		last = strconv.FormatInt(f.cursor, 10)
	}
	stream, err := v.Follow(ctx, f.token, "deviceID=d", last)
	if err != nil {
		return err
	}
	event, err := stream.Next()
	if err != nil {
		return err
	}
	f.resumes = true
	f.note(event)
	f.stream, f.ended = stream, make(chan struct{})
	go func() {
		defer close(f.ended)
		for {
			event, err := stream.Next()
			if err != nil {
				return
			}
			f.note(event)
		}
	}()
	return nil
}

// close ends the stream, as a client does that leaves.
func (f *follower) close() {
	if f.stream != nil {
		f.stream.Close()
		<-f.ended
	}
}

func (f *follower) note(e testserver.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	cursor, err := strconv.ParseInt(e.ID, 10, 64)
	if err != nil || cursor < f.cursor && e.Type != "READY" {
		f.r.lose("%s: the id %q of %s comes after %d", f.user, e.ID, e.Type, f.cursor)
	}
	f.cursor = cursor
	statuses, err := e.Statuses()
	if err != nil {
		f.r.lose("%s: %s has the data %q", f.user, e.Type, e.Data)
	}
	for _, s := range statuses {
		if known := f.knows[s.UserID].Version; s.Version < known && !f.lossy {
			f.r.lose("%s is sent version %d of %s after %d", f.user, s.Version, s.UserID, known)
		}
		f.knows[s.UserID] = s
	}
	if f.each != nil {
		f.each(moment{cursor, statuses})
	} else {
		f.heard = append(f.heard, moment{cursor, statuses})
	}
}

// asOf returns the same client as it was after n of its events.
func (f *follower) asOf(events int) *follower {
	earlier := &follower{user: f.user, token: f.token, r: f.r, resumes: true, lossy: true, knows: make(map[string]testserver.Status)}
	for _, m := range f.heard[:events] {
		earlier.cursor = m.cursor
		for _, s := range m.statuses {
			earlier.knows[s.UserID] = s
		}
	}
	return earlier
}

func (f *follower) events() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.heard)
}

// known returns what the follower knows, and up to which cursor.
func (f *follower) known() (map[string]testserver.Status, int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.knows), f.cursor
}
