//go:build !unix

package sse

import "syscall"

// canTryWrite reports whether tryWrite works on this system.
const canTryWrite = false

func tryWrite(syscall.RawConn, []byte) (int, error) { panic("not reached: canTryWrite is false") }
