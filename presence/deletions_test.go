package presence

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func contextThatEndsIn(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), d)
}

// TestOldCredentialsOfADeletedUserStayRefused checks this also after the user returns,
// and after the next kick, deletion and restart.
func TestOldCredentialsOfADeletedUserStayRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.register("alice")
		old := []time.Time{time.UnixMicro(0), time.Now()} // a token without iat counts as issued in 1970
		refused := func(when string) {
			t.Helper()
			for range 2 {
				for _, issued := range old {
					wantCode(t, w.Admit(t.Context(), "alice", issued), CodeRevoked, "a call with an old token "+when)
					for _, d := range []Device{{}, {ID: "tab"}, {ID: "tab", Resume: true, Cursor: 1}, {Resume: true, Cursor: 1}} {
						d.UserID, d.IssuedAt = "alice", issued
						_, err := w.Connect(t.Context(), d)
						wantCode(t, err, CodeRevoked, fmt.Sprintf("a stream of %+v with an old token %s", d, when))
					}
				}
				w.restart(time.Minute)
			}
		}
		w.pass(time.Second)
		w.must(w.Kick(t.Context(), "alice"))
		w.pass(time.Minute)
		w.remove("alice")
		w.pass(time.Minute)
		refused("after kick and deletion")
		if _, failed := w.Get("alice"); len(failed) != 1 {
			t.Error("an old token brings a deleted user back")
		}
		w.register("alice")
		refused("after she was imported again")
		old = append(old, time.Now())
		w.must(w.Admit(t.Context(), "alice", time.Now()))
		w.pass(time.Second)
		w.remove("alice")
		w.pass(time.Minute)
		refused("after the second deletion")
		w.must(w.Admit(t.Context(), "alice", time.Now()))
		refused("after a new token began a new life")
		w.must(w.Kick(t.Context(), "alice"))
		w.pass(time.Minute)
		refused("after a kick in the new life")
	})
}

func TestADeletedIDIsNotStored(t *testing.T) {
	w := open(t)
	w.register("alice-the-deleted")
	w.remove("alice-the-deleted")
	w.together(&settle{}) // after the janitor's removals
	for table, rows := range w.dump() {
		if table != "kicks" && strings.Contains(rows, "alice-the-deleted") {
			t.Errorf("%s still holds the ID of a deleted user:\n%s", table, rows)
		}
	}
}
