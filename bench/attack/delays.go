//go:build linux

package main

import (
	"fmt"
	"slices"
	"time"
)

func sorted(delays []time.Duration) []time.Duration {
	slices.Sort(delays)
	return delays
}

// part returns what a part of the delays, which ascend, stay below.
func part(delays []time.Duration, p float64) time.Duration {
	if len(delays) == 0 {
		return 0
	}
	return delays[int(p*float64(len(delays)-1))]
}

func summary(delays []time.Duration) string {
	return fmt.Sprintf("%.1f/%.1f/%.1f ms (median/p99/most of %d)",
		millis(part(delays, 0.5)), millis(part(delays, 0.99)), millis(part(delays, 1)), len(delays))
}

func millis(d time.Duration) float64 { return d.Seconds() * 1000 }
