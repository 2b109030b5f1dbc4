package presence

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestPromise5HoldsForAFileThatIsGone checks that nothing is written while the file
// has no name, because it would be lost at the next start, and that writing continues
// when the file is back.
func TestPromise5HoldsForAFileThatIsGone(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there an open file keeps its name")
	}
	for _, suffix := range []string{"", "-wal"} {
		t.Run("presence.db"+suffix, func(t *testing.T) {
			w := open(t)
			alice := w.web("alice", "tab")
			w.set("alice", "before", 0)
			name, away := w.path+suffix, filepath.Join(t.TempDir(), "away")
			w.must(os.Rename(name, away))
			w.isRefused("away")
			w.must(os.WriteFile(name, nil, 0o600))
			w.isRefused("replaced")
			w.is("alice ONLINE before", "reads continue")
			alice.wants("alice ONLINE before")
			alice.quiet("nothing that was refused is sent")

			w.must(os.Rename(away, name))
			w.must(w.Ready(t.Context()))
			w.set("alice", "after", 0)
			after := w.killed()
			after.start()
			after.is("alice ONLINE after", "an answered write survives")
		})
	}
}

func (w *world) isRefused(why string) {
	w.t.Helper()
	if err := w.Ready(w.t.Context()); err == nil || !strings.Contains(err.Error(), "put it back") {
		w.t.Errorf("%s: Ready returns %v, which should explain what to do", why, err)
	}
	_, err := w.Set(w.t.Context(), "alice", why, 0)
	wantCode(w.t, err, CodeUnavailable, "a write that would be lost is refused")
}

// TestOverloadIsRefusedEarly checks that, when the disk doesn't respond, new
// operations are refused immediately instead of waiting.
func TestOverloadIsRefusedEarly(t *testing.T) {
	w := open(t)
	w.register("alice", "bob")
	w.mu.RLock() // the writer needs this lock
	first := make(chan error, 1)
	go func() {
		_, err := w.Set(t.Context(), "alice", "first", 0)
		first <- err
	}()
	for deadline := time.Now().Add(time.Minute); w.writer.pace.began.Load() == 0; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("the writer doesn't start")
		}
	}
	if w.writer.wait() > maxWait {
		t.Error("a batch that has just begun is not a reason to refuse another")
	}
	w.writer.pace.began.Add(-int64(maxWait)) // as if it were maxWait later
	if w.writer.wait() > maxWait {
		t.Error("the process was stopped meanwhile, which is not a reason to refuse")
	}
	w.writer.pace.ticks.Store(int64(maxWait/tick) + 1) // as if the process had run
	if _, err := w.Set(t.Context(), "bob", "second", 0); err != ErrOverloaded {
		t.Errorf("got %v while the disk doesn't answer, want ErrOverloaded", err)
	}
	if err := w.writer.stuck(); err == nil || !strings.Contains(err.Error(), "too slow") {
		t.Errorf("Ready returns %v, which should contain the reason", err)
	}
	w.mu.RUnlock()
	w.must(<-first)
	w.set("bob", "third", 0)
	w.must(w.Ready(t.Context()))
}

// TestWaitGrowsWithTheQueue checks that many batches on a slow disk count as a long
// wait, too.
func TestWaitGrowsWithTheQueue(t *testing.T) {
	s := &writer{pace: newPace(), queue: make(chan *request, queueLength)}
	s.pace.took.Store(int64(time.Second))
	for range 5 * batchLength {
		if s.wait() > maxWait {
			t.Fatalf("with %d waiting, %v is too long already", len(s.queue), s.wait())
		}
		s.queue <- nil
	}
	if s.wait() <= maxWait {
		t.Errorf("with %d waiting, each batch taking a second, the wait is only %v", len(s.queue), s.wait())
	}
}
