//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/presence-server/presence/bench/lab"
	"github.com/presence-server/presence/deploy/testserver"
)

// patience bounds one attack. settled bounds how long anything may take to return to
// its state before the attack.
const (
	patience = 5 * time.Minute
	settled  = 30 * time.Second
)

// attacker is one run of this program.
type attacker struct {
	*lab.Lab
	seed uint64
}

// random returns the source of the random decisions of one attack. It depends only on
// the seed, not on which other attacks run.
func (a *attacker) random(name string) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(name))
	return rand.New(rand.NewPCG(a.seed, h.Sum64()))
}

// victim is a server under attack.
type victim struct{ lab.Server }

// start starts a server in a folder of its own.
func (a *attacker) start(env ...string) (*victim, error) {
	s, err := a.Lab.Start("", append([]string{"OPS__LISTEN=127.0.0.1:0"}, env...)...)
	return &victim{s}, err
}

// set sets a user's custom status.
func (v *victim) set(ctx context.Context, token, text string) (testserver.Answer, error) {
	return v.Call(ctx, "/v1/setSelfStatus", token, map[string]any{"customStatus": text})
}

var opsURL = regexp.MustCompile(`msg="metrics and profiles" url=(\S+)`)

// holdings are the resources that the server holds.
type holdings struct{ goroutines, descriptors, streams, heap, resident, cuts int }

// holdings reads them from the server's [ops] listener, after a garbage collection.
func (v *victim) holdings(ctx context.Context) (h holdings, err error) {
	if _, err := v.ops(ctx, "debug/pprof/heap?gc=1"); err != nil {
		return h, err
	}
	text, err := v.ops(ctx, "metrics")
	for name, to := range map[string]*int{
		"go_goroutines": &h.goroutines, "process_open_fds": &h.descriptors, "presence_streams": &h.streams,
		"go_memstats_heap_alloc_bytes": &h.heap, "process_resident_memory_bytes": &h.resident,
		`presence_stream_cuts_total{reason="write_timeout"}`: &h.cuts,
	} {
		var value float64 // the text may be 1.5e+06
		_, after, _ := strings.Cut("\n"+text, "\n"+name+" ")
		if _, errScan := fmt.Sscan(after, &value); errScan != nil {
			err = errors.Join(err, fmt.Errorf("the metric %s: %w", name, errScan))
		}
		*to = int(value)
	}
	return h, err
}

func (h holdings) String() string {
	return fmt.Sprintf("%d goroutines, %d descriptors, %.1f MiB heap, %.0f MiB RSS",
		h.goroutines, h.descriptors, float64(h.heap)/(1<<20), float64(h.resident)/(1<<20))
}

func (v *victim) ops(ctx context.Context, path string) (string, error) {
	found := opsURL.FindAllStringSubmatch(v.Log(), -1)
	if len(found) == 0 {
		return "", errors.New("the server doesn't log where its metrics are")
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, found[len(found)-1][1]+path, nil)
	if err != nil {
		return "", err
	}
	request.Close = true // an open connection would be counted
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return string(text), err
}

// until waits until a condition holds, and checks it repeatedly.
func until(ctx context.Context, is func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, settled)
	defer cancel()
	every := time.NewTicker(20 * time.Millisecond)
	defer every.Stop()
	for {
		if ok, err := is(); ok || err != nil {
			return err
		}
		select {
		case <-every.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
