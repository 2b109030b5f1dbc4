//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// wire is the network between this machine and the network namespace of one node. It
// carries every packet of the node, and each direction can lose packets or delay them. Both
// ends learn of a loss only by silence.
type wire struct {
	space      string     // the name of the namespace
	here, node netip.Addr // of its ends
	ends       []*os.File // the TUN devices
	tasks      sync.WaitGroup

	mu      sync.Mutex
	out, in way // from the node, and to the node
}

// way is one direction of a wire.
type way struct {
	delay time.Duration // of each packet
	lost  bool          // packets are lost
	port  uint16        // only those from or to this port are lost, unless it is zero
}

// errNoNamespace is the error of an attack that can't have a network namespace.
var errNoNamespace = errors.New("needs a network namespace: root, /dev/net/tun, and ip (Debian's iproute2)")

// newWire creates a namespace and the wire to it.
func newWire(name string, here, node netip.Addr) (_ *wire, err error) {
	w := &wire{space: name, here: here, node: node}
	defer func() {
		if err != nil {
			w.close()
			err = fmt.Errorf("%w: %w", errNoNamespace, err)
		}
	}()
	if err := command("ip", "netns", "add", name); err != nil {
		return nil, err
	}
	for range 2 {
		end, err := openTUN()
		if err != nil {
			return nil, err
		}
		w.ends = append(w.ends, end)
	}
	outside, inside := w.ends[0].Name(), w.ends[1].Name()
	for _, args := range [][]string{
		{"address", "add", here.String(), "peer", node.String(), "dev", outside},
		{"link", "set", outside, "up"},
		{"link", "set", inside, "netns", name},
		{"-n", name, "address", "add", node.String(), "peer", here.String(), "dev", inside},
		{"-n", name, "link", "set", inside, "up"},
		{"-n", name, "link", "set", "lo", "up"},
	} {
		if err := command("ip", args...); err != nil {
			return nil, err
		}
	}
	w.tasks.Go(func() { w.carry(w.ends[1], w.ends[0], &w.out) })
	w.tasks.Go(func() { w.carry(w.ends[0], w.ends[1], &w.in) })
	return w, nil
}

// openTUN creates a device whose packets the file reads and writes.
func openTUN() (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("/dev/net/tun: %w", err)
	}
	request, err := unix.NewIfreq("presence%d")
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("a TUN device: %w", err)
	}
	return os.NewFile(uintptr(fd), request.Name()), nil
}

// close removes the wire and the namespace. No process may use it any more.
func (w *wire) close() {
	for _, end := range w.ends {
		end.Close()
	}
	w.tasks.Wait()
	command("ip", "netns", "delete", w.space)
}

// set sets both directions. What is under way is not affected.
func (w *wire) set(out, in way) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.out, w.in = out, in
}

// packet is one that is under way.
type packet struct {
	bytes   []byte
	arrives time.Time
}

// carry carries the packets of one direction.
func (w *wire) carry(from, to *os.File, d *way) {
	underWay := make(chan packet, 4096)
	defer close(underWay)
	w.tasks.Go(func() {
		for p := range underWay {
			time.Sleep(time.Until(p.arrives))
			to.Write(p.bytes)
		}
	})
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return // closed
		}
		w.mu.Lock()
		now := *d
		w.mu.Unlock()
		if !now.loses(buffer[:n]) {
			underWay <- packet{slices.Clone(buffer[:n]), time.Now().Add(now.delay)}
		}
	}
}

// loses reports whether an IP packet is lost.
func (d *way) loses(bytes []byte) bool {
	if !d.lost || d.port == 0 {
		return d.lost
	}
	if bytes[0]>>4 != 4 || bytes[9] != unix.IPPROTO_TCP {
		return false
	}
	segment := bytes[bytes[0]&15*4:]
	return d.port == binary.BigEndian.Uint16(segment) || d.port == binary.BigEndian.Uint16(segment[2:])
}
