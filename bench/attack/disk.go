//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/presence-server/presence/bench/lab"
	"github.com/presence-server/presence/deploy/testserver"
)

// patient is a server whose disk is harmed while users write and one client follows.
type patient struct {
	v        *victim
	r        *report
	disk     string // where the disk is mounted; the database is on it
	load     *load
	follower *follower
	stop     func() // stops the load
}

// onDisk is an attack on a disk of its own, which is mounted in a folder and holds the
// database of a server.
func (a *attacker) onDisk(mount func(folder string) error, harm func(context.Context, *patient) error) func(context.Context, *report) error {
	return func(ctx context.Context, r *report) error {
		folder, err := os.MkdirTemp(a.Folder, "disk-")
		if err != nil {
			return err
		}
		if err := mount(folder); err != nil {
			r.skipped = "needs a file system of its own: " + err.Error()
			return nil
		}
		defer command("umount", folder)
		v, err := a.start("DATABASE__PATH="+filepath.Join(folder, "presence.db"), "TIMING__KEEPALIVE=100ms")
		if err != nil {
			return err
		}
		defer v.End()
		p := &patient{v: v, r: r, disk: folder, follower: newFollower("follower", r)}
		if p.load, err = newLoad(ctx, v, 8); err != nil {
			return err
		}
		if err := p.follower.open(ctx, v); err != nil {
			return err
		}
		p.begin(ctx)
		defer p.stop()
		defer v.Kill()
		if err := errors.Join(p.writes(ctx, 200), harm(ctx, p)); err != nil {
			return err
		}
		return p.restart(ctx)
	}
}

func command(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// begin lets the users write until stop is called.
func (p *patient) begin(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { p.load.run(ctx, p.v, 1<<40, func() {}) })
	p.stop = func() {
		cancel()
		running.Wait()
	}
}

// writes waits until n more writes have been answered.
func (p *patient) writes(ctx context.Context, n int64) error {
	enough := p.load.answered.Load() + n
	if err := until(ctx, func() (bool, error) { return p.load.answered.Load() >= enough, nil }); err != nil {
		return fmt.Errorf("writes are not answered: %w", err)
	}
	return nil
}

// isUnready waits until /readyz reports the failure.
func (p *patient) isUnready(ctx context.Context, reports string) {
	var answer testserver.Answer
	err := until(ctx, func() (bool, error) {
		var err error
		answer, err = p.v.Call(ctx, "/readyz", "", nil)
		return answer.Status == http.StatusServiceUnavailable && strings.Contains(answer.Message, reports), err
	})
	if err != nil {
		p.r.lose("/readyz answers %d %q, but should report %q", answer.Status, answer.Message, reports)
	}
	p.r.figure("/readyz: %q", answer.Message)
}

// goesOn checks that reads are answered, and that the stream continues.
func (p *patient) goesOn(ctx context.Context) {
	_, err := p.v.Statuses(ctx, p.load.users())
	p.r.must("reading a status", err)
	before := p.follower.events()
	if until(ctx, func() (bool, error) { return p.follower.events() >= before+2, nil }) != nil {
		p.r.lose("the stream sends nothing meanwhile")
	}
}

// recovers checks that the same process serves again once the harm has been undone.
func (p *patient) recovers(ctx context.Context) {
	began := time.Now()
	p.r.must("it does not recover", p.writes(ctx, 1))
	p.r.figure("answered %.0f ms after it was undone", lab.Millis(time.Since(began)))
	p.r.must("it does not recover", p.writes(ctx, 100))
	if answer, err := p.v.Call(ctx, "/readyz", "", nil); err != nil || answer.Status != http.StatusOK {
		p.r.lose("/readyz answers %d %q %v after the harm was undone", answer.Status, answer.Message, err)
	}
}

// restart kills the server, and checks that everything it answered is stored.
func (p *patient) restart(ctx context.Context) error {
	p.stop()
	p.v.Kill()
	http.DefaultClient.CloseIdleConnections()
	if err := p.v.Start(); err != nil {
		return err
	}
	p.r.try("%d writes answered and %d refused, then kill -9", p.load.answered.Load(), p.load.refused.Load())
	return p.load.verify(ctx, p.v, p.r)
}

// diskFull uses up all the space that is left on the disk.
func diskFull(ctx context.Context, p *patient) error {
	filler := filepath.Join(p.disk, "filler")
	if err := fill(filler); err != nil {
		return err
	}
	enough := p.load.refused.Load() + 100
	p.r.must("writes are not refused", until(ctx, func() (bool, error) { return p.load.refused.Load() >= enough, nil }))
	p.isUnready(ctx, "full")
	p.goesOn(ctx)
	if err := os.Remove(filler); err != nil {
		return err
	}
	p.recovers(ctx)
	return nil
}

func fill(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	for _, size := range []int{64 << 10, 4 << 10} {
		for block := make([]byte, size); err == nil; {
			_, err = f.Write(block)
		}
		err = nil
	}
	return f.Close()
}

// tmpfs mounts a small file system.
func tmpfs(folder string) error {
	return command("mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder)
}

// ext4 mounts an ext4 file system that is stored in a file and can be frozen.
func ext4(folder string) error {
	image := folder + ".image"
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		return err
	}
	return errors.Join(os.Truncate(image, 64<<20), command("mkfs.ext4", "-q", image), command("mount", "-o", "loop", image, folder))
}

// diskStuck makes writes wait for longer than a client would. From then on the server
// must refuse new writes immediately, and answer those under way when the disk is
// back.
func diskStuck(ctx context.Context, p *patient) error {
	if err := command("fsfreeze", "--freeze", p.disk); err != nil {
		return err
	}
	thaw := sync.OnceValue(func() error { return command("fsfreeze", "--unfreeze", p.disk) })
	defer thaw()
	began := time.Now()
	p.isUnready(ctx, "too slow")
	p.r.figure("reported after %.1f s", time.Since(began).Seconds())
	p.crowd(ctx, 1000)
	p.goesOn(ctx)
	if err := thaw(); err != nil {
		return err
	}
	p.recovers(ctx)
	return nil
}

// crowd makes n calls at the same time, all of which the server must refuse
// immediately.
func (p *patient) crowd(ctx context.Context, n int) {
	ctx, cancel := context.WithTimeout(ctx, settled)
	defer cancel()
	var running sync.WaitGroup
	delays := make([]time.Duration, n)
	for i := range n {
		running.Go(func() {
			began := time.Now()
			status, retryAfter, err := p.v.refusal(ctx, p.load.setters[0].token)
			if err != nil || status != http.StatusServiceUnavailable || retryAfter == "" {
				p.r.lose("a write to a stuck disk is answered %d, Retry-After %q, %v", status, retryAfter, err)
			}
			delays[i] = time.Since(began)
		})
	}
	running.Wait()
	p.r.try("%d calls at once while the disk is stuck", n)
	p.r.figure("refused within %s", summary(delays))
}

// refusal makes a write that the server must refuse, on a connection of its own.
func (v *victim) refusal(ctx context.Context, token string) (status int, retryAfter string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, v.URL+"/v1/setSelfStatus", strings.NewReader(`{"customStatus":"refused"}`))
	if err != nil {
		return 0, "", err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Close = true // the server may close an idle connection just as it is used again
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, "", err
	}
	response.Body.Close()
	return response.StatusCode, response.Header.Get("Retry-After"), nil
}
