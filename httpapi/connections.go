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

// LimitConnections limits the connections of server, so that neither clients without
// valid credentials nor a single user can use up the file descriptors of the process.
// It sets server.ConnContext and server.ConnState, which server must not use for
// anything else, and must be called before server serves.
//
// A connection is proven once a request has arrived on it whose credentials a
// [Handler] has verified, and unproven before. The connection of a proxy is proven by
// the first such request that the proxy forwards. Unproven connections may have about
// 5 % of the file descriptors: the one that has been idle longest is closed to admit
// a new one, and each is closed after 10 seconds of idleness. For its first request it
// has server.ReadTimeout. Of the proven connections half as many may be idle. If the
// limit of file descriptors isn't known, only the 10 seconds apply.
//
// Use it only for a server that serves nothing but Handlers: no other handler can
// prove a connection.
func LimitConnections(server *http.Server) { limitConnections(server, unproven(descriptors())) }

// limitConnections is LimitConnections with a limit of unproven connections. It is
// here, and not where the program listens, because only a Handler knows when
// credentials are verified, and because streams get the other file descriptors.
func limitConnections(server *http.Server, most int) *connections {
	v := newConnections(most)
	server.ConnContext, server.ConnState = v.accept, v.follow
	return v
}

// connections are the connections of a server; see LimitConnections.
type connections struct {
	room chan struct{} // receives a value when a connection leaves a list

	mu       sync.Mutex
	most     int // limit of unproven connections; half of it is the limit of idle proven ones; zero means none
	all      map[net.Conn]*connection
	unproven linked.List // of *connection, the one longest in its state first
	idle     linked.List // the proven ones that are idle, in the same order
	provenAt time.Time   // when a connection was last proven
}

type connection struct {
	owner  *connections
	tcp    net.Conn // under TLS, the underlying connection: closing it never blocks
	proven atomic.Bool

	// Protected by owner.mu.
	list   *linked.List    // that contains it; nil while it is proven and active, and after it is closed
	place  *linked.Element // in list
	since  time.Time       // when its state last changed
	active bool            // a request is being answered
	timer  *time.Timer     // closes it while it is idle and unproven
}

const (
	// unprovenIdle is how long an unproven connection may be idle between two
	// requests. For the first request it has http.Server.ReadTimeout.
	unprovenIdle = 10 * time.Second

	// settling is the minimum time before a connection is closed to admit
	// another one, so that many clients that arrive at once don't displace each
	// other. New connections wait to be accepted meanwhile.
	settling = 250 * time.Millisecond
)

func newConnections(most int) *connections {
	return &connections{most: most, room: make(chan struct{}, 1), all: make(map[net.Conn]*connection)}
}

type connectionKey struct{}

// accept is used as http.Server.ConnContext. It is called for each new connection,
// and no other connection is accepted until it returns.
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

// add adds a connection, and closes another one if there are too many. If the
// other one may not be closed yet, add does nothing, and returns how long to wait
// before it is called again. No connection is closed while others prove
// themselves: then the server is behind, as after a restart, and not its clients.
func (v *connections) add(conn net.Conn, c *connection) (wait time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	c.since = time.Now()
	if v.most > 0 && v.unproven.Len() >= v.most {
		last := v.leastUseful()
		stuck := min(c.since.Sub(last.since), c.since.Sub(v.provenAt))
		if wait := settling - stuck; wait > 0 {
			return wait
		}
		last.close()
	}
	v.all[conn] = c
	c.enter(&v.unproven)
	return 0
}

// leastUseful returns the unproven connection that has been idle longest or, if
// none is idle, the one whose current request has taken longest.
func (v *connections) leastUseful() *connection {
	for e := v.unproven.Front(); e != nil; e = e.Next() {
		if c := e.Value.(*connection); !c.active {
			return c
		}
	}
	return v.unproven.Front().Value.(*connection)
}

// follow is used as http.Server.ConnState.
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

// change updates the state of a connection.
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

// leave removes a connection from its list, if it is in one.
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

// prove marks the connection of a request as proven. It does nothing if the HTTP
// server has no limits; see LimitConnections.
func prove(r *http.Request) {
	c, ok := r.Context().Value(connectionKey{}).(*connection)
	if !ok || c.proven.Load() {
		return
	}
	c.owner.mu.Lock()
	defer c.owner.mu.Unlock()
	if !c.proven.Swap(true) {
		c.owner.provenAt = time.Now()
		c.leave()
	}
}
