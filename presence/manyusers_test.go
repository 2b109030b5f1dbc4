package presence

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// TestKicksAreForgottenAmongManyUsers checks that the janitor goes on when something is due
// that concerns no user, and there are more users than it looks at in one search.
func TestKicksAreForgottenAmongManyUsers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 1)
		one := c.nodes[0]
		var users []string
		for i := range 100_000 {
			users = append(users, fmt.Sprint("user-", i))
		}
		for i := 0; i < len(users); i += 1000 {
			_, err := one.Import(t.Context(), users[i:i+1000])
			one.must(err)
		}
		one.web("kicked", "tab")
		one.must(one.Logout(t.Context(), "kicked", "tab"))
		c.pass(2 * time.Minute) // the kick is remembered for a minute
		leaves := one.web("leaves", "tab")
		leaves.Close()
		c.pass(time.Minute)
		c.is("leaves UNLOGINED", "its grace is over")
	})
}
