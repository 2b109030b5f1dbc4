package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/presence-server/presence/bench/server"
)

// TestPromise5KilledUnderLoad kills the server while eight users set one status
// after the other: what was answered is there afterwards.
func TestPromise5KilledUnderLoad(t *testing.T) {
	const users, rounds = 8, 5
	c := newChild(t)
	c.start()
	var ids []string
	for i := range users {
		ids = append(ids, fmt.Sprint("user", i))
	}
	c.admin("importUsers", map[string]any{"userIDList": ids}, nil)
	answered := make([]int, users)
	for round := range rounds {
		enough := make(chan struct{}, users)
		var setters sync.WaitGroup
		for i, id := range ids {
			token := c.token(id)
			setters.Go(func() {
				for {
					text := strconv.Itoa(answered[i] + 1)
					if c.Must(c.ctx, "/v1/setSelfStatus", token, map[string]any{"customStatus": text}, nil) != nil {
						return
					}
					if answered[i]++; answered[i] == 20*(round+1) {
						enough <- struct{}{}
					}
				}
			})
		}
		<-enough
		c.Kill()
		setters.Wait()
		c.start()
		for i, id := range ids {
			got := strings.TrimPrefix(c.status(id), "3 ")
			// One more may have been stored, and its answer lost.
			if got != strconv.Itoa(answered[i]) && got != strconv.Itoa(answered[i]+1) {
				t.Errorf("promise 5: %s was answered %d, and has %q after kill -9", id, answered[i], got)
			}
			answered[i], _ = strconv.Atoi(got)
		}
	}
}

// TestPromise4RestartAnnouncesNothing: everyone comes back within the grace
// after a kill -9, and after a stop.
func TestPromise4RestartAnnouncesNothing(t *testing.T) {
	for name, end := range map[string]func(*child){
		"killed":  func(c *child) { c.Kill() },
		"stopped": func(c *child) { c.Signal(syscall.SIGTERM); c.Wait() },
	} {
		t.Run(name, func(t *testing.T) {
			c := newChild(t)
			c.start()
			c.befriend("alice", "bob")
			alice, bob := c.follow("alice", ""), c.follow("bob", "")
			c.set("alice", "before")
			c.awaits(bob, "alice", "1 before")
			c.awaits(alice, "bob", "1")

			end(c)
			c.start()
			c.follow("alice", alice.Cursor())
			bob = c.follow("bob", bob.Cursor())
			c.set("alice", "after")
			if seen := c.awaits(bob, "alice", "1 after"); len(seen) != 1 {
				t.Errorf("promise 4: bob was told %q of alice, who came back in time", seen)
			}
		})
	}
}

// TestPromise1NoGhostAfterKill: who doesn't come back is ONLINE no longer than
// the restart grace, and who was away learns it when they resume.
func TestPromise1NoGhostAfterKill(t *testing.T) {
	c := newChild(t, "TIMING__RESTART_GRACE=1s", "TIMING__RECONNECT_GRACE=1s")
	c.start()
	c.befriend("alice", "bob")
	c.follow("alice", "")
	bob := c.follow("bob", "")
	c.Kill()
	c.start()
	if got := c.status("alice"); got != "1" {
		t.Errorf("alice is %s right after the start, and has a grace to come back in", got)
	}
	began := time.Now()
	bob = c.follow("bob", bob.Cursor())
	c.awaits(bob, "alice", "3")
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("promise 1: alice was shown ONLINE for %s after a restart with a grace of 1s", took)
	}
}

func (c *child) befriend(userID, friendID string) {
	c.t.Helper()
	c.admin("importUsers", map[string]any{"userIDList": []string{userID, friendID}}, nil)
	c.admin("addFriends", map[string]any{"userID": userID, "friendIDList": []string{friendID}}, nil)
}

// TestStop: streams end at once, each told when to come back, and the exit code
// is 0.
func TestStop(t *testing.T) {
	c := newChild(t)
	c.start()
	alice := c.follow("alice", "")
	cursor := alice.Cursor()
	c.Signal(syscall.SIGTERM)
	last := c.next(alice)
	retry, err := strconv.Atoi(last.Retry)
	if err != nil || retry < 0 || retry > 5000 || last.ID != cursor || last.Type != "KEEPALIVE" {
		t.Errorf("the last event of a stream is %+v, and should tell when to retry and change no cursor", last)
	}
	if _, err := alice.Next(); err != io.EOF {
		t.Errorf("the stream goes on: %v", err)
	}
	if code := c.Wait(); code != 0 {
		t.Errorf("exit code %d\n%s", code, c.Log())
	}
}

// TestFullDisk: writes are refused and reads go on while there is no room, and
// nothing needs a restart when there is.
func TestFullDisk(t *testing.T) {
	folder := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=2m", "presence-test", folder).CombinedOutput(); err != nil {
		t.Skipf("needs a file system of its own, and mount says: %s", out)
	}
	t.Cleanup(func() { exec.Command("umount", folder).Run() })
	c := newChild(t, "DATABASE__PATH="+filepath.Join(folder, "presence.db"), "TIMING__KEEPALIVE=100ms")
	c.start()
	token := c.token("alice")
	alice := c.follow("alice", "")
	c.set("alice", "before")
	c.awaits(alice, "alice", "1 before")

	filler := filepath.Join(folder, "filler")
	fill(t, filler)
	answer := c.untilRefused(token)
	if answer.Status != 503 || answer.Code != 60022 {
		t.Errorf("a write without room is answered %d and %d, want 503 and 60022", answer.Status, answer.Code)
	}
	// What it writes to find out is less than a status, and may fit once or
	// twice into the last block of the log.
	ready, err := c.Call(c.ctx, "/readyz", "", nil)
	for i := 0; i < 4 && ready.Status == 200; i++ {
		c.untilRefused(token)
		ready, err = c.Call(c.ctx, "/readyz", "", nil)
	}
	if err != nil || ready.Status != 503 || !strings.Contains(ready.Message, "full") {
		t.Errorf("/readyz answers %+v %v, and should say that the disk is full", ready, err)
	}
	if got := c.status("alice"); !strings.HasPrefix(got, "1 ") {
		t.Errorf("a read without room finds %q", got)
	}
	for e := c.next(alice); e.Type != "KEEPALIVE"; e = c.next(alice) {
	}

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if ready, err := c.Call(c.ctx, "/readyz", "", nil); err != nil || ready.Status != 200 {
		t.Errorf("with room again /readyz answers %+v %v", ready, err)
	}
	c.set("alice", "after")
	c.awaits(alice, "alice", "1 after")
	for _, line := range []string{"database can't be written", "database can be written again"} {
		if !strings.Contains(c.Log(), line) {
			t.Errorf("the log doesn't tell that the %s:\n%s", line, c.Log())
		}
	}
}

// fill takes all the room that is left.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, size := range []int{64 << 10, 4 << 10} {
		for block := make([]byte, size); err == nil; {
			_, err = f.Write(block)
		}
		err = nil
	}
}

// untilRefused sets statuses until one is refused: the log may have had room
// for a few.
func (c *child) untilRefused(token string) server.Answer {
	c.t.Helper()
	for i := range 1000 {
		body := map[string]any{"customStatus": fmt.Sprint("text ", i)}
		answer, err := c.Call(c.ctx, "/v1/setSelfStatus", token, body)
		if err != nil {
			c.t.Fatal(err)
		}
		if answer.Code != 0 {
			return answer
		}
	}
	c.t.Fatal("no write was refused on a full disk")
	return server.Answer{}
}
