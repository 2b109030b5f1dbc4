//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	server "github.com/presence-server/presence/deploy/testserver"
)

// harm is what is done to the disk under a server.
type harm struct {
	tells string // what /readyz has to tell of it
	do    func() error
	undo  func() error // nil: the kernel knows no way back
}

// patient is a server whose disk comes to harm while users write and one
// follows.
type patient struct {
	a        *attacker
	v        *victim
	r        *report
	load     *load
	follower *follower
	stop     func() // the load
}

func (a *attacker) admit(ctx context.Context, r *report, database string) (*patient, error) {
	v, err := a.start("DATABASE__PATH="+database, "TIMING__KEEPALIVE=100ms")
	if err != nil {
		return nil, err
	}
	p := &patient{a: a, v: v, r: r}
	if p.load, err = a.newLoad(ctx, v, 8, 2); err != nil {
		return nil, err
	}
	p.follower = a.newFollower("follower", r)
	if err := p.follower.open(ctx, v); err != nil {
		return nil, err
	}
	p.begin(ctx)
	return p, p.writes(ctx, 200)
}

// begin lets the users write until stop.
func (p *patient) begin(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { p.load.run(ctx, p.v, 1<<40, func() {}) })
	p.stop = func() {
		cancel()
		running.Wait()
	}
}

// writes waits until n more writes are answered.
func (p *patient) writes(ctx context.Context, n int64) error {
	enough := p.load.answered.Load() + n
	if err := until(ctx, func() (bool, error) { return p.load.answered.Load() >= enough, nil }); err != nil {
		return fmt.Errorf("writes are not answered: %w", err)
	}
	return nil
}

// suffer does the harm, looks at the server meanwhile, and undoes it.
func (p *patient) suffer(ctx context.Context, h harm) error {
	p.r.must("the harm", h.do())
	began := time.Now()
	enough := p.load.refused.Load() + 100
	if err := until(ctx, func() (bool, error) { return p.load.refused.Load() >= enough, nil }); err != nil {
		p.r.lose("writes are not refused: %v", err)
	}
	p.r.figure("refused after %.0f ms", time.Since(began).Seconds()*1000)
	p.isUnready(ctx, h.tells)
	p.goesOn(ctx)
	if h.undo == nil {
		return nil
	}
	p.r.must("undoing the harm", h.undo())
	began = time.Now()
	if err := p.writes(ctx, 1); err != nil {
		p.r.lose("it does not recover: %v", err)
	}
	p.r.figure("answered %.0f ms after it was undone", time.Since(began).Seconds()*1000)
	p.isReady(ctx)
	return p.writes(ctx, 100)
}

func (p *patient) isUnready(ctx context.Context, tells string) {
	var answer server.Answer
	err := until(ctx, func() (bool, error) {
		var err error
		answer, err = p.v.Call(ctx, "/readyz", "", nil)
		return answer.Status == http.StatusServiceUnavailable && strings.Contains(answer.Message, tells), err
	})
	if err != nil {
		p.r.lose("/readyz answers %d %q, and should tell %q", answer.Status, answer.Message, tells)
	}
	p.r.figure("/readyz: %q", answer.Message)
}

func (p *patient) isReady(ctx context.Context) {
	answer, err := p.v.Call(ctx, "/readyz", "", nil)
	if err != nil || answer.Status != http.StatusOK {
		p.r.lose("/readyz answers %d %q %v without the harm", answer.Status, answer.Message, err)
	}
}

// goesOn looks whether reads are answered, and the stream goes on.
func (p *patient) goesOn(ctx context.Context) {
	_, err := p.v.statuses(ctx, p.load.users())
	p.r.must("reading a status", err)
	before := p.follower.events()
	if until(ctx, func() (bool, error) { return p.follower.events() >= before+2, nil }) != nil {
		p.r.lose("the stream says nothing meanwhile")
	}
}

// restart kills the server, and looks whether all is there that was answered.
func (p *patient) restart(ctx context.Context, repair func() error) error {
	p.stop()
	p.v.Kill()
	http.DefaultClient.CloseIdleConnections()
	if repair != nil {
		if err := repair(); err != nil {
			return err
		}
	}
	if err := p.v.Start(); err != nil {
		return err
	}
	p.r.try("%d writes answered and %d refused, then kill -9", p.load.answered.Load(), p.load.refused.Load())
	return p.load.verify(ctx, p.v, p.r)
}

func (p *patient) discharge() {
	p.v.Kill()
	p.stop()
	p.v.end()
}

