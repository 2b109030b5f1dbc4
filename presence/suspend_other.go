//go:build !linux

package presence

import "time"

// suspended is implemented on Linux only. On other systems, deadlines are delayed by the
// time for which the machine is suspended.
func suspended() time.Duration { return 0 }

func onClockSet(func()) (stop func(), err error) { return func() {}, nil }

// simulated is needed on Linux only, where onClockSet waits for the kernel.
func simulated(time.Time) bool { return false }
