//go:build linux || darwin

package presence

import "golang.org/x/sys/unix"

// diskFree returns how many bytes the disk under a file has left for us, or -1
// when that isn't known.
func diskFree(path string) int64 {
	var disk unix.Statfs_t
	if err := unix.Statfs(path, &disk); err != nil {
		return -1
	}
	return int64(disk.Bavail) * int64(disk.Bsize)
}
