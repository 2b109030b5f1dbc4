package presence

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestPromise5HoldsForAFileThatIsGone: what is written to a file without its
// name is lost at the next start, so nothing is, until it is back.
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
			w.is("alice ONLINE before", "reads go on")
			alice.wants("alice ONLINE before")
			alice.quiet("what is refused is told to nobody")

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
		w.t.Errorf("%s: Ready gives %v, and should tell what to do", why, err)
	}
	_, err := w.Set(w.t.Context(), "alice", why, 0)
	wantCode(w.t, err, CodeUnavailable, "a write that would be lost is refused")
}

// TestOverloadIsRefusedEarly: the disk doesn't answer. Who comes then is told so,
// and isn't left waiting.
func TestOverloadIsRefusedEarly(t *testing.T) {
	w := open(t)
	w.register("alice", "bob")
	w.mu.RLock() // which the writer needs
	first := make(chan error, 1)
	go func() {
		_, err := w.Set(t.Context(), "alice", "first", 0)
		first <- err
	}()
	for deadline := time.Now().Add(time.Minute); w.writer.pace.began.Load() == 0; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("the writer doesn't begin")
		}
	}
	if w.writer.wait() > maxWait {
		t.Error("a batch that has just begun is no reason to refuse another")
	}
	w.writer.pace.began.Add(-int64(maxWait)) // as it is maxWait later
	if w.writer.wait() > maxWait {
		t.Error("the process was stopped meanwhile: that is no reason to refuse")
	}
	w.writer.pace.ticks.Store(int64(maxWait/tick) + 1) // it ran
	if _, err := w.Set(t.Context(), "bob", "second", 0); err != ErrOverloaded {
		t.Errorf("got %v while the disk doesn't answer, want ErrOverloaded", err)
	}
	if err := w.writer.stuck(); err == nil || !strings.Contains(err.Error(), "too slow") {
		t.Errorf("Ready gives %v, and should tell why", err)
	}
	w.mu.RUnlock()
	w.must(<-first)
	w.set("bob", "third", 0)
	w.must(w.Ready(t.Context()))
}

// TestWaitGrowsWithTheQueue: many batches of a slow disk are a long wait too.
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
