//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/presence-server/presence/bench/lab"
	"golang.org/x/sys/unix"
)

// beMachine is the first process of a virtual machine. It doesn't return.
func beMachine() {
	r := new(report)
	err := boot()
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		err = (&attacker{Lab: &lab.Lab{Folder: "/tmp", Binary: "/presence"}}).timeTravel(ctx, r)
	}
	r.must("the attack ended early", err)
	text, _ := json.Marshal(r)
	fmt.Printf("%s%s\n", reported, text)
	unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

func boot() error {
	return errors.Join(
		unix.Mount("proc", "/proc", "proc", 0, ""),
		unix.Mount("devtmpfs", "/dev", "devtmpfs", 0, ""),
		unix.Mount("sysfs", "/sys", "sysfs", 0, ""),
		unix.Mount("tmpfs", "/tmp", "tmpfs", 0, ""),
		loopback(),
	)
}

// loopback brings the loopback interface up.
func loopback() error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, request)
}

// traveller is a server on a machine whose clock is changed.
type traveller struct {
	*victim
	r *report

	// down is for how long the server was down while its clock was set back. It
	// can't know that, so its deadlines are later by as much.
	down time.Duration
}

// late is the delay allowed to the janitor.
const late = time.Second

func (a *attacker) timeTravel(ctx context.Context, r *report) error {
	v, err := a.start()
	if err != nil {
		return err
	}
	t := &traveller{victim: v, r: r}
	if err := t.lasts(ctx, "lasting", time.Hour); err != nil {
		return err
	}
	for _, step := range []time.Duration{24 * time.Hour, -25 * time.Hour, time.Hour} {
		what := "clock set by " + step.String()
		if err := t.keeps(ctx, what, 2*time.Second, func() error { return setClock(step) }); err != nil {
			return err
		}
	}
	asleep := sinceBoot() - monotonic()
	if err := t.keeps(ctx, "suspended for 6 s", 2*time.Second, suspend); err != nil {
		return err
	}
	if slept := sinceBoot() - monotonic() - asleep; slept < time.Second {
		r.lose("the machine was suspended for only %s", slept)
	}
	return t.keeps(ctx, "killed, set back by an hour and started", 10*time.Second, func() error {
		killed := sinceBoot()
		t.Kill()
		err := errors.Join(setClock(-time.Hour), t.Start())
		t.down = sinceBoot() - killed
		return err
	})
}

// keeps changes the time, and checks that a status is still cleared when it is due, or
// right afterwards if it became due meanwhile; that nothing is cleared early; and that
// a new token is valid.
func (t *traveller) keeps(ctx context.Context, what string, due time.Duration, do func() error) error {
	t.r.try("%s", what)
	began := sinceBoot()
	if err := errors.Join(t.lasts(ctx, "short", due), do()); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	due = max(due, sinceBoot()-began)
	err := until(ctx, func() (bool, error) {
		found, err := t.Statuses(ctx, []string{"short"})
		return found["short"].CustomStatus == "", err
	})
	if after := sinceBoot() - began - due; after < -100*time.Millisecond || after > late+t.down {
		t.r.lose("%s: a status is cleared %s after it is due", what, after)
	} else {
		t.r.figure("cleared %.0f ms after it was due", lab.Millis(after))
	}
	found, errLasting := t.Statuses(ctx, []string{"lasting"})
	if got := found["lasting"].CustomStatus; got != "set" {
		t.r.lose("%s: the status for an hour is %q", what, got)
	}
	return errors.Join(err, errLasting)
}

// lasts sets a status that expires after a duration.
func (t *traveller) lasts(ctx context.Context, user string, d time.Duration) error {
	return t.Must(ctx, "/v1/setSelfStatus", lab.Token(user), map[string]any{"customStatus": "set", "expiresIn": int(d.Seconds())}, nil)
}

// suspend makes the machine sleep until its real-time clock wakes it.
func suspend() error {
	alarm := os.WriteFile("/sys/class/rtc/rtc0/wakealarm", []byte("+6"), 0)
	return errors.Join(alarm, os.WriteFile("/sys/power/state", []byte("mem"), 0))
}

func setClock(by time.Duration) error {
	now := unix.NsecToTimeval(time.Now().Add(by).UnixNano())
	return unix.Settimeofday(&now)
}

// sinceBoot returns the time since the machine booted, including the time it was
// suspended.
func sinceBoot() time.Duration { return read(unix.CLOCK_BOOTTIME) }

// monotonic returns the time since the machine booted, without the time it was
// suspended.
func monotonic() time.Duration { return read(unix.CLOCK_MONOTONIC) }

func read(clock int32) time.Duration {
	var t unix.Timespec
	unix.ClockGettime(clock, &t)
	return time.Duration(t.Nano())
}
