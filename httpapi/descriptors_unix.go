//go:build unix

package httpapi

import "syscall"

// descriptors returns how many file descriptors the process may have open, or
// zero if that isn't known.
func descriptors() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return int(min(limit.Cur, 1<<30))
}
