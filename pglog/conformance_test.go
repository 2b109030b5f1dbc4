package pglog

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/presence-server/presence/deploy/testserver"
	"github.com/presence-server/presence/presence"
)

// testLog checks what presence.Log demands of every log. fresh returns a function that
// opens the same log, which has nothing yet, each time; such a log keeps its entries for
// at least the time that the function is given.
func testLog(t *testing.T, fresh func(t *testing.T) (open func(kept time.Duration) presence.Log)) {
	for name, test := range map[string]func(t *testing.T, open func(kept time.Duration) presence.Log){
		"Empty":                  testEmpty,
		"Order":                  testOrder,
		"Sizes":                  testSizes,
		"TenWriters":             testTenWriters,
		"UnknownOutcome":         testUnknownOutcome,
		"NextWaits":              testNextWaits,
		"NextIsLimited":          testNextIsLimited,
		"OneFounder":             testOneFounder,
		"Snapshots":              testSnapshots,
		"SnapshotIsAllOrNothing": testSnapshotIsAllOrNothing,
		"ReplacedWhileLoading":   testReplacedWhileLoading,
		"Trimmed":                testTrimmed,
		"Close":                  testClose,
	} {
		t.Run(name, func(t *testing.T) { test(t, fresh(t)) })
	}
}

func testEmpty(t *testing.T, open func(time.Duration) presence.Log) {
	log, again := open(presence.LogKept), open(presence.LogKept)
	state := stateOf(t, log)
	if state.ID == "" || state.First != 1 || state.Last != 0 || state.Bytes != 0 {
		t.Errorf("the state of an empty log is %+v", state)
	}
	if id := stateOf(t, again).ID; id != state.ID {
		t.Errorf("the log has the IDs %s and %s", state.ID, id)
	}
	if _, err := log.LoadSnapshot(ctxOf(t), io.Discard); err != presence.ErrNoSnapshot {
		t.Errorf("LoadSnapshot returned %v, want ErrNoSnapshot", err)
	}
}

// testOrder checks that all logs have the same entries in the same order, without a gap.
func testOrder(t *testing.T, open func(time.Duration) presence.Log) {
	logs := []presence.Log{open(presence.LogKept), open(presence.LogKept)}
	began := time.Now()
	bytes := int64(0)
	for i := range 100 {
		data := fmt.Sprint("entry ", i+1)
		appendTo(t, logs[i%2], data)
		bytes += int64(len(data))
	}
	for _, log := range logs {
		for i, entry := range entriesOf(t, log, 0, 100) {
			if want := fmt.Sprint("entry ", i+1); string(entry.Data) != want {
				t.Fatalf("the entry at place %d is %q, want %q", i+1, entry.Data, want)
			}
			if since := entry.At.Sub(began).Abs(); since > testserver.Patience || entry.At != entry.At.Truncate(time.Microsecond) {
				t.Fatalf("the entry was appended at %v, %v after it was", entry.At, since)
			}
		}
		if state := stateOf(t, log); state.First != 1 || state.Last != 100 || state.Bytes != bytes {
			t.Errorf("the state is %+v, want the entries 1 to 100 with %d bytes", state, bytes)
		}
		if rest := entriesOf(t, log, 93, 7); string(rest[0].Data) != "entry 94" {
			t.Errorf("after place 93 comes %q", rest[0].Data)
		}
	}
}

func testSizes(t *testing.T, open func(time.Duration) presence.Log) {
	log := open(presence.LogKept)
	random := rand.NewChaCha8([32]byte{1})
	for i, size := range []int{1, 2, 8 << 10, 1<<20 - 1, 1 << 20} {
		data := make([]byte, size)
		random.Read(data)
		appendTo(t, log, string(data))
		if got := entriesOf(t, log, int64(i), 1)[0].Data; !bytes.Equal(got, data) {
			t.Errorf("an entry of %d bytes came back with %d", size, len(got))
		}
	}
}

