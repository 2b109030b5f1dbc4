package presence

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// cancelledLog cancels a context at a call.
type cancelledLog struct {
	Log
	cancel context.CancelFunc
	at     string
}

func (l *cancelledLog) State(ctx context.Context) (LogState, error) {
	if l.at == "State" {
		l.cancel()
	}
	return l.Log.State(ctx)
}

func (l *cancelledLog) SaveSnapshot(ctx context.Context, place int64, r io.Reader) error {
	err := l.Log.SaveSnapshot(ctx, place, r)
	if l.at == "SaveSnapshot" {
		l.cancel()
	}
	return err
}

// TestAnInterruptedStartOfANodeCanBeRepeated ends the first start of a node when it has created
// its file, and when it has founded the log.
func TestAnInterruptedStartOfANodeCanBeRepeated(t *testing.T) {
	for _, at := range []string{"State", "SaveSnapshot"} {
		t.Run(at, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				config := Config{Path: filepath.Join(t.TempDir(), "presence.db")}
				if at == "SaveSnapshot" {
					alone, err := Open(t.Context(), config)
					if err != nil {
						t.Fatal(err)
					}
					alone.Admit(t.Context(), "alice", time.Time{})
					alone.Close()
				}
				log := newMemoryLog()
				ctx, cancel := context.WithCancel(t.Context())
				config.Log = &cancelledLog{log, cancel, at}
				if _, err := Open(ctx, config); !errors.Is(err, context.Canceled) {
					t.Errorf("got error %v, want %v", err, context.Canceled)
				}
				config.Log = log
				svc, err := Open(t.Context(), config)
				if err != nil {
					t.Fatal(err)
				}
				svc.Close()
			})
		})
	}
}

// TestALinkToAnotherFileSystem checks that a node whose database is a link can copy the state
// from the log to where it leads.
func TestALinkToAnotherFileSystem(t *testing.T) {
	memory, err := os.MkdirTemp("/dev/shm", "presence-test-")
	if err != nil {
		t.Skip("there is no other file system: ", err)
	}
	t.Cleanup(func() { os.RemoveAll(memory) })
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, 1, silent)
		c.nodes[0].register("alice")
		link := filepath.Join(t.TempDir(), "presence.db")
		c.nodes[0].must(os.Symlink(filepath.Join(memory, "real.db"), link))
		two := &world{t: t, path: link, settings: DefaultSettings(), log: c.log, node: "two"}
		two.start()
		two.is("alice UNLOGINED", "the snapshot is there")
		two.must(two.Close())
	})
}
