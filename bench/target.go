//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/presence-server/presence/bench/lab"
	"github.com/presence-server/presence/deploy/testserver"
	"golang.org/x/sys/unix"
)

// bench is one run.
type bench struct {
	*lab.Lab
	seeds map[string]string // databases by name, each created once
}

func userName(i int) string { return fmt.Sprintf("user-%06d", i) }

// tokens returns a token for each of users 0 to n-1.
func tokens(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = lab.Token(userName(i))
	}
	return all
}

// target is a process under load.
type target struct {
	address string
	pid     int
	end     func() // ends the process if it still runs

	ours lab.Server // set if the target is our server
}

// start starts the server on a copy of a database, or on a new one if the path is "".
func (b *bench) start(database string) (*target, error) {
	s, err := b.Lab.Start(database, "LOG__LEVEL=warn")
	if err != nil {
		return nil, err
	}
	return &target{address: s.Address, pid: s.Pid(), end: s.End, ours: s}, nil
}

// startFloor starts this program as a floor.
func (b *bench) startFloor(name string) (*target, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	address, err := testserver.FreeAddress()
	if err != nil {
		return nil, err
	}
	return launch(exec.Command(self, "-floor", name, address), address)
}

// launch starts another server, and returns when it answers.
func launch(command *exec.Cmd, address string) (*target, error) {
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		return nil, err
	}
	t := &target{address: address, pid: command.Process.Pid, end: func() {
		command.Process.Signal(os.Interrupt)
		command.Wait()
	}}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if response, err := http.Get("http://" + address + "/readyz"); err == nil {
			response.Body.Close()
			return t, nil
		} else if time.Now().After(deadline) {
			t.end()
			return nil, err
		}
	}
}

// on returns a side that starts a target, does work on it, and ends it. If there is no
// target, the side returns no values.
func on(start func(ctx context.Context) (*target, error), work func(ctx context.Context, t *target) ([]float64, error)) side {
	return func(ctx context.Context) ([]float64, error) {
		t, err := start(ctx)
		if t == nil {
			return nil, err
		}
		defer t.end()
		return work(ctx, t)
	}
}

// onOurs is on for our server, with the database that seed returns. seed may be nil.
func (b *bench) onOurs(seed func(ctx context.Context) (string, error), work func(ctx context.Context, t *target) ([]float64, error)) side {
	return on(func(ctx context.Context) (*target, error) {
		database, err := "", error(nil)
		if seed != nil {
			database, err = seed(ctx)
		}
		if err != nil {
			return nil, err
		}
		return b.start(database)
	}, work)
}

// onFloor is on for a floor.
func (b *bench) onFloor(name string, work func(ctx context.Context, t *target) ([]float64, error)) side {
	return on(func(context.Context) (*target, error) { return b.startFloor(name) }, work)
}

// cost is what a piece of work took.
type cost struct {
	units  int
	cpu    time.Duration // of the process that was measured
	wall   time.Duration
	delays []time.Duration // in ascending order; the load defines what they are delays of
}

// perUnit returns the CPU time per unit in µs.
func (c cost) perUnit() float64 {
	return float64(c.cpu.Nanoseconds()) / 1000 / float64(max(1, c.units))
}

// rate returns the units per second.
func (c cost) rate() float64 { return float64(c.units) / c.wall.Seconds() }

// delay returns a quantile of the delays in ms.
func (c cost) delay(part float64) float64 { return lab.Millis(lab.Part(c.delays, part)) }

// cost measures what work costs the target. work returns its delays.
func (t *target) cost(units int, work func() ([]time.Duration, error)) (cost, error) {
	before, err := cpuTime(t.pid)
	if err != nil {
		return cost{}, err
	}
	began := time.Now()
	delays, err := work()
	wall := time.Since(began)
	after, errAfter := cpuTime(t.pid)
	slices.Sort(delays)
	return cost{units, after - before, wall, delays}, errors.Join(err, errAfter)
}

// cpuTime returns the CPU time that a process has used. It is the scheduler's own
// account of all threads, in nanoseconds, not a sample.
func cpuTime(pid int) (time.Duration, error) {
	clock := int32(^pid<<3 | 2) // the clock of another process, encoded as by clock_getcpuclockid(3)
	var at unix.Timespec
	err := unix.ClockGettime(clock, &at)
	return time.Duration(at.Nano()), err
}

// memory returns a line of /proc/PID/status in MiB, see proc_pid_status(5).
func memory(pid int, name string) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(text), name)
	var kib float64
	_, err = fmt.Sscan(after, &kib)
	return kib / 1024, err
}

// forgetPeak resets the peak of memory, VmHWM, see proc_pid_clear_refs(5).
func forgetPeak(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}
