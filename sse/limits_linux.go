package sse

import (
	"crypto/tls"
	"math"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// maxUnsent is how many bytes the kernel buffers for a client that doesn't read,
// in addition to those in transit. Further events wait in the session, where newer
// changes replace older ones. The kernel accepts more bytes when half of the
// buffer has been sent, so a smaller buffer also makes it easier to distinguish a
// slow client from one that has stopped. See TCP_NOTSENT_LOWAT in tcp(7).
const maxUnsent = 16 << 10

// limit makes the kernel close a connection if the client acknowledges no data for
// the duration of silence; zero means that it doesn't. Without this, a client whose
// network is gone would appear connected for a quarter of an hour, because the few
// bytes that are written to it fit into the kernel's buffer. See TCP_USER_TIMEOUT
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
