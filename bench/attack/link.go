//go:build linux

package main

import (
	"net"
	"sync"
)

// link is the network between a node and PostgreSQL. It forwards connections, which can be
// broken. While it is cut, what is sent waits, and new connections wait as well.
type link struct {
	Address  string // host:port, for the node
	to       string
	listener net.Listener
	tasks    sync.WaitGroup

	mu     sync.Mutex
	open   map[net.Conn]bool
	closed bool
	ended  chan struct{} // closed when the cut ends; nil if there is none
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

// cut cuts the link until restore.
func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended == nil {
		l.ended = make(chan struct{})
	}
}

// restore ends the cut, if there is one. What has waited is sent.
func (l *link) restore() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended != nil {
		close(l.ended)
		l.ended = nil
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
	back.Go(func() { l.forward(engine, node) })
	l.forward(node, engine)
	back.Wait()
}

// forward sends what one end sends to the other. It closes both when one is closed.
func (l *link) forward(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	piece := make([]byte, 64<<10)
	for {
		n, err := from.Read(piece)
		l.await()
		if _, errWrite := to.Write(piece[:n]); err != nil || errWrite != nil {
			return
		}
	}
}

// await returns when the link isn't cut.
func (l *link) await() {
	l.mu.Lock()
	ended := l.ended
	l.mu.Unlock()
	if ended != nil {
		<-ended
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
