package presence_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/presence-server/presence/presence"
)

// openTemp opens a service that the example need not remove.
func openTemp() (svc *presence.Service, done func()) {
	folder, err := os.MkdirTemp("", "presence")
	if err != nil {
		panic(err)
	}
	svc, err = presence.Open(context.Background(), presence.Config{Path: filepath.Join(folder, "presence.db")})
	if err != nil {
		panic(err)
	}
	return svc, func() { svc.Close(); os.RemoveAll(folder) }
}

// Register users, connect a device of one of them, and read its stream.
func Example() {
	svc, done := openTemp()
	defer done()
	ctx := context.Background()

	svc.Import(ctx, []string{"alice", "bob"})
	session, err := svc.Connect(ctx, presence.Device{UserID: "alice", ID: "tab", Platform: presence.Web})
	if err != nil {
		panic(err)
	}
	defer session.Close()
	event, _ := session.Next(ctx)
	fmt.Println(event.Type, event.Self.UserID, event.Self.StatusType)

	svc.Set(ctx, "alice", "In a call", 0)
	event, _ = session.Next(ctx)
	fmt.Println(event.Type, event.Statuses[0].CustomStatus)

	found, _ := svc.Get("bob", "alice")
	for _, status := range found {
		fmt.Println(status.UserID, status.StatusType)
	}
	// Output:
	// READY alice ONLINE
	// USER_STATUS_UPDATED In a call
	// bob UNLOGINED
	// alice ONLINE
}

// Subscribe returns the statuses as they are. Later changes arrive as events.
func ExampleService_Subscribe() {
	svc, done := openTemp()
	defer done()
	ctx := context.Background()
	svc.Import(ctx, []string{"bob"})
	alice, _ := svc.Connect(ctx, presence.Device{UserID: "alice"})
	defer alice.Close()
	alice.Next(ctx) // READY

	answer, _ := svc.Subscribe(ctx, "alice", []string{"bob", "nobody"})
	fmt.Println("now:", answer.Statuses[0].UserID, answer.Statuses[0].StatusType)
	fmt.Println("failed:", answer.Failed[0].UserID, answer.Failed[0].Message)

	bob, _ := svc.Connect(ctx, presence.Device{UserID: "bob"})
	defer bob.Close()
	event, _ := alice.Next(ctx)
	fmt.Println("later:", event.Statuses[0].UserID, event.Statuses[0].StatusType)
	// Output:
	// now: bob UNLOGINED
	// failed: nobody no such user
	// later: bob ONLINE
}

// A custom status may end by itself.
func ExampleService_Set() {
	svc, done := openTemp()
	defer done()
	ctx := context.Background()
	svc.Import(ctx, []string{"alice"})

	status, _ := svc.Set(ctx, "alice", "Lunch", time.Hour)
	left := status.ExpiresAt.Sub(svc.Now()).Round(time.Minute)
	fmt.Printf("%s for %v\n", status.CustomStatus, left)

	status, _ = svc.Set(ctx, "alice", "Lunch", 0)
	fmt.Println("ends by itself:", !status.ExpiresAt.IsZero())
	// Output:
	// Lunch for 1h0m0s
	// ends by itself: false
}

// A call has an entry of its own. While it lasts, its text is shown, because the entry of a
// named source has a higher priority; once it ends, the text below it is shown again.
func ExampleService_SetEntry() {
	svc, done := openTemp()
	defer done()
	ctx := context.Background()
	svc.Import(ctx, []string{"alice"})
	set := func(e presence.Entry) {
		status, err := svc.SetEntry(ctx, "alice", e)
		fmt.Printf("%s, %s, %v\n", status.CustomStatus, status.Availability, err)
	}

	set(presence.Entry{CustomStatus: "Writing", Availability: presence.Busy})
	set(presence.Entry{Source: "call", CustomStatus: "In a call", Availability: presence.DND, ExpiresIn: time.Hour})
	set(presence.Entry{Source: "call"}) // the call has ended
	set(presence.Entry{Source: "calendar", CustomStatus: "In a meeting"})
	// Output:
	// Writing, busy, <nil>
	// In a call, dnd, <nil>
	// Writing, busy, <nil>
	// , , an entry with a source must have expiresIn or expiresAt
}

// A device that comes back with its cursor receives what it has missed: the last
// status of each user, not the history.
func ExampleService_Connect_resume() {
	svc, done := openTemp()
	defer done()
	ctx := context.Background()
	svc.Import(ctx, []string{"bob"})
	device := presence.Device{UserID: "alice", ID: "tab"}
	session, _ := svc.Connect(ctx, device)
	event, _ := session.Next(ctx)
	svc.Subscribe(ctx, "alice", []string{"bob"})
	session.Close()

	svc.Set(ctx, "bob", "Lunch", 0)
	svc.Set(ctx, "bob", "Back", 0)
	device.Resume, device.Cursor = true, event.Cursor
	session, _ = svc.Connect(ctx, device)
	defer session.Close()
	event, _ = session.Next(ctx)
	fmt.Println(event.Type)
	event, _ = session.Next(ctx)
	fmt.Println(event.Type, event.Statuses[0].UserID, event.Statuses[0].CustomStatus)
	// Output:
	// READY
	// USER_STATUS_UPDATED bob Back
}

// Send a push message when somebody comes online. The feed makes nobody ONLINE. A program
// that has stored the cursor of the last event passes it to Follow after a restart, and
// misses nothing.
func ExampleService_Follow() {
	svc, done := openTemp()
	defer done()
	ctx := context.Background()
	svc.Import(ctx, []string{"alice", "bob"})
	feed, err := svc.Follow(presence.FromNow)
	if err != nil {
		panic(err)
	}
	defer feed.Close()

	svc.Set(ctx, "alice", "Back at two", 0)
	alice, _ := svc.Connect(ctx, presence.Device{UserID: "alice"})
	defer alice.Close()

	for status, err := range feed.Statuses(ctx) {
		if err != nil {
			panic(err)
		}
		if status.StatusType == presence.Online {
			fmt.Printf("push to bob: %s is online (%s)\n", status.UserID, status.CustomStatus)
			break
		}
	}
	// Output:
	// push to bob: alice is online (Back at two)
}
