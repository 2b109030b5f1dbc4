//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/presence-server/presence/deploy/testserver"
)

// cluster is several nodes that share a log in a PostgreSQL on this machine.
type cluster struct {
	b        *bench
	folder   string // of PostgreSQL
	postgres *testserver.Postgres
	nodes    []*target
}

const nodesInCluster = 3

// clusters returns the loads of several nodes.
func (b *bench) clusters() []load {
	return []load{b.clusterSet(), b.clusterCalls(), b.clusterSeen(), b.clusterDeath(), b.clusterJoin()}
}

// newCluster returns a cluster without a node. It must be ended.
func (b *bench) newCluster() (c *cluster, err error) {
	c = &cluster{b: b}
	if c.folder, err = os.MkdirTemp("", "presence-postgres-"); err != nil { // not in a folder that only root can reach
		return nil, err
	}
	if c.postgres, err = testserver.NewPostgres(c.folder); err == nil {
		err = c.postgres.Start()
	}
	if err != nil {
		c.end()
	}
	return c, err
}

// add starts a node with a copy of a database, or with none if the path is "".
func (c *cluster) add(database string) (*target, error) {
	s, err := c.b.Lab.Start(database, "LOG__LEVEL=warn", "CLUSTER__LOG="+c.url(), fmt.Sprint("CLUSTER__NAME=node-", len(c.nodes)))
	if err != nil {
		return nil, err
	}
	t := &target{address: s.Address, pid: s.Pid(), end: s.End, ours: s}
	c.nodes = append(c.nodes, t)
	return t, nil
}

// url returns the address of the log.
func (c *cluster) url() string { return c.postgres.URL("postgres") }

func (c *cluster) end() {
	for _, t := range c.nodes {
		t.end()
	}
	if c.postgres != nil {
		c.postgres.Kill()
	}
	os.RemoveAll(c.folder)
}

// onCluster returns a side that does work on a cluster of three nodes, the first of which
// starts with the database that seed returns. seed may be nil.
func (b *bench) onCluster(seed func(ctx context.Context) (string, error), work func(ctx context.Context, c *cluster) ([]float64, error)) side {
	return func(ctx context.Context) ([]float64, error) {
		database, err := "", error(nil)
		if seed != nil {
			database, err = seed(ctx)
		}
		if err != nil {
			return nil, err
		}
		c, err := b.newCluster()
		if err != nil {
			return nil, err
		}
		defer c.end()
		for range nodesInCluster {
			if _, err := c.add(database); err != nil {
				return nil, err
			}
			database = "" // the others copy it from the log
		}
		return work(ctx, c)
	}
}

// clusterSet is clients that set their statuses, each as soon as its last call is answered,
// evenly at all nodes.
func (b *bench) clusterSet() load {
	const clients = 64
	calls := b.Scale(50_000, 5000)
	all := tokens(clients)
	set := func(c *caller, i int) error { return c.setStatus(all[i%clients], i) }
	return load{
		name:  "cluster: set, 64 clients",
		shape: "saturated; as above, but 64 clients of three nodes, and PostgreSQL, all on this machine",
		figures: []figure{
			{what: "CPU µs, all nodes together"},
			{what: "setSelfStatus/s"},
			{what: "ms, median"},
			{what: "ms, p99"},
		},
		ours: b.onCluster(nil, func(_ context.Context, c *cluster) ([]float64, error) {
			if _, err := c.callers(10*clients, clients, set); err != nil { // all users are registered
				return nil, err
			}
			total := cost{units: calls}
			for _, t := range c.nodes {
				before, err := cpuTime(t.pid)
				if err != nil {
					return nil, err
				}
				total.cpu -= before
			}
			began := time.Now()
			delays, err := c.callers(calls, clients, set)
			total.wall, total.delays = time.Since(began), delays
			for _, t := range c.nodes {
				after, errAfter := cpuTime(t.pid)
				total.cpu, err = total.cpu+after, errors.Join(err, errAfter)
			}
			return []float64{total.perUnit(), total.rate(), total.delay(0.5), total.delay(0.99)}, err
		}),
	}
}

