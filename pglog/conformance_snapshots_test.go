package pglog

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/presence-server/presence/presence"
)

func testOneFounder(t *testing.T, open func(time.Duration) presence.Log) {
	const founders = 3
	errs := make(chan error)
	for i := range founders {
		log := open(presence.LogKept)
		go func() {
			errs <- log.SaveSnapshot(ctxOf(t), 0, strings.NewReader(strings.Repeat(fmt.Sprint(i), 3<<20)))
		}()
	}
	founded := 0
	for range founders {
		switch err := <-errs; {
		case err == nil:
			founded++
		case err != presence.ErrFounded:
			t.Errorf("SaveSnapshot returned %v, want ErrFounded", err)
		}
	}
	if founded != 1 {
		t.Errorf("%d founders have founded the log, want 1", founded)
	}
	place, snapshot := snapshotOf(t, open(presence.LogKept))
	if place != 0 || len(snapshot) != 3<<20 || strings.Trim(snapshot, snapshot[:1]) != "" {
		t.Errorf("the snapshot at place %d with %d bytes isn't that of one founder", place, len(snapshot))
	}
}

func testSnapshots(t *testing.T, open func(time.Duration) presence.Log) {
	log := open(presence.LogKept)
	for i, size := range []int{0, 1, 1 << 20, 5<<20 + 7} {
		want := strings.Repeat("0123456789", size/10+1)[:size]
		if err := log.SaveSnapshot(ctxOf(t), int64(i), strings.NewReader(want)); err != nil {
			t.Fatal(err)
		}
		if place, got := snapshotOf(t, log); place != int64(i) || got != want {
			t.Fatalf("the snapshot of %d bytes at place %d came back with %d bytes at place %d", size, i, len(got), place)
		}
		appendTo(t, log, "an entry")
	}
	for _, place := range []int64{3, 2} {
		if err := log.SaveSnapshot(ctxOf(t), place, strings.NewReader("too late")); err != nil {
			t.Errorf("a snapshot at place %d after one at 3: %v", place, err)
		}
	}
	if err := log.SaveSnapshot(ctxOf(t), 0, strings.NewReader("too late")); err != presence.ErrFounded {
		t.Errorf("founding the log again returned %v, want ErrFounded", err)
	}
	if place, snapshot := snapshotOf(t, log); place != 3 || snapshot == "too late" {
		t.Errorf("an older snapshot has replaced the newest")
	}
}

func testSnapshotIsAllOrNothing(t *testing.T, open func(time.Duration) presence.Log) {
	log := open(presence.LogKept)
	broken := errors.New("the disk broke")
	r := io.MultiReader(strings.NewReader(strings.Repeat(".", 3<<20)), iotest.ErrReader(broken))
	if err := log.SaveSnapshot(ctxOf(t), 0, r); !errors.Is(err, broken) {
		t.Errorf("SaveSnapshot returned %v, want the error of the reader", err)
	}
	if _, err := log.LoadSnapshot(ctxOf(t), io.Discard); err != presence.ErrNoSnapshot {
		t.Errorf("LoadSnapshot returned %v, want ErrNoSnapshot", err)
	}
	if err := log.SaveSnapshot(ctxOf(t), 0, strings.NewReader("whole")); err != nil {
		t.Fatal(err)
	}
	full, w := io.Pipe()
	full.CloseWithError(broken)
	if _, err := log.LoadSnapshot(ctxOf(t), w); !errors.Is(err, broken) {
		t.Errorf("LoadSnapshot returned %v, want the error of the writer", err)
	}
}

func testTrimmed(t *testing.T, open func(time.Duration) presence.Log) {
	log, keeping := open(0), open(presence.LogKept)
	for range 10 {
		appendTo(t, log, "12345")
	}
	save := func(log presence.Log, place int64) {
		t.Helper()
		if err := log.SaveSnapshot(ctxOf(t), place, strings.NewReader("state")); err != nil {
			t.Fatal(err)
		}
	}
	save(log, 0)
	save(keeping, 5)
	if state := stateOf(t, log); state.First != 1 || state.Bytes != 50 {
		t.Errorf("entries younger than LogKept, or newer than the snapshot, were removed: %+v", state)
	}
	save(log, 7)
	if state := stateOf(t, log); state.First != 8 || state.Last != 10 || state.Bytes != 15 {
		t.Errorf("after a snapshot at place 7, the state is %+v", state)
	}
	for _, after := range []int64{0, 6} {
		if _, err := keeping.Next(ctxOf(t), after); err != presence.ErrTrimmed {
			t.Errorf("Next after %d returned %v, want ErrTrimmed", after, err)
		}
	}
	entriesOf(t, keeping, 7, 3)
	save(log, 10)
	if state := stateOf(t, log); state.First != 11 || state.Last != 10 || state.Bytes != 0 {
		t.Errorf("after a snapshot at the end, the state is %+v", state)
	}
	if _, err := keeping.Next(ctxOf(t), 9); err != presence.ErrTrimmed {
		t.Errorf("Next in an empty log returned %v, want ErrTrimmed", err)
	}
	appendTo(t, log, "12345")
	entriesOf(t, keeping, 10, 1)
}

// testReplacedWhileLoading checks that a snapshot is loaded as a whole even if a newer one
// replaces it meanwhile.
func testReplacedWhileLoading(t *testing.T, open func(time.Duration) presence.Log) {
	log := open(presence.LogKept)
	save := func(place int64, letter string) {
		t.Helper()
		if err := log.SaveSnapshot(ctxOf(t), place, strings.NewReader(strings.Repeat(letter, 3<<20))); err != nil {
			t.Fatal(err)
		}
	}
	save(0, "a")
	appendTo(t, log, "an entry")
	r, w := io.Pipe()
	places := make(chan int64)
	go func() {
		place, err := log.LoadSnapshot(ctxOf(t), w)
		w.CloseWithError(err)
		places <- place
	}()
	first := make([]byte, 1)
	if _, err := io.ReadFull(r, first); err != nil {
		t.Fatal(err)
	}
	save(1, "b")
	rest, err := io.ReadAll(r)
	if place := <-places; err != nil || place != 0 || string(first)+string(rest) != strings.Repeat("a", 3<<20) {
		t.Errorf("the snapshot has %d bytes and the place %d, %v", 1+len(rest), place, err)
	}
}
