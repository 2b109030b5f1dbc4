package presence

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// TestCursorsOfALostEnd checks that a client misses nothing whose cursor is from an end of
// the log that was lost, when all nodes begin again from what is left of the log.
func TestCursorsOfALostEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 1)
		one := c.nodes[0]
		one.register("alice", "bob", "carol")
		bob := one.web("bob", "tab")
		one.subscribe("bob", "alice", "carol")
		one.set("carol", "kept", 0)
		bob.next()
		end := c.log.last()
		for _, text := range []string{"lost", "lost too", "lost as well"} {
			one.set("alice", text, 0)
			c.pass(time.Second)
			bob.next()
		}
		one.must(one.Close())
		c.log.cut(end)
		files, err := filepath.Glob(one.path + "*")
		one.must(err)
		for _, file := range files {
			one.must(os.Remove(file))
		}
		one.start()
		for range 10 { // as many versions as were lost, and more
			one.set("carol", "kept", 0)
			one.set("carol", "changed", 0)
		}
		again := bob.resume()
		for range 2 {
			for _, s := range again.next().Statuses {
				if s.UserID == "alice" && s.CustomStatus == "" {
					return
				}
			}
		}
		t.Error("a client with a cursor of the lost end doesn't receive the status that is true again")
	})
}
