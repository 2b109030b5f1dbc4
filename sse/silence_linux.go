package sse

import (
	"crypto/tls"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// limitSilence has the kernel give up a connection whose other end has not
// acknowledged what was sent for so long. Without it a client whose network is
// gone looks connected for a quarter of an hour: what is written to it, a
// KEEPALIVE now and then, goes into the kernel's buffer. See TCP_USER_TIMEOUT
// in tcp(7).
func limitSilence(conn net.Conn, timeout time.Duration) {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok || timeout <= 0 {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) {
		unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(timeout.Milliseconds()))
	})
}
