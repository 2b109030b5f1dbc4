//go:build linux || darwin

package store

import "golang.org/x/sys/unix"

// diskFree returns how many bytes the disk of a file has left for this process, or
// -1 if that isn't known.
func diskFree(path string) int64 {
	var disk unix.Statfs_t
	if err := unix.Statfs(path, &disk); err != nil {
		return -1
	}
	return int64(disk.Bavail) * int64(disk.Bsize)
}
