//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/presence-server/presence/bench/lab"
)

// scenario is one attack.
type scenario struct {
	name string
	try  func(ctx context.Context, r *report) error
}

// report is one line of the table.
type report struct {
	mu      sync.Mutex
	skipped string

	Tried   []string
	Figures []string
	Lost    []string // what broke a promise
}

func (r *report) try(format string, args ...any)    { r.add(&r.Tried, format, args) }
func (r *report) figure(format string, args ...any) { r.add(&r.Figures, format, args) }
func (r *report) lose(format string, args ...any)   { r.add(&r.Lost, format, args) }

func (r *report) add(to *[]string, format string, args []any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*to = append(*to, fmt.Sprintf(format, args...))
}

// must notes an error as a loss: what the attack needed was not done.
func (r *report) must(what string, err error) {
	if err != nil {
		r.lose("%s: %v", what, err)
	}
}

const lineFormat = "%-26s %5s  %-8s %s\n"

func printHead() { fmt.Printf(lineFormat, "attack", "lost", "took", "what was tried; figures") }

// lossesTold bounds what is printed of one attack.
const lossesTold = 10

// report makes the attack and prints the line.
func (s scenario) report(ctx context.Context) error {
	r, began := new(report), time.Now()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r.must("the attack came to an end early", s.try(ctx, r))
	took := fmt.Sprintf("%.1f s", time.Since(began).Seconds())
	if r.skipped != "" && len(r.Lost) == 0 {
		fmt.Printf(lineFormat, s.name, "-", took, "SKIPPED: "+r.skipped)
		if os.Getenv("SKIP_NO_TEST") != "" {
			return fmt.Errorf("%s was skipped", s.name)
		}
		return nil
	}
	fmt.Printf(lineFormat, s.name, fmt.Sprint(len(r.Lost)), took,
		strings.Join(append(r.Tried, r.Figures...), "; "))
	for _, lost := range r.Lost[:min(len(r.Lost), lossesTold)] {
		fmt.Println("    LOST:", lost)
	}
	if len(r.Lost) > 0 {
		return fmt.Errorf("%s: %d lost", s.name, len(r.Lost))
	}
	return nil
}

// summary describes delays.
func summary(delays []time.Duration) string {
	slices.Sort(delays)
	return fmt.Sprintf("%.1f/%.1f/%.1f ms (median/p99/most of %d)",
		lab.Millis(lab.Part(delays, 0.5)), lab.Millis(lab.Part(delays, 0.99)), lab.Millis(lab.Part(delays, 1)), len(delays))
}
