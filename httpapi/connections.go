package httpapi

import (
	linked "container/list"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// connections bound those on which no valid credential has been shown yet: the
// unproven ones. Otherwise anybody could use up the file descriptors by opening
// connections, and clients with a token would not get in. A connection of a
// proxy is proven by the first request with a valid credential that it passes
// on.
//
// Proven ones are bounded while they are idle, so that one user who has a token
// can't do the same.
type connections struct {
	room chan struct{} // holds one, when there may be fewer than before

	mu       sync.Mutex
	most     int // unproven connections, and half as many proven ones that are idle; zero means any number
	all      map[net.Conn]*connection
	unproven linked.List // of *connection, the longest in its state first
	idle     linked.List // those that are proven and idle, likewise
}

type connection struct {
	owner  *connections
	tcp    net.Conn // under TLS, the connection below it: closing that waits for nothing
	proven atomic.Bool

	// Protected by owner.mu.
	list   *linked.List // that it is in, and where; nil while it is proven and active, and once it is closed
	place  *linked.Element
	since  time.Time   // when its state last changed
	active bool        // a request is being answered
	timer  *time.Timer // closes it while it is idle and unproven
}

const (
	// unprovenIdle is how long an unproven connection may be idle between two
	// requests. For the first request it has requestTimeout.
	unprovenIdle = 10 * time.Second

	// settling is how long a connection at least has to prove itself before it
	// is closed to make room, so that clients that arrive all at once don't
	// close each other's. New ones wait to be accepted meanwhile.
	settling = 250 * time.Millisecond
)

func newConnections(most int) *connections {
	return &connections{most: most, room: make(chan struct{}, 1), all: make(map[net.Conn]*connection)}
}

type connectionKey struct{}

// accept is a value for http.Server.ConnContext, which is called for each new
// connection before the next is accepted.
func (v *connections) accept(ctx context.Context, conn net.Conn) context.Context {
	c := &connection{owner: v, tcp: conn}
	if over, ok := conn.(*tls.Conn); ok {
		c.tcp = over.NetConn()
	}
	for wait := v.add(conn, c); wait > 0; wait = v.add(conn, c) {
		select {
		case <-v.room:
		case <-time.After(wait):
		}
	}
	return context.WithValue(ctx, connectionKey{}, c)
}

// add adds a connection, and closes another one if there are too many. If that
// one isn't settled, it does neither, and returns how long that takes.
func (v *connections) add(conn net.Conn, c *connection) (wait time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	c.since = time.Now()
	if v.most > 0 && v.unproven.Len() >= v.most {
		last := v.leastUseful()
		if wait := settling - c.since.Sub(last.since); wait > 0 {
			return wait
		}
		last.close()
	}
	v.all[conn] = c
	c.enter(&v.unproven)
	return 0
}

// leastUseful returns the unproven connection that has been idle longest or, if
// none is idle, the one whose request has been answered for longest.
func (v *connections) leastUseful() *connection {
	for e := v.unproven.Front(); e != nil; e = e.Next() {
		if c := e.Value.(*connection); !c.active {
			return c
		}
	}
	return v.unproven.Front().Value.(*connection)
}

// follow is a value for http.Server.ConnState.
func (v *connections) follow(conn net.Conn, state http.ConnState) {
	v.mu.Lock()
	defer v.mu.Unlock()
	c := v.all[conn]
	if c == nil {
		return
	}
	switch state {
	case http.StateActive, http.StateIdle:
		c.change(state == http.StateActive)
	case http.StateHijacked, http.StateClosed:
		c.leave()
		delete(v.all, conn)
	}
}

// change notes the state of a connection.
func (c *connection) change(active bool) {
	if c.list == nil && !c.proven.Load() {
		return // it is closed
	}
	c.leave()
	c.active, c.since = active, time.Now()
	v := c.owner
	switch {
	case !c.proven.Load():
		c.enter(&v.unproven)
		if !active {
			c.timer = time.AfterFunc(unprovenIdle, c.closeIdle)
		}
	case !active:
		c.enter(&v.idle)
		if v.most > 0 && v.idle.Len() > (v.most+1)/2 {
			v.idle.Front().Value.(*connection).close()
		}
	}
}

func (c *connection) closeIdle() {
	c.owner.mu.Lock()
	defer c.owner.mu.Unlock()
	if c.list == &c.owner.unproven && !c.active {
		c.close()
	}
}

func (c *connection) close() {
	c.leave()
	c.tcp.Close()
}

func (c *connection) enter(list *linked.List) { c.list, c.place = list, list.PushBack(c) }

// leave takes a connection from its list, if it is in one.
func (c *connection) leave() {
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
	if c.list == nil {
		return
	}
	c.list.Remove(c.place)
	c.list, c.place = nil, nil
	select {
	case c.owner.room <- struct{}{}:
	default:
	}
}

// prove notes that a valid credential was shown on the connection of a request.
// It does nothing on the server of an embedding program.
func prove(r *http.Request) {
	c, ok := r.Context().Value(connectionKey{}).(*connection)
	if !ok || c.proven.Load() {
		return
	}
	c.owner.mu.Lock()
	defer c.owner.mu.Unlock()
	if !c.proven.Swap(true) {
		c.leave()
	}
}
