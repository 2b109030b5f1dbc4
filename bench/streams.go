//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/presence-server/presence/bench/lab"
	"golang.org/x/sys/unix"
)

// streams is many open event streams. One thread reads all of them, woken by epoll. A
// goroutine for each would use more CPU time than the server.
type streams struct {
	epoll int
	ended chan struct{} // closed when the reader has ended
	news  chan struct{} // something was read; the buffer holds one signal

	// each, unless nil, is called with every USER_STATUS_UPDATED, with mu held.
	each func(stream int, event []byte)

	mu       sync.Mutex
	all      []stream
	ready    int
	statuses int       // received, in any number of events
	at       time.Time // when the last of them arrived
	failure  error
	closed   bool
}

type stream struct {
	fd      int // -1 once it has ended
	request string
	ready   bool   // the first event has arrived; our server sends READY first
	cursor  string // the ID of the first event
	rest    []byte // the part of an event that has arrived, while the rest has not
}

// requests returns the requests for the streams of users 0 to n-1.
func requests(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("GET /v1/events?deviceID=d HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer %s\r\n"+
			"Accept: text/event-stream\r\n\r\n", lab.Token(userName(i)))
	}
	return all
}

// open opens a stream for each request and returns when all are ready. each may be
// nil.
func (t *target) open(ctx context.Context, requests []string, each func(stream int, event []byte)) (*streams, error) {
	s := &streams{ended: make(chan struct{}), news: make(chan struct{}, 1), each: each}
	var err error
	if s.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, err
	}
	go s.read()
	err = s.connect(ctx, t.address, requests)
	if err == nil {
		err = s.until(ctx, func() bool { return s.ready == len(requests) })
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// atOnce is how many streams may wait to be ready. More would fill the queue of
// connections to accept, and then the kernel makes a client wait for a second.
const atOnce = 1000

func (s *streams) connect(ctx context.Context, address string, requests []string) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	for i, request := range requests {
		if err := s.until(ctx, func() bool { return i-s.ready < atOnce }); err != nil {
			return err
		}
		fd, err := dialRaw(to, request)
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.all = append(s.all, stream{fd: fd, request: request})
		s.mu.Unlock()
		if err := s.watch(fd, i); err != nil {
			return err
		}
	}
	return nil
}

// watch makes the reader wake up for a descriptor, which it identifies by a number.
func (s *streams) watch(fd, number int) error {
	event := &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(number)}
	return unix.EpollCtl(s.epoll, unix.EPOLL_CTL_ADD, fd, event)
}

// dialRaw returns a connection over which a request was sent.
func dialRaw(to netip.AddrPort, request string) (fd int, err error) {
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	err = unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()})
	if err == nil {
		_, err = unix.Write(fd, []byte(request))
	}
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		unix.Close(fd)
	}
	return fd, err
}

// read reads until close is called.
func (s *streams) read() {
	runtime.LockOSThread()
	defer close(s.ended)
	events := make([]unix.EpollEvent, 512)
	buffer := make([]byte, 256<<10)
	for {
		n, err := unix.EpollWait(s.epoll, events, 100) // in milliseconds; the reader ends soon after close
		if err != nil && err != unix.EINTR {
			panic(err) // only if this program is wrong
		}
		s.mu.Lock()
		for _, e := range events[:max(n, 0)] {
			s.readOne(int(e.Fd), buffer)
		}
		closed := s.closed
		s.mu.Unlock()
		if closed {
			return
		}
		select {
		case s.news <- struct{}{}:
		default:
		}
	}
}

// readOne reads what has arrived on a stream.
func (s *streams) readOne(i int, buffer []byte) {
	st := &s.all[i]
	n, err := unix.Read(st.fd, buffer)
	if err == unix.EAGAIN || err == unix.EINTR {
		return
	}
	if n <= 0 {
		unix.Close(st.fd)
		st.fd = -1
		s.failure = errors.New("a stream has ended")
		return
	}
	text := buffer[:n]
	if len(st.rest) > 0 {
		text = append(st.rest, text...)
	}
	if !st.ready && !bytes.HasPrefix(text, []byte("HTTP/1.1 200")) {
		s.failure = fmt.Errorf("a stream was answered %.100q", text)
	}
	for {
		event, rest, whole := bytes.Cut(text, []byte("\n\n"))
		if !whole {
			break
		}
		s.take(i, event)
		text = rest
	}
	st.rest = nil
	if len(bytes.TrimSpace(text)) > 0 { // more than the end of a chunk
		st.rest = bytes.Clone(text)
	}
}

// take processes one event.
func (s *streams) take(i int, event []byte) {
	if st := &s.all[i]; !st.ready {
		st.ready = true
		s.ready++
		_, after, _ := strings.Cut(string(event), "\nid: ")
		st.cursor, _, _ = strings.Cut(after, "\n")
		return
	}
	if !bytes.Contains(event, []byte("event: USER_STATUS_UPDATED")) {
		return
	}
	s.statuses += bytes.Count(event, []byte("{"))
	s.at = time.Now()
	if s.each != nil {
		s.each(i, event)
	}
}

// patience bounds how long anything may take to arrive.
const patience = 30 * time.Second

// until returns when a condition holds. It checks the condition with mu held.
func (s *streams) until(ctx context.Context, is func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		s.mu.Lock()
		ok, err := is(), s.failure
		ready, statuses := s.ready, s.statuses
		s.mu.Unlock()
		if ok || err != nil {
			return err
		}
		select {
		case <-s.news:
		case <-ctx.Done():
			return fmt.Errorf("%w; %d streams are ready, %d statuses have arrived", ctx.Err(), ready, statuses)
		}
	}
}

// received returns how many statuses have arrived in all.
func (s *streams) received() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.statuses
}

// untilReceived waits until n statuses have arrived in all, and returns when the last
// of them arrived.
func (s *streams) untilReceived(ctx context.Context, statuses int) (at time.Time, err error) {
	err = s.until(ctx, func() bool {
		at = s.at
		return s.statuses >= statuses
	})
	return at, err
}

// resuming returns the requests that resume these streams.
func (s *streams) resuming() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]string, len(s.all))
	for i, st := range s.all {
		all[i] = strings.TrimSuffix(st.request, "\r\n") + "Last-Event-ID: " + st.cursor + "\r\n\r\n"
	}
	return all
}

func (s *streams) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	<-s.ended
	for _, st := range s.all {
		if st.fd >= 0 {
			unix.Close(st.fd)
		}
	}
	unix.Close(s.epoll)
}
