//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"
)

// A load is what the server and its floor are put under, and the figures that
// come of it, each a line of the table.
type load struct {
	name    string
	shape   string // paced or saturated, how many streams, how many watch
	figures []figure

	// measure applies the load once, and returns a result for each figure.
	measure func(ctx context.Context) ([]result, error)
}

// figure is what one line of the table tells, and what is to be reached: each
// bound is 0 if there is none.
type figure struct {
	what string // with its unit

	ratioMost, ratioLeast float64 // of ours to the floor's
	most, least           float64 // of ours itself
	peerMost              float64 // of ours to the peer's
}

// result is a figure once measured. A floor or peer of 0 is none.
type result struct{ ours, floor, peer float64 }

// compare takes one figure of the costs of all sides.
func compare(figure func(cost) float64, ours, floor, peer cost) result {
	return result{figure(ours), figure(floor), figure(peer)}
}

const lineFormat = "  %-34s %9s %9s %9s %7s %7s  %s\n"

func printHead() {
	fmt.Printf(lineFormat, "figure", "ours", "floor", "nchan", "ratio", "spread", "to reach")
}

// report applies the load so many times and prints the medians.
func (l load) report(ctx context.Context, times int) error {
	fmt.Printf("%s: %s\n", l.name, l.shape)
	began := time.Now()
	results := make([][]result, len(l.figures))
	for range times {
		one, err := l.measure(ctx)
		if err != nil {
			fmt.Printf("  failed: %v\n", err)
			return err
		}
		for i, r := range one {
			results[i] = append(results[i], r)
		}
	}
	for i, f := range l.figures {
		f.print(results[i])
	}
	fmt.Fprintf(os.Stderr, "%s took %.0f s\n", l.name, time.Since(began).Seconds())
	return nil
}

func (f figure) print(results []result) {
	ours, spread := medianOf(results, func(r result) float64 { return r.ours })
	floor, _ := medianOf(results, func(r result) float64 { return r.floor })
	peer, _ := medianOf(results, func(r result) float64 { return r.peer })
	ratio, peerRatio := 0.0, 0.0
	if floor > 0 {
		ratio, spread = medianOf(results, func(r result) float64 { return r.ours / r.floor })
	}
	if peer > 0 {
		peerRatio, _ = medianOf(results, func(r result) float64 { return r.ours / r.peer })
	}
	fmt.Printf(lineFormat, f.what, number(ours), number(floor), number(peer), number(ratio),
		fmt.Sprintf("%.0f %%", 100*spread), f.verdict(ours, ratio, peerRatio))
}

// number prints three digits, or nothing for what there is none of.
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

// verdict says what is to be reached, and whether it is.
func (f figure) verdict(ours, ratio, peerRatio float64) string {
	var words []string
	check := func(bound float64, name, sign string, ok bool) {
		if bound == 0 {
			return
		}
		word := "no"
		if ok {
			word = "yes"
		}
		words = append(words, fmt.Sprintf("%s %s %s: %s", name, sign, number(bound), word))
	}
	check(f.ratioMost, "ratio", "≤", ratio <= f.ratioMost)
	check(f.ratioLeast, "ratio", "≥", ratio >= f.ratioLeast)
	check(f.most, "ours", "≤", ours <= f.most)
	check(f.least, "ours", "≥", ours >= f.least)
	if peerRatio > 0 {
		check(f.peerMost, "ours to nchan", "≤", peerRatio <= f.peerMost)
	}
	return strings.Join(words, ", ")
}
