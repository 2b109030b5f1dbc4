package nodes_test

import (
	"net"
	"sync"
	"testing"
)

// relay is the network between a node and PostgreSQL. It can be held up, and cut.
type relay struct {
	listener net.Listener
	to       string
	tasks    sync.WaitGroup

	mu   sync.Mutex
	free *sync.Cond // signals that held has changed
	held bool
	cut  bool
	all  map[net.Conn]bool
}

// newRelay returns a relay to an address, which ends with the test.
func newRelay(t testing.TB, to string) *relay {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{listener: listener, to: to, all: make(map[net.Conn]bool)}
	r.free = sync.NewCond(&r.mu)
	r.tasks.Go(r.accept)
	t.Cleanup(func() {
		listener.Close()
		r.setCut(true)
		r.setHeld(false)
		r.tasks.Wait()
	})
	return r
}

func (r *relay) address() string { return r.listener.Addr().String() }

func (r *relay) accept() {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", r.to)
		if err != nil || !r.add(client, server) {
			client.Close()
			continue
		}
		r.tasks.Go(func() { r.copy(client, server) })
		r.tasks.Go(func() { r.copy(server, client) })
	}
}

func (r *relay) add(client, server net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cut {
		server.Close()
		return false
	}
	r.all[client], r.all[server] = true, true
	return true
}

func (r *relay) copy(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	for buffer := make([]byte, 64<<10); ; {
		n, err := from.Read(buffer)
		r.awaitFree()
		if _, failed := to.Write(buffer[:n]); err != nil || failed != nil {
			return
		}
	}
}

func (r *relay) awaitFree() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.held {
		r.free.Wait()
	}
}

// setHeld holds up everything that is sent, in both directions, or sends it on.
func (r *relay) setHeld(held bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held = held
	r.free.Broadcast()
}

// setCut closes all connections and those that are opened, or lets new ones pass.
func (r *relay) setCut(cut bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut = cut
	if cut {
		for conn := range r.all {
			conn.Close()
		}
		clear(r.all)
	}
}
