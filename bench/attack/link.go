//go:build linux

package main

import (
	"net"
	"sync"
	"time"
)

// link is the network between a node and PostgreSQL. It forwards connections, and each
// direction can be cut or slow. While it is cut, what is sent waits, as TCP makes it wait
// when packets are lost; new connections wait as well.
type link struct {
	Address  string // host:port, for the node
	to       string
	listener net.Listener
	tasks    sync.WaitGroup

	mu     sync.Mutex
	open   map[net.Conn]bool
	closed bool
	there  direction // from the node to PostgreSQL
	back   direction
}

// direction is one direction of a link.
type direction struct {
	delay time.Duration // of each piece
	cut   chan struct{} // closed when the cut ends; nil if there is none
}

func newLink(to string) (*link, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &link{Address: listener.Addr().String(), to: to, listener: listener, open: make(map[net.Conn]bool)}
	l.tasks.Go(l.accept)
	return l, nil
}

// close breaks all connections, and returns when nothing is forwarded any more.
func (l *link) close() {
	l.restore()
	l.listener.Close()
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.reset()
	l.tasks.Wait()
}

// cut cuts the directions until restore.
func (l *link) cut(directions ...*direction) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range directions {
		if d.cut == nil {
			d.cut = make(chan struct{})
		}
	}
}

// slow delays each piece that is sent, in both directions, until restore.
func (l *link) slow(delay time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.there.delay, l.back.delay = delay, delay
}

// restore makes both directions as they were. What has waited is sent.
func (l *link) restore() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range []*direction{&l.there, &l.back} {
		if d.cut != nil {
			close(d.cut)
		}
		*d = direction{}
	}
}

// reset breaks all connections.
func (l *link) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for conn := range l.open {
		conn.Close()
	}
}

func (l *link) accept() {
	for {
		node, err := l.listener.Accept()
		if err != nil {
			return // closed
		}
		l.tasks.Go(func() { l.connect(node) })
	}
}

// connect forwards one connection until one of its ends closes it.
func (l *link) connect(node net.Conn) {
	defer l.forget(node)
	if !l.remember(node) {
		return
	}
	engine, err := net.Dial("tcp", l.to)
	if err != nil {
		return
	}
	defer l.forget(engine)
	if !l.remember(engine) {
		return
	}
	var back sync.WaitGroup
	back.Go(func() { l.forward(engine, node, &l.back) })
	l.forward(node, engine, &l.there)
	back.Wait()
}

// forward sends what one end sends to the other. It closes both when one is closed.
func (l *link) forward(from, to net.Conn, d *direction) {
	defer from.Close()
	defer to.Close()
	piece := make([]byte, 64<<10)
	for {
		n, err := from.Read(piece)
		l.await(d)
		if _, errWrite := to.Write(piece[:n]); err != nil || errWrite != nil {
			return
		}
	}
}

// await returns when a direction isn't cut, and its delay is over.
func (l *link) await(d *direction) {
	l.mu.Lock()
	state := *d
	l.mu.Unlock()
	time.Sleep(state.delay)
	if state.cut != nil {
		<-state.cut
	}
}

// remember reports false if the link is closed.
func (l *link) remember(conn net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[conn] = true
	return !l.closed
}

func (l *link) forget(conn net.Conn) {
	conn.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, conn)
}
