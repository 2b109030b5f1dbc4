package main

import (
	"fmt"
	"io"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	server "github.com/presence-server/presence/deploy/testserver"
)

// TestPromise4RestartAnnouncesNothing checks that nothing is announced when all users
// come back within the grace, after a kill -9 and after a stop.
func TestPromise4RestartAnnouncesNothing(t *testing.T) {
	for name, end := range map[string]func(*child){
		"killed":  func(c *child) { c.Kill() },
		"stopped": func(c *child) { c.Signal(syscall.SIGTERM); c.Wait() },
	} {
		t.Run(name, func(t *testing.T) {
			c := newChild(t)
			c.Start()
			c.Befriend("alice", "bob")
			alice, bob := c.Open("alice", ""), c.Open("bob", "")
			c.Set("alice", "before")
			c.Awaits(bob, "alice", "1 before")
			c.Awaits(alice, "bob", "1")

			end(c)
			c.Start()
			c.Open("alice", alice.Cursor())
			bob = c.Open("bob", bob.Cursor())
			c.Set("alice", "after")
			if seen := c.Awaits(bob, "alice", "1 after"); len(seen) != 1 {
				t.Errorf("promise 4: bob received %q about alice, who came back in time", seen)
			}
		})
	}
}

// TestPromise1NoGhostAfterKill checks that a user who doesn't come back is ONLINE for
// no longer than the restart grace, and that a watcher who was away receives the
// change on resuming.
func TestPromise1NoGhostAfterKill(t *testing.T) {
	c := newChild(t, "TIMING__RESTART_GRACE=1s", "TIMING__RECONNECT_GRACE=1s")
	c.Start()
	c.Befriend("alice", "bob")
	c.Open("alice", "")
	bob := c.Open("bob", "")
	c.Kill()
	c.Start()
	if got := c.Status("alice"); got != "1" {
		t.Errorf("alice is %s right after the start, but her grace isn't over", got)
	}
	began := time.Now()
	bob = c.Open("bob", bob.Cursor())
	c.Awaits(bob, "alice", "3")
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("promise 1: alice was shown ONLINE for %s after a restart with a grace of 1s", took)
	}
}

// TestARenameIsWhole kills the server while many users receive another ID. It checks that
// each is then a friend under exactly one ID: under the new one, if that was announced.
func TestARenameIsWhole(t *testing.T) {
	c := newChild(t)
	c.Start()
	const users = 40
	for i := range users {
		c.Befriend("bob", fmt.Sprint("old", i))
	}
	bob := c.Open("bob", "")
	var calls sync.WaitGroup
	for i := range users {
		body := map[string]any{"userID": fmt.Sprint("old", i), "to": fmt.Sprint("new", i)}
		calls.Go(func() { c.Call(c.Ctx, "/v1/admin/renameUser", server.AdminKey, body) }) // ended by the kill
	}
	announced, err := c.Next(bob).Statuses()
	if err != nil {
		t.Fatal(err)
	}
	c.Kill()
	calls.Wait()
	c.Start()

	var friends struct{ UserList []server.Status }
	c.Do("/v1/friends", c.TokenOf("bob"), nil, &friends)
	exists := make(map[string]bool)
	for _, friend := range friends.UserList {
		exists[friend.UserID] = true
	}
	for i := range users {
		if before, after := exists[fmt.Sprint("old", i)], exists[fmt.Sprint("new", i)]; before == after {
			t.Errorf("user %d is a friend under the old ID: %v, under the new one: %v", i, before, after)
		}
	}
	for _, s := range announced {
		if unknown := s.StatusType == 0; exists[s.UserID] == unknown {
			t.Errorf("%s was announced as %q, but is a friend: %v", s.UserID, s, exists[s.UserID])
		}
	}
}

// TestStop checks that streams end immediately, that each receives a retry,
// and that the exit code is zero.
func TestStop(t *testing.T) {
	c := newChild(t)
	c.Start()
	alice := c.Open("alice", "")
	cursor := alice.Cursor()
	c.Signal(syscall.SIGTERM)
	last := c.Next(alice)
	retry, err := strconv.Atoi(last.Retry)
	if err != nil || retry < 0 || retry > 5000 || last.ID != cursor || last.Type != "KEEPALIVE" {
		t.Errorf("the last event of a stream is %+v, want a retry and no id", last)
	}
	if _, err := alice.Next(); err == nil || err == io.EOF { // a proper end, after which some clients don't reconnect
		t.Errorf("the stream continues, or ends properly: %v", err)
	}
	if code := c.Wait(); code != 0 {
		t.Errorf("exit code %d\n%s", code, c.Log())
	}
}