func testTenWriters(t *testing.T, open func(time.Duration) presence.Log) {
	logs := []presence.Log{open(presence.LogKept), open(presence.LogKept), open(presence.LogKept)}
	const writers, each = 10, 50
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				if err := logs[w%len(logs)].Append(ctxOf(t), fmt.Appendf(nil, "%d %d", w, i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	entries := entriesOf(t, logs[0], 0, writers*each) // while they write
	all.Wait()
	checkWriters(t, entries, writers, each)
	if last := stateOf(t, logs[0]).Last; last != writers*each {
		t.Errorf("the newest entry has the place %d, want %d", last, writers*each)
	}
}

// checkWriters checks that each writer's entries, which are "writer number", are all there in
// their order. An entry may repeat an earlier one of the same writer.
func checkWriters(t *testing.T, entries []presence.LogEntry, writers, each int) {
	t.Helper()
	next := make([]int, writers)
	for _, entry := range entries {
		var w, i int
		fmt.Sscan(string(entry.Data), &w, &i)
		switch {
		case i == next[w]:
			next[w]++
		case i > next[w]:
			t.Fatalf("writer %d: after its entry %d comes its entry %d", w, next[w]-1, i)
		}
	}
	for w, n := range next {
		if n != each {
			t.Errorf("the log has %d entries of writer %d, want %d", n, w, each)
		}
	}
}

// testUnknownOutcome cancels appends in the middle, and then appends the same again.
func testUnknownOutcome(t *testing.T, open func(time.Duration) presence.Log) {
	log := open(presence.LogKept)
	const each = 100
	unknown := 0
	usual := time.Millisecond
	for i := range each {
		data := fmt.Appendf(nil, "0 %d", i)
		ctx, cancel := context.WithTimeout(ctxOf(t), rand.N(usual))
		err := log.Append(ctx, data)
		cancel()
		if err != nil {
			unknown++
			appendTo(t, log, string(data))
		}
		began := time.Now()
		appendTo(t, log, string(data))
		usual = time.Since(began)
	}
	if unknown == 0 {
		t.Error("no append was cancelled")
	}
	last := stateOf(t, log).Last
	checkWriters(t, entriesOf(t, log, 0, int(last)), 1, each)
	t.Logf("%d of %d appends were cancelled, and %d of those were done", unknown, each, last-2*each)
}

func testNextWaits(t *testing.T, open func(time.Duration) presence.Log) {
	log, other := open(presence.LogKept), open(presence.LogKept)
	appendTo(t, other, "first")
	entriesOf(t, log, 0, 1)
	short, cancel := context.WithTimeout(ctxOf(t), 50*time.Millisecond)
	defer cancel()
	if entries, err := log.Next(short, 1); err == nil {
		t.Errorf("Next returned %v although there is nothing", entries)
	}
	type result struct {
		entries []presence.LogEntry
		err     error
		at      time.Time
	}
	results := make(chan result)
	fastest := time.Hour
	for place := int64(2); place < 10; place++ {
		go func() {
			entries, err := log.Next(ctxOf(t), place-1)
			results <- result{entries, err, time.Now()}
		}()
		select {
		case r := <-results:
			t.Fatalf("Next didn't wait: %+v", r)
		case <-time.After(20 * time.Millisecond): // long enough to begin to wait
		}
		appendTo(t, other, "next")
		appended := time.Now()
		r := <-results
		if r.err != nil || len(r.entries) != 1 || r.entries[0].Place != place {
			t.Fatalf("Next returned %+v", r)
		}
		fastest = min(fastest, r.at.Sub(appended))
	}
	if fastest > 500*time.Millisecond { // a busy machine may delay some, but a log that only polls delays all
		t.Errorf("Next returned %v after an entry was appended, or later", fastest)
	}
}

// testNextIsLimited checks that one call doesn't return all of a long log.
func testNextIsLimited(t *testing.T, open func(time.Duration) presence.Log) {
	log := open(presence.LogKept)
	const long = 32
	for i := range long {
		appendTo(t, log, string(rune('A'+i))+strings.Repeat(".", 1<<20-1))
	}
	first, err := log.Next(ctxOf(t), 0)
	if err != nil || len(first) == 0 || len(first) >= long/2 {
		t.Errorf("Next returned %d entries of 1 MiB, %v", len(first), err)
	}
	for i, entry := range entriesOf(t, log, 0, long) {
		if rune(entry.Data[0]) != rune('A'+i) {
			t.Errorf("the entry at place %d begins with %q", entry.Place, entry.Data[0])
		}
	}
}

func testClose(t *testing.T, open func(time.Duration) presence.Log) {
	log := open(presence.LogKept)
	appendTo(t, log, "an entry")
	waiting := make(chan error)
	go func() {
		_, err := log.Next(ctxOf(t), 1)
		waiting <- err
	}()
	r, w := io.Pipe()
	defer r.Close()
	go func() { waiting <- log.SaveSnapshot(ctxOf(t), 1, r) }()
	w.Write([]byte("the snapshot has begun"))
	for range 2 {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	}
	w.Close()
	for range 2 {
		if err := <-waiting; err == nil {
			t.Error("a call that waited returned no error")
		}
	}
	if err := log.Append(ctxOf(t), []byte("too late")); err == nil {
		t.Error("Append after Close returned no error")
	}
	if _, err := log.Next(ctxOf(t), 0); err == nil {
		t.Error("Next after Close returned no error")
	}
}

// ctxOf returns a context for one call, which ends it if it takes too long.
func ctxOf(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), testserver.Patience)
	t.Cleanup(cancel)
	return ctx
}

func appendTo(t *testing.T, log presence.Log, data string) {
	t.Helper()
	if err := log.Append(ctxOf(t), []byte(data)); err != nil {
		t.Fatal(err)
	}
}

func stateOf(t *testing.T, log presence.Log) presence.LogState {
	t.Helper()
	state, err := log.State(ctxOf(t))
	if err != nil {
		t.Fatal(err)
	}
	return state
}

func snapshotOf(t *testing.T, log presence.Log) (place int64, snapshot string) {
	t.Helper()
	var text strings.Builder
	place, err := log.LoadSnapshot(ctxOf(t), &text)
	if err != nil {
		t.Fatal(err)
	}
	return place, text.String()
}

// entriesOf returns the n entries after a place, and checks that there is no gap.
func entriesOf(t *testing.T, log presence.Log, after int64, n int) (entries []presence.LogEntry) {
	t.Helper()
	for len(entries) < n {
		some, err := log.Next(ctxOf(t), after+int64(len(entries)))
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, some...)
	}
	for i, entry := range entries {
		if want := after + int64(i) + 1; entry.Place != want {
			t.Fatalf("Next returned the entry at place %d, want %d", entry.Place, want)
		}
	}
	return entries
}
