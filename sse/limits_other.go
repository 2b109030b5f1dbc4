//go:build !linux

package sse

import (
	"net"
	"time"
)

// limit does nothing on this system; the system's own timeouts apply.
func limit(net.Conn, time.Duration) {}
