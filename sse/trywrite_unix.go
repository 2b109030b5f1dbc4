//go:build unix

package sse

import "syscall"

// canTryWrite reports whether tryWrite works on this system.
const canTryWrite = true

// tryWrite writes as many bytes as the kernel accepts without waiting, and returns
// their number. An error means that the connection is broken.
func tryWrite(conn syscall.RawConn, p []byte) (n int, err error) {
	closed := conn.Write(func(fd uintptr) bool {
		for {
			n, err = syscall.Write(int(fd), p)
			if err != syscall.EINTR {
				return true
			}
		}
	})
	if err == nil {
		err = closed
	}
	if err == syscall.EAGAIN {
		err = nil
	}
	return max(n, 0), err
}
