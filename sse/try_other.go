//go:build !unix

package sse

import "syscall"

// canTry says that a connection can't be written without waiting here.
const canTry = false

func try(syscall.RawConn, []byte) (int, error) { panic("not reached: canTry is false") }
