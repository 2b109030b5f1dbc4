package presence

import "slices"

// jump is a range of versions that were never issued. It excludes both ends.
type jump struct{ above, below int64 }

// jumps are the jumps that are stored, in ascending order.
type jumps []jump

// jumpsKept is the maximum number of jumps that are stored. A cursor from before them
// counts as never issued, so its client receives a snapshot.
const jumpsKept = 1000

// issued reports whether n is a version that this database has issued, where current
// is the last one.
func (all jumps) issued(n, current int64) bool {
	if n <= 0 || n > current {
		return false
	}
	for _, j := range all {
		if j.above < n && n < j.below {
			return false
		}
	}
	return true
}

// orZero returns n, or zero if the database never issued it.
func (all jumps) orZero(n, current int64) int64 {
	if !all.issued(n, current) {
		return 0
	}
	return n
}

// jump makes the version jump to at least that of the current time, see firstVersion. So
// versions that were issued after a backup, and lost when it was restored, are never
// issued again, not even within the same second.
func (b *batch) jump() {
	j := jump{above: b.version, below: max(b.version, firstVersion(b.now))}
	b.exec("INSERT OR REPLACE INTO jumps VALUES (?, ?)", j.above, j.below)
	b.version = j.below
	b.jumps = append(slices.Clone(b.jumps), j)
	if len(b.jumps) > jumpsKept {
		b.jumps = b.jumps[1:]
		b.exec("DELETE FROM jumps WHERE above < ?", b.jumps[0].above)
		b.exec("UPDATE jumps SET above = 0 WHERE above = ?", b.jumps[0].above)
		b.jumps[0].above = 0
	}
}

// firstVersion returns the version after which a run begins: the seconds since 1970,
// shifted left by 20 bits, plus the microseconds of the current second.
func firstVersion(now micros) int64 { return now/1_000_000<<20 + now%1_000_000 }
