package presence_test

import (
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/presence-server/presence/presence"
)

// TestElevenSecondsLaterSheIsGone shows how a program that embeds the package tests
// with time: in a bubble of testing/synctest, in which eleven seconds take no time.
func TestElevenSecondsLaterSheIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc, err := presence.Open(t.Context(), presence.Config{Path: filepath.Join(t.TempDir(), "presence.db")})
		if err != nil {
			t.Fatal(err)
		}
		defer svc.Close() // inside the bubble, because its goroutines must be
		session, err := svc.Connect(t.Context(), presence.Device{UserID: "alice", Platform: presence.Web})
		if err != nil {
			t.Fatal(err)
		}
		session.Close() // her browser is gone; the reconnect grace is 10 seconds

		<-time.After(9 * time.Second)
		synctest.Wait()
		if found, _ := svc.Get("alice"); found[0].StatusType != presence.Online {
			t.Errorf("nine seconds later she is %s, want ONLINE", found[0].StatusType)
		}
		<-time.After(2 * time.Second)
		synctest.Wait()
		if found, _ := svc.Get("alice"); found[0].StatusType != presence.Unlogined {
			t.Errorf("eleven seconds later she is %s, want UNLOGINED", found[0].StatusType)
		}
	})
}