// callers makes calls as target.callers does, evenly at all nodes. Client i uses node
// i%len(nodes). The delays are in ascending order.
func (c *cluster) callers(n, clients int, call func(c *caller, i int) error) ([]time.Duration, error) {
	each := make([][]time.Duration, len(c.nodes))
	errs := make([]error, len(c.nodes))
	var running sync.WaitGroup
	for k, t := range c.nodes {
		running.Go(func() {
			share := func(n int) int { return (n + len(c.nodes) - 1 - k) / len(c.nodes) }
			own := share(clients)
			each[k], errs[k] = t.callers(share(n), own, 0, func(c *caller, i int) error {
				client := i%own*len(each) + k
				return call(c, i/own*clients+client)
			})
		})
	}
	running.Wait()
	delays := slices.Concat(each...)
	slices.Sort(delays)
	return delays, errors.Join(errs...)
}

// clusterSeen is users who change at one node and are watched at another.
func (b *bench) clusterSeen() load {
	const users, pace = 50, time.Second / 200
	changes := b.Scale(4000, 400)
	return load{
		name:  "cluster: seen at another node",
		shape: "paced, 200 changes/s of 50 users at one node, each watched by one stream at another node",
		figures: []figure{
			{what: "ms from the call to the answer, median"},
			{what: "ms from the call to the stream, median", most: 4},
			{what: "ms from the call to the stream, p99"},
		},
		ours: b.onCluster(func(context.Context) (string, error) { // the IDs of the changing users follow those of the watchers
			return b.seed("seen at another node", 2*users, subscriptions{watchers: users, targets: users, first: users, each: 1})
		}, func(ctx context.Context, c *cluster) ([]float64, error) {
			began, seen, last := make([]time.Time, changes), make([]time.Duration, 0, changes), 0
			s, err := c.nodes[1].open(ctx, requests(users), func(_ int, event []byte) {
				i := changeIn(event)
				if i >= 0 {
					seen = append(seen, time.Since(began[i]))
				}
				if i >= changes-users {
					last++
				}
			})
			if err != nil {
				return nil, err
			}
			defer s.close()
			all := tokens(2 * users)
			answered, err := c.nodes[0].callers(changes, users, pace, func(c *caller, i int) error {
				s.mu.Lock()
				began[i] = time.Now()
				s.mu.Unlock()
				return c.setStatus(all[users+i%users], i)
			})
			if err != nil {
				return nil, err
			}
			if err := s.until(ctx, func() bool { return last == users }); err != nil { // earlier changes may be conflated
				return nil, err
			}
			slices.Sort(answered)
			slices.Sort(seen)
			return []float64{cost{delays: answered}.delay(0.5), cost{delays: seen}.delay(0.5), cost{delays: seen}.delay(0.99)}, nil
		}),
	}
}

// changeIn returns which change setStatus has made, or -1 if the event is none.
func changeIn(event []byte) int {
	_, after, found := bytes.Cut(event, []byte(`"In call `))
	if !found {
		return -1
	}
	digits, _, _ := bytes.Cut(after, []byte(`"`))
	i, err := strconv.Atoi(string(digits))
	if err != nil {
		return -1
	}
	return i
}

// clusterJoin is a node without a database that joins one with many users.
func (b *bench) clusterJoin() load {
	users := b.Scale(1_000_000, 10_000)
	return load{
		name:  fmt.Sprintf("cluster: join with %d users", users),
		shape: "the first node has all users and begins the log; then another one without a database joins",
		figures: []figure{
			{what: "s, begin of the log until ready"},
			{what: "s, join until ready", most: 20},
			{what: "MiB of RSS, peak, joining"},
		},
		ours: func(ctx context.Context) ([]float64, error) {
			database, err := b.seed("join", users)
			if err != nil {
				return nil, err
			}
			c, err := b.newCluster()
			if err != nil {
				return nil, err
			}
			defer c.end()
			began := time.Now()
			if _, err = c.add(database); err != nil {
				return nil, err
			}
			founded := time.Since(began)
			began = time.Now()
			joined, err := c.add("")
			if err != nil {
				return nil, err
			}
			took := time.Since(began)
			peak, err := memory(joined.pid, "VmHWM:")
			return []float64{founded.Seconds(), took.Seconds(), peak}, err
		},
	}
}
