package main

import (
	"net"
	"net/http"
	"sync"
	"time"
)

// arrivals are the connections whose first request has no response yet. A shutdown of
// net/http closes those whose request it has not read yet, so it has to wait for them.
// The zero value is not ready for use: create one with newArrivals.
type arrivals struct {
	changed chan struct{} // receives a value when there are fewer

	mu  sync.Mutex
	all map[net.Conn]bool // whether the request has begun to arrive
}

// arrivalTime is how long a shutdown waits for them. Most are connections on which a
// browser has sent nothing, and may never do so. net/http would wait another 5 seconds
// for these.
const arrivalTime = 500 * time.Millisecond

func newArrivals() *arrivals {
	return &arrivals{changed: make(chan struct{}, 1), all: make(map[net.Conn]bool)}
}

// follow is used in http.Server.ConnState.
func (a *arrivals) follow(conn net.Conn, state http.ConnState) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch state {
	case http.StateNew:
		a.all[conn] = false
	case http.StateActive:
		if _, first := a.all[conn]; first {
			a.all[conn] = true
		}
	case http.StateIdle, http.StateHijacked, http.StateClosed: // HTTP/2 is idle from the start: its clients learn which requests they must repeat
		delete(a.all, conn)
		select {
		case a.changed <- struct{}{}:
		default:
		}
	}
}

func (a *arrivals) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.all)
}

// wait waits until there are none, for at most arrivalTime. It then closes those on which
// nothing has arrived.
func (a *arrivals) wait() {
	timeout := time.After(arrivalTime)
	for a.count() > 0 {
		select {
		case <-a.changed:
		case <-timeout:
			a.closeSilent()
			return
		}
	}
}

func (a *arrivals) closeSilent() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for conn, began := range a.all {
		if !began {
			conn.Close()
		}
	}
}
