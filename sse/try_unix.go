//go:build unix

package sse

import "syscall"

// canTry says that try works on this system.
const canTry = true

// try writes what the kernel takes at once, and returns how much that is.
func try(conn syscall.RawConn, p []byte) (n int, err error) {
	gone := conn.Write(func(fd uintptr) bool {
		for {
			n, err = syscall.Write(int(fd), p)
			if err != syscall.EINTR {
				return true
			}
		}
	})
	if err == nil {
		err = gone
	}
	if err == syscall.EAGAIN {
		err = nil
	}
	return max(n, 0), err
}
