package main

import (
	"io"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// TestPromise4RestartAnnouncesNothing: everyone comes back within the grace
// after a kill -9, and after a stop.
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
				t.Errorf("promise 4: bob was told %q of alice, who came back in time", seen)
			}
		})
	}
}

// TestPromise1NoGhostAfterKill: who doesn't come back is ONLINE no longer than
// the restart grace, and who was away learns it when they resume.
func TestPromise1NoGhostAfterKill(t *testing.T) {
	c := newChild(t, "TIMING__RESTART_GRACE=1s", "TIMING__RECONNECT_GRACE=1s")
	c.Start()
	c.Befriend("alice", "bob")
	c.Open("alice", "")
	bob := c.Open("bob", "")
	c.Kill()
	c.Start()
	if got := c.Status("alice"); got != "1" {
		t.Errorf("alice is %s right after the start, and has a grace to come back in", got)
	}
	began := time.Now()
	bob = c.Open("bob", bob.Cursor())
	c.Awaits(bob, "alice", "3")
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("promise 1: alice was shown ONLINE for %s after a restart with a grace of 1s", took)
	}
}

// TestStop: streams end at once, each told when to come back, and the exit code
// is 0.
func TestStop(t *testing.T) {
	c := newChild(t)
	c.Start()
	alice := c.Open("alice", "")
	cursor := alice.Cursor()
	c.Signal(syscall.SIGTERM)
	last := c.Next(alice)
	retry, err := strconv.Atoi(last.Retry)
	if err != nil || retry < 0 || retry > 5000 || last.ID != cursor || last.Type != "KEEPALIVE" {
		t.Errorf("the last event of a stream is %+v, and should tell when to retry and change no cursor", last)
	}
	if _, err := alice.Next(); err == nil || err == io.EOF { // a proper end, at which some clients stop for good
		t.Errorf("the stream goes on, or ends properly: %v", err)
	}
	if code := c.Wait(); code != 0 {
		t.Errorf("exit code %d\n%s", code, c.Log())
	}
}
