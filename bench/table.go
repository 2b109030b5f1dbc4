//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/presence-server/presence/deploy/testserver"
)

// load is the work that the server, its floor and its peer are measured with, and the
// figures that it yields, each a line of the table.
type load struct {
	name    string
	shape   string // paced or saturated, how many streams, how many watch
	figures []figure

	// Each of these applies the load once, and returns a value for each figure. floor
	// and peer are nil for a load that has none.
	ours, floor, peer side
}

type side func(ctx context.Context) ([]float64, error)

// figure is one line of the table, and its bounds. Zero means that there is no bound.
type figure struct {
	what string // with its unit

	ratioMost float64 // the highest ratio of ours to the floor's
	peerMost  float64 // the highest ratio of ours to the peer's
	most      float64 // the highest value of ours
	least     float64 // the lowest value of ours
}

const lineFormat = "  %-34s %9s %9s %9s %7s %7s  %s\n"

func printHead() {
	fmt.Printf(lineFormat, "figure", "ours", "floor", "nchan", "ratio", "spread", "to reach")
}

// report applies the load a number of times and prints the medians.
func (l load) report(ctx context.Context, times int) error {
	fmt.Printf("%s: %s\n", l.name, l.shape)
	var measured [3][][]float64 // by side, then by repetition
	for range times {
		for i, measure := range []side{l.ours, l.floor, l.peer} {
			if measure == nil {
				continue
			}
			values, err := measure(ctx)
			if errors.Is(err, testserver.ErrNoPostgres) && os.Getenv("SKIP_NO_TEST") == "" {
				fmt.Printf("  skipped: %v\n", err)
				return nil
			}
			if err != nil {
				fmt.Printf("  failed: %v\n", err)
				return err
			}
			if values != nil {
				measured[i] = append(measured[i], values)
			}
		}
	}
	for i, f := range l.figures {
		f.print(column(measured[0], i), column(measured[1], i), column(measured[2], i))
	}
	return nil
}

func column(rows [][]float64, i int) (values []float64) {
	for _, row := range rows {
		values = append(values, row[i])
	}
	return values
}

func (f figure) print(ours, floor, peer []float64) {
	ratios := ratio(ours, floor)
	spread := ratios
	if len(ratios) == 0 {
		spread = ours
	}
	apart := (slices.Max(spread) - slices.Min(spread)) / max(median(spread), 1e-9)
	fmt.Printf(lineFormat, f.what, number(median(ours)), number(median(floor)), number(median(peer)), number(median(ratios)),
		fmt.Sprintf("%.0f %%", 100*apart), f.verdict(median(ours), median(ratios), median(ratio(ours, peer))))
}

// ratio returns the ratios of ours to another side, or nil without that side.
func ratio(ours, other []float64) (all []float64) {
	for i := range other {
		all = append(all, ours[i]/other[i])
	}
	return all
}

// median returns the middle value, or zero if there are none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(values))[len(values)/2]
}

// number formats three digits, or nothing for zero.
func number(value float64) string {
	switch {
	case value == 0:
		return ""
	case value < 10:
		return fmt.Sprintf("%.2f", value)
	case value < 100:
		return fmt.Sprintf("%.1f", value)
	}
	return fmt.Sprintf("%.0f", value)
}

// verdict returns the bound of a figure, and whether the figure meets it.
func (f figure) verdict(ours, ratio, peerRatio float64) string {
	var words []string
	check := func(name string, value, bound float64) {
		if bound == 0 || value == 0 {
			return
		}
		words = append(words, fmt.Sprintf("%s ≤ %s: %s", name, number(bound), yesOrNo(value <= bound)))
	}
	check("ratio", ratio, f.ratioMost)
	check("ours to nchan", peerRatio, f.peerMost)
	check("ours", ours, f.most)
	if f.least > 0 {
		words = append(words, fmt.Sprintf("ours ≥ %s: %s", number(f.least), yesOrNo(ours >= f.least)))
	}
	return strings.Join(words, ", ")
}

func yesOrNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}
