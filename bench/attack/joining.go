//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/presence-server/presence/bench/lab"
	"github.com/presence-server/presence/deploy/testserver"
)

const (
	changing = 5000 // number of users who change while a node joins
	changers = 32   // number of callers who change them
)

// joinNode makes a node join that has nothing, while many users change as fast as the others
// answer.
func joinNode(ctx context.Context, c *cluster) error {
	n := c.nodes[1]
	n.Kill()
	c.crew.desert()
	if err := n.removeDatabase(); err != nil {
		return err
	}
	users := lab.Names("changing", changing)
	if err := c.nodes[0].Register(ctx, users); err != nil {
		return err
	}
	var changed atomic.Int64
	changing, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	for first := range changers {
		running.Go(func() {
			for i := first; changing.Err() == nil; i += changers {
				to := c.others(n)[i%(len(c.nodes)-1)]
				text := map[string]any{"userID": users[i%len(users)], "customStatus": fmt.Sprint(i)}
				c.r.must("a change while a node joins", to.Must(ctx, "/v1/admin/setUserStatus", testserver.AdminKey, text, nil))
				changed.Add(1)
			}
		})
	}
	enough := func(n int64) error {
		return until(ctx, func() (bool, error) { return changed.Load() >= n, nil })
	}
	err := enough(2 * int64(len(users)))
	began := time.Now()
	err = errors.Join(err, n.Start())
	c.r.figure("joined in %.1f s", time.Since(began).Seconds())
	err = errors.Join(err, enough(changed.Load()+int64(len(users))))
	stop()
	running.Wait()
	c.r.try("%d changes of %d users", changed.Load(), len(users))
	return err
}
