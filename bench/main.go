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
	name string
	load string // its shape
	what string // the figure, with its unit

	// measure does the work once, on the server and on the floor.
	measure func(ctx context.Context) (result, error)

	// What is to be reached, each 0 if nothing is.
	ratioMost, ratioLeast float64 // of the figure to that of the floor
	most, least           float64 // of the figure itself
}

// result is what one measurement gave: the figures, and how much was done in a
// second. A floor of 0 is none.
type result struct {
	ours, floor         float64
	oursRate, floorRate float64
}

// cost is what some work took.
type cost struct {
	units int
	cpu   time.Duration // of the server
	wall  time.Duration
}

func (c cost) perUnit() float64 { return float64(c.cpu.Nanoseconds()) / 1000 / float64(c.units) }
func (c cost) rate() float64    { return float64(c.units) / c.wall.Seconds() }

// byCPU compares the CPU time of a unit, in microseconds.
func byCPU(ours, floor cost) result {
	return result{ours.perUnit(), floor.perUnit(), ours.rate(), floor.rate()}
}

// byRate compares units a second.
func byRate(ours, floor cost) result {
	return result{ours.rate(), floor.rate(), ours.rate(), floor.rate()}
}

func run(ctx context.Context, short bool, only string) error {
	b, err := newBench(short)
	if err != nil {
		return err
	}
	defer b.close()
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\tload\tfigure\tours\tfloor\tratio\tspread\tours/s\tfloor/s\tto reach")
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
	var ours, floor, ratio, oursRate, floorRate []float64
	for range b.times {
		r, err := l.measure(ctx)
		if err != nil {
			return err
		}
		ours, floor = append(ours, r.ours), append(floor, r.floor)
		oursRate, floorRate = append(oursRate, r.oursRate), append(floorRate, r.floorRate)
		if r.floor > 0 {
			ratio = append(ratio, r.ours/r.floor)
		}
	}
	figure, spread := median(ours)
	base, _ := median(floor)
	fmt.Fprintf(table, "%s\t%s\t%s\t%.1f\t", l.name, l.load, l.what, figure)
	times := 0.0
	if len(ratio) > 0 {
		times, spread = median(ratio)
		fmt.Fprintf(table, "%.1f\t%.2f\t", base, times)
	} else {
		fmt.Fprint(table, "\t\t")
	}
	perSecond, _ := median(oursRate)
	basePerSecond, _ := median(floorRate)
	fmt.Fprintf(table, "%.0f %%\t%.0f\t%.0f\t%s\n", 100*spread, perSecond, basePerSecond, l.verdict(figure, times))
	return nil
}

// verdict says what is to be reached, and whether it is.
func (l line) verdict(figure, ratio float64) string {
	var words []string
	check := func(bound float64, name, sign string, ok bool) {
		if bound == 0 {
			return
		}
		word := "no"
		if ok {
			word = "yes"
		}
		words = append(words, fmt.Sprintf("%s %s %g: %s", name, sign, bound, word))
	}
	check(l.ratioMost, "ratio", "≤", ratio <= l.ratioMost)
	check(l.ratioLeast, "ratio", "≥", ratio >= l.ratioLeast)
	check(l.most, "ours", "≤", figure <= l.most)
	check(l.least, "ours", "≥", figure >= l.least)
	return strings.Join(words, ", ")
}
