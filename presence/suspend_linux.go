package presence

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// suspended implements machine.suspended. Linux has two clocks that can't be set. One
// continues while the machine is suspended. The other stops, and Go measures and sleeps
// by it. The difference between them is the result.
func suspended() time.Duration {
	for {
		before, boot, after := sinceStart(unix.CLOCK_MONOTONIC), sinceStart(unix.CLOCK_BOOTTIME), sinceStart(unix.CLOCK_MONOTONIC)
		if after-before < exactness { // otherwise the three readings are too far apart, because the process was interrupted
			return boot - after
		}
	}
}

// simulated reports whether now, which time.Now returned, is simulated time. In a bubble
// of testing/synctest time starts in the year 2000, far from the machine's.
func simulated(now time.Time) bool {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_REALTIME, &t) != nil {
		return false
	}
	return time.Unix(t.Unix()).Sub(now).Abs() > time.Hour
}

func sinceStart(clock int32) time.Duration {
	var t unix.Timespec
	unix.ClockGettime(clock, &t) // these two clocks can always be read
	return time.Duration(t.Nano())
}

// onClockSet implements machine.onClockSet. See TFD_TIMER_CANCEL_ON_SET in
// timerfd_create(2).
func onClockSet(f func()) (stop func(), err error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_REALTIME, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("timerfd_create", err)
	}
	never := &unix.ItimerSpec{Value: unix.Timespec{Sec: 1 << 40}}
	if err := unix.TimerfdSettime(fd, unix.TFD_TIMER_ABSTIME|unix.TFD_TIMER_CANCEL_ON_SET, never, nil); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("timerfd_settime", err)
	}
	timer, done := os.NewFile(uintptr(fd), "timerfd"), make(chan struct{})
	go func() {
		defer close(done)
		for buffer := make([]byte, 8); ; f() {
			if _, err := timer.Read(buffer); !errors.Is(err, unix.ECANCELED) {
				return
			}
		}
	}()
	return func() { timer.Close(); <-done }, nil
}