func (a *attacker) diskFull(ctx context.Context, r *report) error {
	folder, unmount, err := a.mount("tmpfs", "tmpfs", "size=4m")
	if err != nil {
		r.skipped = err.Error()
		return nil
	}
	defer unmount()
	p, err := a.admit(ctx, r, filepath.Join(folder, "presence.db"))
	if err != nil {
		return err
	}
	defer p.discharge()
	filler := filepath.Join(folder, "filler")
	err = p.suffer(ctx, harm{"full", func() error { return fill(filler) }, func() error { return os.Remove(filler) }})
	if err != nil {
		return err
	}
	return p.restart(ctx, nil)
}

// fill takes all the room that is left.
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

// diskRemoved moves the database away under the server, and back.
func (a *attacker) diskRemoved(ctx context.Context, r *report) error {
	folder, err := os.MkdirTemp(a.folder, "removed-")
	if err != nil {
		return err
	}
	database := filepath.Join(folder, "presence.db")
	p, err := a.admit(ctx, r, database)
	if err != nil {
		return err
	}
	defer p.discharge()
	for _, name := range []string{database, database + "-wal"} {
		err := p.suffer(ctx, harm{"put it back",
			func() error { return os.Rename(name, name+".away") },
			func() error { return os.Rename(name+".away", name) }})
		if err != nil {
			return err
		}
	}
	return p.restart(ctx, nil)
}

// onDisk is an attack on a disk of its own, where the database of a server is.
func (a *attacker) onDisk(attack func(context.Context, *report, *disk, *patient) error) func(context.Context, *report) error {
	return func(ctx context.Context, r *report) error {
		d, err := a.newDisk()
		if err != nil {
			r.skipped = err.Error()
			return nil
		}
		defer d.unmount()
		p, err := a.admit(ctx, r, d.database())
		if err != nil {
			return err
		}
		defer p.discharge()
		return attack(ctx, r, d, p)
	}
}

// diskReadOnly has a fault of the file system make it read-only: while files
// are open for writing, the kernel does so for nobody who asks. There is no way
// back but to mount it anew. The fault comes between two writes: ext4 then tells
// an fsync that is under way that all went well, and it did not.
func (a *attacker) diskReadOnly(ctx context.Context, r *report, d *disk, p *patient) error {
	if err := p.suffer(ctx, harm{"can't be written", func() error {
		p.stop()
		defer p.begin(ctx)
		return d.fail()
	}, nil}); err != nil {
		return err
	}
	return p.restart(ctx, d.remount)
}

// diskSlow has each write to the disk wait, for about a fifth of a second.
func (a *attacker) diskSlow(ctx context.Context, r *report, d *disk, p *patient) error {
	p.load.forgetDelays()
	for range a.scale(50, 15) {
		if err := errors.Join(d.freeze(), d.thawAfter(ctx, 200*time.Millisecond)); err != nil {
			return err
		}
	}
	p.goesOn(ctx)
	p.isReady(ctx)
	r.figure("writes answered within %s", summary(p.load.delaysSorted()))
	if n := p.load.refused.Load(); n > 0 {
		r.lose("%d writes are refused, which would have been answered soon", n)
	}
	return p.restart(ctx, nil)
}

// diskStuck has writes wait for longer than a client would. Then new ones are
// refused at once, and those under way are answered when the disk is back.
func (a *attacker) diskStuck(ctx context.Context, r *report, d *disk, p *patient) error {
	if err := d.freeze(); err != nil {
		return err
	}
	defer d.thaw()
	began := time.Now()
	p.isUnready(ctx, "too slow")
	r.figure("told after %.1f s", time.Since(began).Seconds())
	p.crowd(ctx, a.scale(5000, 1000))
	p.goesOn(ctx)
	if err := d.thaw(); err != nil {
		return err
	}
	if err := p.writes(ctx, 200); err != nil {
		p.r.lose("it does not recover: %v", err)
	}
	p.isReady(ctx)
	return p.restart(ctx, nil)
}

// crowd has so many calls made at once while the disk is stuck.
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
				p.r.lose("a write to a disk that is stuck is answered %d, Retry-After %q, %v", status, retryAfter, err)
			}
			delays[i] = time.Since(began)
		})
	}
	running.Wait()
	p.r.try("%d calls at once while the disk is stuck", n)
	p.r.figure("refused within %s", summary(sorted(delays)))
}

// refusal makes a write that is to be refused.
func (v *victim) refusal(ctx context.Context, token string) (status int, retryAfter string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, v.URL+"/v1/setSelfStatus", strings.NewReader(`{"customStatus":"refused"}`))
	if err != nil {
		return 0, "", err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, "", err
	}
	response.Body.Close()
	return response.StatusCode, response.Header.Get("Retry-After"), nil
}
