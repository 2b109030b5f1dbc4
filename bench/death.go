//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/presence-server/presence/bench/lab"
	"github.com/presence-server/presence/presence"
)

const (
	deathGrace   = 15 * time.Second // long enough for those who return
	connectors   = 1000             // number of users who connect at the same time
	loggedInSign = "logged in"
)

// clusterDeath is the death of a node that has many users, most of whom return to the other
// nodes. The nodes are embedded services, because so many connections don't fit into one
// process.
func (b *bench) clusterDeath() load {
	users := b.Scale(100_000, 6000)
	return load{
		name:  fmt.Sprintf("cluster: a node with %d users dies", users),
		shape: "kill -9; two thirds of the users return to two other nodes, the others don't",
		figures: []figure{
			{what: "logins/s at the node before"},
			{what: "s until the others end its run"},
			{what: "ms, longest time to apply an entry", most: 5},
			{what: "logins/s of those who return"},
			{what: "users/s who become UNLOGINED"},
			{what: "ms, longest time to apply meanwhile", most: 50},
		},
		ours: func(ctx context.Context) ([]float64, error) {
			c, err := b.newCluster()
			if err != nil {
				return nil, err
			}
			defer c.end()
			return c.death(ctx, users)
		},
	}
}

func (c *cluster) death(ctx context.Context, users int) (_ []float64, err error) {
	nodes, err := c.embed(ctx, nodesInCluster-1)
	defer func() { err = errors.Join(err, closeAll(nodes)) }()
	if err != nil {
		return nil, err
	}
	dying, logins, err := c.logIn(ctx, users)
	if err != nil {
		return nil, err
	}
	if err := catchUp(ctx, nodes); err != nil {
		return nil, err
	}
	returning := users * 2 / 3
	feed, err := follow(nodes[1].svc, userName(returning))
	if err != nil {
		return nil, err
	}
	defer feed.close()
	for _, n := range nodes {
		n.log.longest.Store(0)
	}
	dying.Process.Kill()
	dying.Wait()
	died := time.Now()
	if err := nodes[0].awaitNodes(ctx, len(nodes)); err != nil {
		return nil, err
	}
	noticed, applied := time.Since(died), nodes[0].log.longest.Load()
	began := time.Now()
	err = connectAll(ctx, returning, func(i int) error {
		_, err := nodes[i%len(nodes)].svc.Connect(ctx, presence.Device{UserID: userName(i), ID: "d", Resume: true, Cursor: feed.from})
		return err
	})
	if err != nil {
		return nil, err
	}
	returned := time.Since(began)
	for _, n := range nodes {
		n.log.longest.Store(0)
	}
	swept, err := feed.until(ctx, int64(users-returning))
	if err != nil {
		return nil, err
	}
	if n := feed.ofReturned.Load(); n > 0 {
		return nil, fmt.Errorf("%d events of users who returned within %.1f s", n, returned.Seconds())
	}
	return []float64{logins, noticed.Seconds(), lab.Millis(time.Duration(applied)), float64(returning) / returned.Seconds(),
		float64(users-returning) / swept.Seconds(), lab.Millis(time.Duration(nodes[0].log.longest.Load()))}, nil
}

// catchUp waits until all nodes have applied the log.
func catchUp(ctx context.Context, nodes []*embedded) error {
	for _, n := range nodes {
		if err := n.catchUp(ctx); err != nil {
			return err
		}
	}
	return nil
}

// logIn starts a node as a process of its own, and logs all users in there. It returns the
// logins per second.
func (c *cluster) logIn(ctx context.Context, users int) (*exec.Cmd, float64, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, 0, err
	}
	command := exec.CommandContext(ctx, self, "-node", fmt.Sprint(users), filepath.Join(c.b.Folder, fmt.Sprintf("dying-%d.db", time.Now().UnixNano())), c.url())
	command.Stderr = os.Stderr
	out, err := command.StdoutPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		return nil, 0, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	var rate float64
	if _, errScan := fmt.Sscanf(line, loggedInSign+" %g", &rate); errScan != nil {
		return nil, 0, fmt.Errorf("the node hasn't logged its users in: %q, %w", line, err)
	}
	return command, rate, nil
}

