//go:build linux

// Command attack attacks the built server, and prints for each attack what was
// tried, what was lost, and figures. It exits with 1 if a promise was broken.
//
// It needs Linux, root for what mounts file systems, and QEMU for what sets
// clocks; README.md says what each attack does, and what isn't covered.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/presence-server/presence/bench/lab"
)

func main() {
	seed := flag.Uint64("seed", 1, "begin everything random with `N`")
	short := flag.Bool("short", false, "try less, in about two minutes")
	only := flag.String("run", "", "only attacks that have `TEXT` in their name")
	crowd := flag.String("crowd", "", "be the crowd `NAME` before the address given; used by attack itself")
	flag.Parse()
	if os.Getpid() == 1 { // the machine is ours, see machine.go
		beMachine()
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if *crowd != "" {
		err = (&attacker{seed: *seed}).beCrowd(*crowd, flag.Arg(0))
	} else {
		err = run(ctx, *seed, *short, *only)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "attack:", err)
		os.Exit(1)
	}
}

// run makes one attack after the other. One that breaks a promise doesn't keep
// the others from being made.
func run(ctx context.Context, seed uint64, short bool, only string) error {
	l, err := lab.New(short)
	if err != nil {
		return err
	}
	defer l.Close()
	a := &attacker{l, seed}
	fmt.Printf("seed %d\n", seed)
	printHead()
	var errs []error
	for _, s := range a.scenarios() {
		if strings.Contains(s.name, only) && ctx.Err() == nil {
			errs = append(errs, s.report(ctx))
		}
	}
	return errors.Join(append(errs, ctx.Err())...)
}

// scenarios are the table, from top to bottom.
func (a *attacker) scenarios() []scenario {
	all := []scenario{
		{"crash: kill -9", a.kill},
		{"crash: power cut", a.powerCut},
		{"disk: full", a.onDisk(tmpfs, diskFull)},
		{"disk: stuck", a.onDisk(ext4, diskStuck)},
		{"time: set and suspended", a.clock},
	}
	for _, c := range a.crowds() {
		all = append(all, scenario{"clients: " + c.name, c.attack})
	}
	return all
}
