//go:build !linux

package sse

import (
	"net"
	"time"
)

// limitSilence is for Linux only; elsewhere the system's own timeouts hold.
func limitSilence(net.Conn, time.Duration) {}
