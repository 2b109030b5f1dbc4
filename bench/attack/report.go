//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/presence-server/presence/bench/lab"
)

// report is one line of the table.
type report struct {
	mu      sync.Mutex
	skipped string

	Tried   []string
	Figures []string
	Lost    []string // descriptions of what broke a promise
}

func (r *report) try(format string, args ...any)    { r.add(&r.Tried, format, args) }
func (r *report) figure(format string, args ...any) { r.add(&r.Figures, format, args) }
func (r *report) lose(format string, args ...any)   { r.add(&r.Lost, format, args) }

func (r *report) add(to *[]string, format string, args []any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*to = append(*to, fmt.Sprintf(format, args...))
}

// must records an error as a loss, because the attack could not do what it needed to.
func (r *report) must(what string, err error) {
	if err != nil {
		r.lose("%s: %v", what, err)
	}
}

const lineFormat = "%-26s %5s  %s\n"

func printHead() { fmt.Printf(lineFormat, "attack", "lost", "what was tried; measurements") }

// lossesPrinted bounds the number of losses printed for one attack.
const lossesPrinted = 10

// attack runs an attack that prints its line of the table.
func attack(name string, try func(ctx context.Context, r *report) error) lab.Item {
	return lab.Item{Name: name, Run: func(ctx context.Context) error {
		r := new(report)
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		r.must("the attack ended early", try(ctx, r))
		return r.print(name)
	}}
}

// print prints the line. It returns an error if there were losses, or if an attack was
// skipped where none may be.
func (r *report) print(name string) error {
	if r.skipped != "" && len(r.Lost) == 0 {
		fmt.Printf(lineFormat, name, "-", "SKIPPED: "+r.skipped)
		if os.Getenv("SKIP_NO_TEST") != "" {
			return errors.New("skipped")
		}
		return nil
	}
	fmt.Printf(lineFormat, name, fmt.Sprint(len(r.Lost)), strings.Join(append(r.Tried, r.Figures...), "; "))
	for _, lost := range r.Lost[:min(len(r.Lost), lossesPrinted)] {
		fmt.Println("    LOST:", lost)
	}
	if len(r.Lost) > 0 {
		return fmt.Errorf("%d lost", len(r.Lost))
	}
	return nil
}

// summary formats delays.
func summary(delays []time.Duration) string {
	slices.Sort(delays)
	return fmt.Sprintf("%.1f/%.1f/%.1f ms (median/p99/maximum of %d)",
		lab.Millis(lab.Part(delays, 0.5)), lab.Millis(lab.Part(delays, 0.99)), lab.Millis(lab.Part(delays, 1)), len(delays))
}
