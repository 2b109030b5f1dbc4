//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// idle is streams on which nothing happens.
func (b *bench) idle(name string, n int) load {
	return load{
		name:    name,
		shape:   fmt.Sprintf("%d streams on which nothing happens, their users' sessions included", b.scale(n)),
		figures: []figure{{what: "KiB of RSS a stream", most: 20}},
		measure: func(ctx context.Context) ([]result, error) {
			gained, err := b.idleMemory(ctx, b.scale(n))
			return []result{{ours: gained / 1024 / float64(b.scale(n))}}, err
		},
	}
}

// idleMemory returns the resident memory, in bytes, that n streams take.
func (b *bench) idleMemory(ctx context.Context, n int) (gained float64, err error) {
	ours, err := b.start("")
	if err != nil {
		return 0, err
	}
	defer ours.end()
	if err := ours.importUsers(n); err != nil {
		return 0, err
	}
	before, err := resident(ours.pid)
	if err != nil {
		return 0, err
	}
	s, err := ours.open(ctx, b.requests(n), nil)
	if err != nil {
		return 0, err
	}
	defer s.close()
	after, err := resident(ours.pid)
	return float64(after - before), err
}

// pairs is users who watch many others, beside the same who watch nobody.
func (b *bench) pairs() load {
	const each = 200
	watchers, targets := b.scale(2000), b.scale(8000)
	return load{
		name: "watched pairs",
		shape: fmt.Sprintf("%d idle streams; their users watch %d of %d others each, beside as many who watch nobody",
			watchers, each, targets),
		figures: []figure{{what: "bytes of live heap a pair", most: 16}},
		measure: func(ctx context.Context) ([]result, error) {
			watching, err := b.seed("pairs", watchers+targets,
				subscriptions{watchers: watchers, targets: targets, first: watchers, each: each})
			if err != nil {
				return nil, err
			}
			alone, err := b.seed("no pairs", watchers+targets)
			if err != nil {
				return nil, err
			}
			with, err := b.liveHeap(ctx, watching, watchers)
			if err != nil {
				return nil, err
			}
			without, err := b.liveHeap(ctx, alone, watchers)
			return []result{{ours: float64(with-without) / float64(watchers*each)}}, err
		},
	}
}

// liveHeap returns what the server's heap holds, in bytes, once users 0 to n-1
// have a stream.
func (b *bench) liveHeap(ctx context.Context, database string, n int) (bytes int, err error) {
	ops, err := freeAddress()
	if err != nil {
		return 0, err
	}
	ours, err := b.start(database, "OPS__LISTEN="+ops)
	if err != nil {
		return 0, err
	}
	defer ours.end()
	s, err := ours.open(ctx, b.requests(n), nil)
	if err != nil {
		return 0, err
	}
	defer s.close()
	for range 2 { // what a pool holds survives one collection
		if bytes, err = heap(ops); err != nil {
			return 0, err
		}
	}
	return bytes, nil
}

// heap has a server collect garbage, and returns the bytes that are left.
func heap(ops string) (bytes int, err error) {
	response, err := http.Get("http://" + ops + "/debug/pprof/heap?gc=1&debug=1")
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(text), "# HeapAlloc = ")
	if _, err := fmt.Sscan(after, &bytes); err != nil {
		return 0, fmt.Errorf("no HeapAlloc in the profile: %w", err)
	}
	return bytes, nil
}
