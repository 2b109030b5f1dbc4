//go:build linux

// Command attack attacks the built server. For each attack it prints what was tried,
// what was lost, and measurements. It exits with 1 if a promise was broken.
//
// It needs Linux. Attacks that mount file systems need root, and the attack that sets
// clocks needs QEMU. README.md says what each attack does, and what isn't covered.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/presence-server/presence/bench/lab"
)

func main() {
	seed := flag.Uint64("seed", 1, "seed everything random with `N`")
	short := flag.Bool("short", false, "try less, in about two minutes")
	only := flag.String("run", "", "only attacks whose name contains `TEXT`")
	crowd := flag.String("crowd", "", "act as the crowd `NAME` against the given address; used by attack itself")
	flag.Parse()
	if os.Getpid() == 1 { // this is the virtual machine, see machine.go
		beMachine()
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if *crowd != "" {
		err = (&attacker{seed: *seed}).beCrowd(*crowd, flag.Arg(0))
	} else {
		fmt.Printf("seed %d\n", *seed)
		printHead()
		err = lab.Run(ctx, *short, *only, func(l *lab.Lab) []lab.Item { return (&attacker{l, *seed}).attacks() })
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "attack:", err)
		os.Exit(1)
	}
}

// attacks returns the lines of the table, from top to bottom.
func (a *attacker) attacks() []lab.Item {
	all := []lab.Item{
		attack("crash: kill -9", a.kill),
		attack("crash: power cut", a.powerCut),
		attack("disk: full", a.onDisk(tmpfs, diskFull)),
		attack("disk: stuck", a.onDisk(ext4, diskStuck)),
		attack("time: set and suspended", a.clock),
	}
	for _, c := range a.crowds() {
		all = append(all, attack("clients: "+c.name, c.attack))
	}
	return append(all, a.ordeals()...)
}
