//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// beMachine is the first process of a machine of its own. It doesn't return.
func beMachine() {
	r := new(report)
	err := boot()
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		err = (&attacker{folder: "/tmp", binary: "/presence", tokens: tokens()}).timeTravel(ctx, r)
	}
	r.must("the attack came to an end early", err)
	r.say()
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

// traveller is a server on a machine whose clock is set.
type traveller struct {
	*victim
	a *attacker
	r *report
}

// A second is what the janitor may be late by.
const late = time.Second

func (a *attacker) timeTravel(ctx context.Context, r *report) error {
	v, err := a.start("TIMING__RECONNECT_GRACE=1s")
	if err != nil {
		return err
	}
	t := &traveller{v, a, r}
	if err := t.settleIn(ctx); err != nil {
		return err
	}
	for _, step := range []time.Duration{24 * time.Hour, -25 * time.Hour, time.Hour} {
		if err := t.step(ctx, step); err != nil {
			return fmt.Errorf("clock set by %s: %w", step, err)
		}
	}
	if err := t.sleep(ctx, 6); err != nil {
		return err
	}
	if err := setClock(-time.Hour); err != nil {
		return err
	}
	t.Kill()
	if err := t.Start(); err != nil {
		return err
	}
	r.try("and then killed, set back by an hour and started")
	return t.holds(ctx, "killed, set back by an hour and started")
}

// settleIn gives users statuses that outlast the journey.
func (t *traveller) settleIn(ctx context.Context) error {
	phone, err := t.Follow(ctx, t.a.token("phone"), "platform=ios", "")
	if err != nil {
		return err
	}
	phone.Close()
	if err := t.clears(ctx, "phone", "the grace of a device that went", 1, func(status string) bool { return status == "2" }); err != nil {
		return err
	}
	return t.lasts(ctx, "lasting", 3600)
}

// lasts has a user set a status for so many seconds.
func (t *traveller) lasts(ctx context.Context, user string, seconds int) error {
	return t.Must(ctx, "/v1/setSelfStatus", t.a.token(user), map[string]any{"customStatus": "set", "expiresIn": seconds}, nil)
}

func (t *traveller) status(ctx context.Context, user string) (string, error) {
	found, err := t.statuses(ctx, []string{user})
	return strings.TrimSpace(fmt.Sprint(found[user].StatusType, " ", found[user].CustomStatus)), err
}

// clears waits until something that falls due so many seconds from now is done,
// and looks whether it comes early or late.
func (t *traveller) clears(ctx context.Context, user, what string, seconds int, is func(status string) bool) error {
	began := sinceBoot()
	err := until(ctx, func() (bool, error) {
		status, err := t.status(ctx, user)
		return is(status), err
	})
	due := time.Duration(seconds) * time.Second
	if took := sinceBoot() - began; took < due-100*time.Millisecond || took > due+late {
		t.r.lose("%s: it is done after %.3f s, and falls due after %s", what, took.Seconds(), due)
	} else {
		t.r.figure("%s: done %.0f ms after it is due", what, (took-due).Seconds()*1000)
	}
	return err
}

// step sets the clock, and looks whether deadlines are kept.
func (t *traveller) step(ctx context.Context, by time.Duration) error {
	what := "clock set by " + by.String()
	t.r.try("%s", what)
	if err := t.lasts(ctx, "short", 2); err != nil {
		return err
	}
	if err := setClock(by); err != nil {
		return err
	}
	if err := t.clears(ctx, "short", what, 2, func(status string) bool { return status == "3" }); err != nil {
		return err
	}
	return t.holds(ctx, what)
}

// holds looks whether nothing was cleared early, and whether a token that is
// issued now is good.
func (t *traveller) holds(ctx context.Context, what string) error {
	for user, want := range map[string]string{"lasting": "3 set", "phone": "2"} {
		if got, err := t.status(ctx, user); err != nil || got != want {
			t.r.lose("%s: %s is %q, and was %q, %v", what, user, got, want, err)
		}
	}
	if answer, err := t.set(ctx, t.a.token("short"), ""); err != nil || answer.Code != 0 {
		t.r.lose("%s: a new token is answered %+v, %v", what, answer, err)
	}
	return nil
}

// sleep suspends the machine for some seconds. One status falls due meanwhile,
// and one a second after the return.
func (t *traveller) sleep(ctx context.Context, seconds int) error {
	began, awake := sinceBoot(), monotonic()
	if err := errors.Join(t.lasts(ctx, "short", 2), t.lasts(ctx, "longer", seconds+4)); err != nil {
		return err
	}
	if err := suspend(seconds); err != nil {
		return err
	}
	returned := sinceBoot()
	slept := returned - began - (monotonic() - awake)
	t.r.try("suspended for %.1f s", slept.Seconds())
	if slept < time.Second {
		t.r.lose("the machine was not suspended")
	}
	cleared := func(status string) bool { return status == "3" }
	if err := t.clears(ctx, "short", "what fell due while suspended", 0, cleared); err != nil {
		return err
	}
	left := time.Duration(seconds+4)*time.Second - (sinceBoot() - began)
	err := until(ctx, func() (bool, error) {
		status, err := t.status(ctx, "longer")
		return cleared(status), err
	})
	if after := sinceBoot() - began - time.Duration(seconds+4)*time.Second; after < -100*time.Millisecond || after > late {
		t.r.lose("what falls due %s after the return is done %s late", left, after)
	} else {
		t.r.figure("what falls due %.1f s after it: done %.0f ms after it is due", left.Seconds(), after.Seconds()*1000)
	}
	return errors.Join(err, t.holds(ctx, "suspended"))
}

// suspend has the machine sleep until its real-time clock wakes it.
func suspend(seconds int) error {
	alarm := os.WriteFile("/sys/class/rtc/rtc0/wakealarm", fmt.Append(nil, "+", seconds), 0)
	return errors.Join(alarm, os.WriteFile("/sys/power/state", []byte("mem"), 0))
}

func setClock(by time.Duration) error {
	now := unix.NsecToTimeval(time.Now().Add(by).UnixNano())
	return unix.Settimeofday(&now)
}

// sinceBoot returns how long the machine has run, or slept.
func sinceBoot() time.Duration { return read(unix.CLOCK_BOOTTIME) }

func monotonic() time.Duration { return read(unix.CLOCK_MONOTONIC) }

func read(clock int32) time.Duration {
	var t unix.Timespec
	unix.ClockGettime(clock, &t)
	return time.Duration(t.Nano())
}