// beNode is what the process of logIn does until it is killed.
func beNode(ctx context.Context, users int, path, url string) error {
	n, err := openEmbedded(ctx, path, url)
	if err != nil {
		return err
	}
	for some := range slices.Chunk(names(users), 1000) {
		if _, err := n.svc.Import(ctx, some); err != nil {
			return err
		}
	}
	began := time.Now()
	err = connectAll(ctx, users, func(i int) error {
		_, err := n.svc.Connect(ctx, presence.Device{UserID: userName(i), ID: "d"})
		return err
	})
	if err != nil {
		return err
	}
	fmt.Println(loggedInSign, float64(users)/time.Since(began).Seconds())
	<-ctx.Done()
	return n.close()
}

func names(n int) (all []string) {
	for i := range n {
		all = append(all, userName(i))
	}
	return all
}

// connectAll connects users 0 to n-1.
func connectAll(ctx context.Context, n int, connect func(i int) error) error {
	var running sync.WaitGroup
	failed := make(chan error, connectors)
	for first := range connectors {
		running.Go(func() {
			for i := first; i < n && ctx.Err() == nil; i += connectors {
				if err := connect(i); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	running.Wait()
	close(failed)
	return errors.Join(<-failed, ctx.Err())
}

// timedLog measures how long a node takes to apply what Next has returned: until it calls
// Next again.
type timedLog struct {
	presence.Log
	returned time.Time // only for the one goroutine that calls Next with growing places
	longest  atomic.Int64
}

// Next implements presence.Log.
func (l *timedLog) Next(ctx context.Context, after int64) ([]presence.LogEntry, error) {
	if !l.returned.IsZero() {
		l.longest.Store(max(l.longest.Load(), int64(time.Since(l.returned))))
	}
	entries, err := l.Log.Next(ctx, after)
	l.returned = time.Now()
	return entries, err
}

// following is a feed that counts what it receives.
type following struct {
	feed       *presence.Feed
	from       int64  // the cursor with which it began
	lost       string // the first user who doesn't return
	ofReturned atomic.Int64
	ofLost     atomic.Int64
	ended      chan struct{}

	mu          sync.Mutex
	first, last time.Time
}

func follow(svc *presence.Service, lost string) (*following, error) {
	from := svc.Position().Version
	feed, err := svc.Follow(from)
	if err != nil {
		return nil, err
	}
	f := &following{feed: feed, from: from, lost: lost, ended: make(chan struct{})}
	go f.read()
	return f, nil
}

func (f *following) read() {
	defer close(f.ended)
	for {
		event, err := f.feed.Next(context.Background())
		if err != nil {
			return
		}
		if len(event.Statuses) == 0 {
			continue
		}
		f.mu.Lock()
		if f.first.IsZero() {
			f.first = time.Now()
		}
		f.last = time.Now()
		f.mu.Unlock()
		for _, s := range event.Statuses {
			if s.UserID < f.lost { // names have the same length
				f.ofReturned.Add(1)
			} else {
				f.ofLost.Add(1)
			}
		}
	}
}

// until waits until n statuses were received, and returns how long after the first one the
// last one came.
func (f *following) until(ctx context.Context, n int64) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, deathGrace+patience)
	defer cancel()
	every := time.NewTicker(10 * time.Millisecond)
	defer every.Stop()
	for f.ofLost.Load() < n {
		select {
		case <-every.C:
		case <-ctx.Done():
			return 0, fmt.Errorf("%d of %d users have become UNLOGINED: %w", f.ofLost.Load(), n, ctx.Err())
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last.Sub(f.first), nil
}

func (f *following) close() {
	f.feed.Close()
	<-f.ended
}
