// Command bench measures what the server costs. It drives the built binary
// over loopback and prints a table: each line beside its floor, a minimal
// program that does only what can't be avoided, measured in the same run.
//
// The figure is server CPU per unit of work, as the scheduler accounts it, and
// its ratio to the floor. Rates depend on the machine, ratios much less.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"text/tabwriter"
	"time"
)

func main() {
	short := flag.Bool("short", false, "show that it works, in less time, with worse figures")
	only := flag.String("run", "", "measure only lines whose name has `TEXT` in it")
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

// A line is one line of the table.
type line struct {
	name  string
	load  string // its shape
	unit  string // of work
	floor string // what it is compared with
	bound string // what is to be reached, in words
	ratio func(r result) float64
	limit float64 // the ratio that is to be reached
	least bool    // limit is the least, not the most

	// measure does the work once, on the server and on the floor.
	measure func(ctx context.Context, b *bench) (result, error)
}

// result is what one measurement gave.
type result struct {
	ours, floor cost
}

// cost is what some work took.
type cost struct {
	units int
	cpu   time.Duration // of the server
	wall  time.Duration
}

func (c cost) cpuPerUnit() float64 { return float64(c.cpu.Nanoseconds()) / 1000 / float64(c.units) }
func (c cost) rate() float64       { return float64(c.units) / c.wall.Seconds() }

func byCPU(r result) float64  { return r.ours.cpuPerUnit() / r.floor.cpuPerUnit() }
func byRate(r result) float64 { return r.ours.rate() / r.floor.rate() }

func run(ctx context.Context, short bool, only string) error {
	b, err := newBench(short)
	if err != nil {
		return err
	}
	defer b.close()
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\tload\tunit\tCPU µs\tfloor µs\tunits/s\tfloor/s\tratio\tspread\tto reach")
	for _, l := range b.lines() {
		if !strings.Contains(l.name, only) {
			continue
		}
		fmt.Fprintf(os.Stderr, "measuring %s\n", l.name)
		if err := b.report(ctx, table, l); err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
	}
	return table.Flush()
}

// report measures a line a few times and prints the medians.
func (b *bench) report(ctx context.Context, table *tabwriter.Writer, l line) error {
	columns := make([][]float64, 5)
	for range b.times {
		r, err := l.measure(ctx, b)
		if err != nil {
			return err
		}
		for i, value := range []float64{r.ours.cpuPerUnit(), r.floor.cpuPerUnit(), r.ours.rate(), r.floor.rate(), l.ratio(r)} {
			columns[i] = append(columns[i], value)
		}
	}
	var middle [5]float64
	var spread float64
	for i, values := range columns {
		middle[i], spread = median(values)
	}
	verdict := "reached"
	if (middle[4] > l.limit) != l.least {
		verdict = "not reached"
	}
	fmt.Fprintf(table, "%s\t%s\t%s\t%.1f\t%.1f\t%.0f\t%.0f\t%.2f\t%.0f %%\t%s: %s\n", l.name, l.load, l.unit,
		middle[0], middle[1], middle[2], middle[3], middle[4], 100*spread, l.bound, verdict)
	return nil
}
