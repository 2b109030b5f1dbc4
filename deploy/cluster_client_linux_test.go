package deploy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	server "github.com/presence-server/presence/deploy/testserver"
)

// client is the page of a user, who has one friend. It comes back through the proxy
// whenever its stream ends, as the SDK does.
type client struct {
	t                       *testing.T
	browser                 *browser
	userID, friendID, token string

	ready    chan struct{} // closed after the first READY
	received chan string   // the statuses of the friend, as in "1 In a call"

	statuses []string // taken from received
}

// startClients starts clients of so many users, who are friends in pairs, and returns when
// each has a stream. They end with the test.
func (c *cluster) startClients(users int) (clients []*client) {
	c.t.Helper()
	ctx, cancel := context.WithCancel(c.t.Context())
	var all sync.WaitGroup
	c.t.Cleanup(func() {
		cancel()
		all.Wait()
	})
	for i := range users {
		userID, friendID := fmt.Sprint("user", i), fmt.Sprint("user", i^1)
		c.nodes[0].Befriend(userID, friendID)
		one := &client{
			t: c.t, browser: c.browser(), userID: userID, friendID: friendID, token: c.nodes[0].TokenOf(userID),
			ready: make(chan struct{}), received: make(chan string, 1000),
		}
		all.Go(func() { one.run(ctx) })
		clients = append(clients, one)
	}
	for _, one := range clients {
		select {
		case <-one.ready:
		case <-bounded(c.t).Done():
			c.t.Fatalf("%s has no stream:\n%s", one.userID, c.logs())
		}
	}
	return clients
}

func (c *client) run(ctx context.Context) {
	isReady := sync.OnceFunc(func() { close(c.ready) })
	for cursor := ""; ctx.Err() == nil; {
		header := http.Header{"Accept": {"text/event-stream"}, "Last-Event-Id": {cursor}}
		response, err := c.browser.begin(ctx, http.MethodGet, "/v1/events?deviceID=tab&access_token="+c.token, header, "")
		if err == nil && response.StatusCode == http.StatusOK {
			cursor = c.read(server.Read(response.Body), cursor, isReady)
		}
		if err == nil {
			response.Body.Close()
		}
		select {
		case <-time.After(20 * time.Millisecond): // a client doesn't come back at once, either
		case <-ctx.Done():
		}
	}
}

// read reads a stream to its end, and returns the id of the last event.
func (c *client) read(s *server.Stream, cursor string, isReady func()) string {
	for {
		event, err := s.Next()
		if err != nil {
			return cursor
		}
		cursor = event.ID
		statuses, err := event.Statuses()
		if err != nil {
			c.t.Error(err)
		}
		for _, status := range statuses {
			if status.UserID == c.friendID {
				c.received <- status.String()
			}
		}
		isReady()
	}
}

// set sets the custom status of the user through the proxy.
func (c *client) set(text string) {
	c.t.Helper()
	body, _ := json.Marshal(map[string]any{"customStatus": text})
	response, err := c.browser.do(http.MethodPost, "/v1/setSelfStatus", http.Header{"Authorization": {"Bearer " + c.token}}, string(body))
	if err != nil || response.StatusCode != http.StatusOK {
		c.t.Fatalf("%s sets a status: %v, %v", c.userID, response, err)
	}
}

// awaits waits until the client has received a status of its friend.
func (c *client) awaits(status string) {
	c.t.Helper()
	for ctx := bounded(c.t); ; {
		select {
		case got := <-c.received:
			c.statuses = append(c.statuses, got)
			if got == status {
				return
			}
		case <-ctx.Done():
			c.t.Fatalf("%s never receives that %s is %q, but %q", c.userID, c.friendID, status, c.statuses)
		}
	}
}

// setAll makes all users set a status, and waits until all of their friends have received it.
func setAll(clients []*client, text string) {
	for _, c := range clients {
		c.t.Helper()
		c.set(text)
	}
	for _, c := range clients {
		c.awaits("1 " + text)
	}
}

// isCalm checks that a client has received these statuses of its friend and no others
// since the first of them.
func (c *client) isCalm(want ...string) {
	c.t.Helper()
	for len(c.received) > 0 {
		c.statuses = append(c.statuses, <-c.received)
	}
	since := max(0, slices.Index(c.statuses, want[0]))
	if got := c.statuses[since:]; !slices.Equal(got, want) {
		c.t.Errorf("%s received the statuses %q of %s, want %q", c.userID, got, c.friendID, want)
	}
}

// streamsOf returns how many streams a node has.
func (c *cluster) streamsOf(node *server.Child) int {
	c.t.Helper()
	var stats struct{ Streams int }
	node.Admin("stats", nil, &stats)
	return stats.Streams
}

func (c *cluster) everyNodeHasStreams() {
	c.t.Helper()
	for i, node := range c.nodes {
		if c.streamsOf(node) == 0 {
			c.t.Errorf("the proxy has sent no stream to node %d", i+1)
		}
	}
}

// awaitStreams waits until the nodes have so many streams together.
func (c *cluster) awaitStreams(streams int, nodes ...*server.Child) {
	c.t.Helper()
	for got := -1; got != streams; {
		got = 0
		for _, node := range nodes {
			got += c.streamsOf(node)
		}
	}
}
