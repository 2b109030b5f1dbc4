package sse

import (
	"crypto/tls"
	"math"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// maxUnsent is how many bytes the kernel keeps for a client who doesn't read,
// beside what is on the way: what waits longer waits in the session, where newer
// changes replace older ones. See TCP_NOTSENT_LOWAT in tcp(7).
const maxUnsent = 64 << 10

// limit has the kernel give up a connection whose other end has not
// acknowledged what was sent for so long. Without it a client whose network is
// gone looks connected for a quarter of an hour: what is written to it, a
// KEEPALIVE now and then, goes into the kernel's buffer. See TCP_USER_TIMEOUT
// in tcp(7).
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
