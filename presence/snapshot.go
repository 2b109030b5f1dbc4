package presence

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/presence-server/presence/presence/store"
)

// A snapshot is due after an hour, or when the log has grown by as much as a snapshot takes,
// but at least by 64 MiB.
const (
	snapshotEvery = time.Hour
	snapshotBytes = 64 << 20
)

// saveSnapshots saves a snapshot in the log whenever one is due while the node leads. If
// that fails, it tries again a minute later.
func (n *node) saveSnapshots() {
	ticker := time.NewTicker(time.Minute)
	defer ticker.Stop()
	last, size := time.Now(), int64(0)
	for {
		select {
		case <-ticker.C:
		case <-n.ctx.Done():
			return
		}
		grown := n.grown.Load()
		due := time.Since(last) >= snapshotEvery || grown >= max(snapshotBytes, size)
		if !due || grown == 0 || !n.leads() {
			continue
		}
		if err := n.saveSnapshot(n.ctx); err == nil {
			last = time.Now()
			size, _, _ = n.w.store.Sizes()
			n.grown.Add(-grown)
		} else if n.ctx.Err() == nil {
			n.svc.log.Error("snapshot can't be saved in the log", "error", err)
		}
	}
}

// saveSnapshot saves a copy of the database in the log.
func (n *node) saveSnapshot(ctx context.Context) error {
	copied := n.path + ".snapshot"
	if err := os.Remove(copied); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := store.Backup(ctx, n.path, copied); err != nil {
		return err
	}
	defer os.Remove(copied)
	c, err := Check(ctx, copied)
	if err != nil {
		return err
	}
	file, err := os.Open(copied)
	if err != nil {
		return err
	}
	defer file.Close()
	return n.log.SaveSnapshot(ctx, c.place, file)
}
