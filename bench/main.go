//go:build linux

// Command bench measures what the server costs. It drives the built binary over
// loopback and prints a table. It compares each figure with its floor, a minimal
// program that does only what can't be avoided, measured in the same run.
//
// It needs Linux. README.md explains the lines of the table.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"github.com/presence-server/presence/bench/lab"
)

func main() {
	short := flag.Bool("short", false, "run less of each load, to show that it works; the figures mean little")
	only := flag.String("run", "", "measure only loads whose name contains `TEXT`")
	floor := flag.String("floor", "", "act as the floor `NAME` on the given address; used by bench itself")
	node := flag.Int("node", 0, "act as a node with `N` users, on the given database and log; used by bench itself")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	switch {
	case *floor != "":
		err = serveFloor(ctx, *floor, flag.Arg(0))
	case *node > 0:
		err = beNode(ctx, *node, flag.Arg(0), flag.Arg(1))
	default:
		printHead()
		err = lab.Run(ctx, *short, *only, loads)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// loads returns the parts of the table, from top to bottom.
func loads(l *lab.Lab) (items []lab.Item) {
	b := &bench{Lab: l, seeds: make(map[string]string)}
	for _, load := range append([]load{
		b.fanOut("fan-out 1,000", 1000, 40),
		b.fanOut("fan-out 10,000", 10_000, 12),
		b.team(),
		b.storm(),
		b.idle(),
		b.set(),
		b.get(),
		b.million(),
		b.followed(),
		b.feedPaced(),
		b.feedMillion(),
	}, b.clusters()...) {
		items = append(items, lab.Item{Name: load.name, Run: func(ctx context.Context) error { return load.report(ctx, l.Scale(5, 1)) }})
	}
	return items
}
