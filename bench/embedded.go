//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/presence-server/presence/pglog"
	"github.com/presence-server/presence/presence"
)

// clusterCalls is clusterSet without HTTP: the callers call the nodes, which are embedded
// services of one process.
func (b *bench) clusterCalls() load {
	const callers = 64
	calls := b.Scale(100_000, 5000)
	return load{
		name:  "cluster: Set, 64 callers",
		shape: "saturated; as above, but without HTTP: the three nodes are embedded in the bench",
		figures: []figure{
			{what: "CPU µs, nodes and callers"},
			{what: "Set/s", least: 12_000},
			{what: "ms, median", most: 5},
			{what: "ms, p99"},
		},
		ours: func(ctx context.Context) (_ []float64, err error) {
			c, err := b.newCluster()
			if err != nil {
				return nil, err
			}
			defer c.end()
			nodes, err := c.embed(ctx, nodesInCluster)
			defer func() { err = errors.Join(err, closeAll(nodes)) }()
			if err != nil {
				return nil, err
			}
			if _, err := nodes[0].svc.Import(ctx, names(callers)); err != nil {
				return nil, err
			}
			if err := catchUp(ctx, nodes); err != nil {
				return nil, err
			}
			before, err := cpuTime(os.Getpid())
			if err != nil {
				return nil, err
			}
			began := time.Now()
			delays, err := setAll(ctx, nodes, callers, calls)
			total := cost{wall: time.Since(began), units: calls, delays: delays}
			after, errAfter := cpuTime(os.Getpid())
			total.cpu, err = after-before, errors.Join(err, errAfter)
			return []float64{total.perUnit(), total.rate(), total.delay(0.5), total.delay(0.99)}, err
		},
	}
}

// setAll sets the statuses of the first users, each as soon as the last call is answered,
// evenly at all nodes. The delays are in ascending order.
func setAll(ctx context.Context, nodes []*embedded, callers, calls int) ([]time.Duration, error) {
	delays, errs := make([]time.Duration, calls), make([]error, callers)
	var running sync.WaitGroup
	for k := range callers {
		running.Go(func() {
			for i := k; i < calls && errs[k] == nil; i += callers {
				began := time.Now()
				_, errs[k] = nodes[k%len(nodes)].svc.Set(ctx, userName(k), fmt.Sprint("In call ", i), 0)
				delays[i] = time.Since(began)
			}
		})
	}
	running.Wait()
	slices.Sort(delays)
	return delays, errors.Join(errs...)
}

// embedded is a node that this program embeds.
type embedded struct {
	log *timedLog
	svc *presence.Service
}

func openEmbedded(ctx context.Context, path, url string) (*embedded, error) {
	logger := slog.New(slog.DiscardHandler)
	log, err := pglog.Open(ctx, url, logger)
	if err != nil {
		return nil, err
	}
	timed := &timedLog{Log: log}
	settings := presence.DefaultSettings()
	settings.RestartGrace, settings.ReconnectGrace = deathGrace, deathGrace
	svc, err := presence.Open(ctx, presence.Config{Path: path, Settings: &settings, Logger: logger, Log: timed, Node: filepath.Base(path)})
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	return &embedded{timed, svc}, nil
}

// embed opens nodes of the cluster in this process. closeAll closes them.
func (c *cluster) embed(ctx context.Context, nodes int) (all []*embedded, err error) {
	for i := range nodes {
		n, err := openEmbedded(ctx, filepath.Join(c.b.Folder, fmt.Sprintf("embedded-%d-%d.db", time.Now().UnixNano(), i)), c.url())
		if err != nil {
			return all, err
		}
		all = append(all, n)
	}
	return all, nil
}

func closeAll(nodes []*embedded) (err error) {
	for _, n := range nodes {
		err = errors.Join(err, n.close())
	}
	return err
}

func (n *embedded) close() error { return errors.Join(n.svc.Close(), n.log.Close()) }

// catchUp waits until the node has applied what is in the log.
func (n *embedded) catchUp(ctx context.Context) error {
	state, err := n.log.State(ctx)
	if err != nil {
		return err
	}
	return n.svc.Await(ctx, presence.Position{Place: state.Last})
}

// awaitNodes waits until so many nodes live.
func (n *embedded) awaitNodes(ctx context.Context, live int) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	every := time.NewTicker(time.Millisecond)
	defer every.Stop()
	for len(n.svc.LogMetrics().Nodes) != live {
		select {
		case <-every.C:
		case <-ctx.Done():
			return fmt.Errorf("%d nodes live, not %d: %w", len(n.svc.LogMetrics().Nodes), live, ctx.Err())
		}
	}
	return nil
}
