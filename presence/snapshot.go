package presence

import "time"

// A snapshot is due after an hour, or when the log has grown by as much as a snapshot takes,
// but at least by 64 MiB.
const (
	snapshotEvery = time.Hour
	snapshotBytes = 64 << 20
)

// snapshots is what a node remembers about the snapshots that it saves.
type snapshots struct {
	last   time.Time // when the node started, or saved one last
	size   int64     // of the database then
	saving bool
}

// saveDue starts saving a snapshot if one is due and the node leads.
func (n *node) saveDue() {
	if !n.leads() {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	s := &n.snapshots
	due := time.Since(s.last) >= snapshotEvery || n.bytes >= max(snapshotBytes, s.size)
	if !due || s.saving || n.bytes == 0 {
		return
	}
	s.saving = true
	n.tasks.Go(n.save)
}

func (n *node) save() {
	n.mu.Lock()
	before := n.bytes
	n.mu.Unlock()
	err := saveSnapshot(n.ctx, n.w.store.Path(), n.log)
	size, _, _ := n.w.store.Sizes()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.snapshots = snapshots{last: time.Now(), size: size}
	if err == nil {
		n.bytes -= before
	} else if n.ctx.Err() == nil {
		n.snapshots.last = n.snapshots.last.Add(time.Minute - snapshotEvery) // it is due again in a minute
		n.svc.log.Error("snapshot can't be saved in the log", "error", err)
	}
}
