package sse

import (
	"crypto/tls"
	"math"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// maxUnsent is how many bytes the kernel keeps for a client that doesn't read,
// in addition to those on the way. What waits longer waits in the session, where
// newer changes replace older ones. The kernel reports that it accepts more once
// half of it is sent, so this is also how exactly a slow client is told from one
// that has stopped. See TCP_NOTSENT_LOWAT in tcp(7).
const maxUnsent = 16 << 10

// limit makes the kernel give up a connection whose other end has acknowledged
// nothing for the length of silence. Without it a client whose network is gone
// looks connected for a quarter of an hour: what is written to it, a KEEPALIVE
// now and then, goes into the kernel's buffer. See TCP_USER_TIMEOUT in tcp(7).
func limit(conn net.Conn, silence time.Duration) {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) {
		unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, maxUnsent)
		if silence > 0 {
			ms := min(silence.Milliseconds(), math.MaxInt32)
			unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(ms))
		}
	})
}
