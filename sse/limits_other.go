//go:build !linux

package sse

import (
	"net"
	"time"
)

// limit is for Linux only; elsewhere the system's own limits hold.
func limit(net.Conn, time.Duration) {}
