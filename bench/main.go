//go:build linux

// Command bench measures what the server costs. It drives the built binary
// over loopback and prints a table: each figure next to its floor, a minimal
// program that does only what can't be avoided, measured in the same run.
//
// It needs Linux. README.md says what the lines are.
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
	short := flag.Bool("short", false, "show that it works, in less time, with worse figures")
	only := flag.String("run", "", "measure only what has `TEXT` in its name")
	floor := flag.String("floor", "", "be the floor `NAME` on the address given; used by bench itself")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	if *floor != "" {
		err = serveFloor(ctx, *floor, flag.Arg(0))
	} else {
		err = run(ctx, *short, *only)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, short bool, only string) error {
	l, err := lab.New(short)
	if err != nil {
		return err
	}
	defer l.Close()
	b := &bench{Lab: l, seeds: make(map[string]string)}
	printHead()
	var items []lab.Item
	for _, load := range b.loads() {
		items = append(items, lab.Item{Name: load.name, Run: func(ctx context.Context) error { return load.report(ctx, b.Scale(5, 1)) }})
	}
	return lab.Run(ctx, items, only)
}

// loads are the table, from top to bottom.
func (b *bench) loads() []load {
	return []load{
		b.fanOut("fan-out 1,000", 1000, 40),
		b.fanOut("fan-out 10,000", 10_000, 12),
		b.team(),
		b.storm(),
		b.idle(),
		b.set(),
		b.get(),
		b.million(),
	}
}
