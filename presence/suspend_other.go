//go:build !linux

package presence

import "time"

// suspended is for Linux only; elsewhere what falls due while the machine is
// suspended is late.
func suspended() time.Duration { return 0 }

func onClockSet(func()) (stop func(), err error) { return func() {}, nil }

// simulated is for Linux only; elsewhere nothing waits for the kernel.
func simulated(time.Time) bool { return false }
