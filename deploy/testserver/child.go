package testserver

import (
	"context"
	"testing"
	"time"
)

// Patience is how long all waiting of one test may take together. Each wait is
// for the event itself.
const Patience = 2 * time.Minute

// Child is a Server that belongs to a test: it is killed when the test ends, and
// whatever fails ends the test.
type Child struct {
	*Server
	Ctx context.Context // done when the test ends, or after Patience

	t testing.TB
}

// NewChild returns a server in a folder of its own that isn't started yet. env is
// added to its configuration, as SECTION__KEY=value.
func NewChild(t testing.TB, binary string, env ...string) *Child {
	t.Helper()
	s, err := New(binary, t.TempDir(), env...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	t.Cleanup(cancel)
	t.Cleanup(s.Kill)
	return &Child{s, ctx, t}
}

// Start starts the process, and returns when it is ready.
func (c *Child) Start() {
	c.t.Helper()
	if err := c.Server.Start(); err != nil {
		c.t.Fatal(err)
	}
}

// Do makes a call that must succeed, a GET if body is nil. It decodes the data of
// the response into data, unless data is nil.
func (c *Child) Do(path, token string, body, data any) {
	c.t.Helper()
	if err := c.Must(c.Ctx, path, token, body, data); err != nil {
		c.t.Fatal(err)
	}
}

// Admin makes a call of the server API, like Do; path is what follows /v1/admin/.
func (c *Child) Admin(path string, body, data any) {
	c.t.Helper()
	c.Do("/v1/admin/"+path, AdminKey, body, data)
}

// Befriend registers two users, and makes them friends.
func (c *Child) Befriend(userID, friendID string) {
	c.t.Helper()
	c.Admin("importUsers", map[string]any{"userIDList": []string{userID, friendID}}, nil)
	c.Admin("addFriends", map[string]any{"userID": userID, "friendIDList": []string{friendID}}, nil)
}

// Set sets the custom status of a user.
func (c *Child) Set(userID, text string) {
	c.t.Helper()
	c.Admin("setUserStatus", map[string]any{"userID": userID, "customStatus": text}, nil)
}

// Status returns the status of a user, as in "1 In a call".
func (c *Child) Status(userID string) string {
	c.t.Helper()
	var data struct{ SuccessUserList []Status }
	c.Admin("getUserStatus", map[string]any{"userIDList": []string{userID}}, &data)
	if len(data.SuccessUserList) != 1 {
		c.t.Fatalf("the server doesn't know %s", userID)
	}
	return data.SuccessUserList[0].String()
}

// TokenOf returns a token of a user that is valid for an hour.
func (c *Child) TokenOf(userID string) string {
	c.t.Helper()
	token, err := c.Token(c.Ctx, userID, 3600)
	if err != nil {
		c.t.Fatal(err)
	}
	return token
}

// Open opens a stream of the user's device "d", and returns it after READY. The
// stream is closed when the test ends.
func (c *Child) Open(userID, lastEventID string) *Stream {
	c.t.Helper()
	stream, err := c.Follow(c.Ctx, c.TokenOf(userID), "deviceID=d", lastEventID)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(stream.Close)
	if e := c.Next(stream); e.Type != "READY" {
		c.t.Fatalf("the first event is %q, want READY", e.Raw)
	}
	return stream
}

// Next waits for the next event of a stream.
func (c *Child) Next(stream *Stream) Event {
	c.t.Helper()
	e, err := stream.Next()
	if err != nil {
		c.t.Fatalf("the stream ended: %v\n%s", err, c.Log())
	}
	return e
}

// Awaits reads a stream until it has sent a status of a user, as in "1 In a
// call". It returns all statuses of that user that it has read, in order.
func (c *Child) Awaits(stream *Stream, userID, status string) (seen []string) {
	c.t.Helper()
	for {
		statuses, err := c.Next(stream).Statuses()
		if err != nil {
			c.t.Fatal(err)
		}
		for _, s := range statuses {
			if s.UserID != userID {
				continue
			}
			if seen = append(seen, s.String()); s.String() == status {
				return seen
			}
		}
	}
}
