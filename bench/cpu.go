package main

import (
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime returns the CPU time that a process has used: the scheduler's own
// account of all its threads, in nanoseconds, not a sample.
func cpuTime(pid int) (time.Duration, error) {
	// The clock of another process, as clock_getcpuclockid(3) makes it.
	clock := int32(^pid<<3 | 2)
	var at unix.Timespec
	if err := unix.ClockGettime(clock, &at); err != nil {
		return 0, err
	}
	return time.Duration(at.Nano()), nil
}

// resident returns the memory of a process that is in RAM, in bytes.
func resident(pid int) (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	var size, pages int
	_, err = fmt.Sscan(string(text), &size, &pages)
	return pages * os.Getpagesize(), err
}

// median returns the middle value, and how far the others lie apart: the
// distance between the lowest and the highest, as a part of it.
func median(values []float64) (middle, spread float64) {
	sorted := slices.Sorted(slices.Values(values))
	middle = sorted[len(sorted)/2]
	if middle == 0 {
		return 0, 0
	}
	return middle, (sorted[len(sorted)-1] - sorted[0]) / middle
}
