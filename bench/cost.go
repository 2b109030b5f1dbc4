//go:build linux

package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cost is what some work took.
type cost struct {
	units  int
	cpu    time.Duration // of the process that served
	wall   time.Duration
	delays []time.Duration // in ascending order; of what, the load says
}

func (c cost) perUnit() float64 {
	return float64(c.cpu.Nanoseconds()) / 1000 / float64(max(1, c.units))
}

func (c cost) rate() float64 {
	if c.units == 0 {
		return 0
	}
	return float64(c.units) / c.wall.Seconds()
}

func (c cost) millis() float64 { return c.wall.Seconds() * 1000 }

// delay is the figure, in ms, that a part of the delays stay below.
func delay(part float64) func(cost) float64 {
	return func(c cost) float64 {
		if len(c.delays) == 0 {
			return 0
		}
		return c.delays[int(part*float64(len(c.delays)-1))].Seconds() * 1000
	}
}

// cost measures what work costs the target. The work returns its delays.
func (t *target) cost(units int, work func() ([]time.Duration, error)) (cost, error) {
	before, err := cpuTime(t.pid)
	if err != nil {
		return cost{}, err
	}
	began := time.Now()
	delays, err := work()
	if err != nil {
		return cost{}, err
	}
	wall := time.Since(began)
	after, err := cpuTime(t.pid)
	slices.Sort(delays)
	return cost{units, after - before, wall, delays}, err
}

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
func resident(pid int) (int, error) { return memory(pid, "VmRSS:") }

// peak returns the most that was in RAM since forgetPeak, in bytes.
func peak(pid int) (int, error) { return memory(pid, "VmHWM:") }

func forgetPeak(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}

// memory reads a line of /proc/PID/status, see proc_pid_status(5).
func memory(pid int, name string) (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(text), name)
	var kib int
	if _, err := fmt.Sscan(after, &kib); err != nil {
		return 0, fmt.Errorf("no %s of process %d: %w", name, pid, err)
	}
	return kib << 10, nil
}

// medianOf returns the middle value, and how far the others lie apart: the
// distance between the lowest and the highest, as a part of it.
func medianOf(results []result, value func(result) float64) (middle, spread float64) {
	var values []float64
	for _, r := range results {
		values = append(values, value(r))
	}
	slices.Sort(values)
	middle = values[len(values)/2]
	if middle == 0 {
		return 0, 0
	}
	return middle, (values[len(values)-1] - values[0]) / middle
}
