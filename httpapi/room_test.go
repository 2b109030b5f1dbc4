package httpapi

import (
	"context"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// TestAServerThatIsBehindClosesNobody checks that while connections prove themselves,
// those that have waited long are not closed to make room, because they wait for the
// server. After a restart thousands of clients come back at the same time.
func TestAServerThatIsBehindClosesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newConnections(2)
		add := func() (*connection, net.Conn, time.Duration) {
			server, client := net.Pipe()
			t.Cleanup(func() { server.Close(); client.Close() })
			c := &connection{owner: v, tcp: server}
			return c, server, v.add(server, c)
		}
		first, _, _ := add()
		second, _, _ := add()
		<-time.After(2 * settling)
		prove((&http.Request{}).WithContext(context.WithValue(t.Context(), connectionKey{}, second)))
		if _, _, wait := add(); wait != 0 {
			t.Errorf("there is room, but a connection has to wait %v", wait)
		}
		if _, _, wait := add(); wait != settling || first.list == nil {
			t.Errorf("right after a proof a connection has to wait %v, want %v, and nobody is closed", wait, settling)
		}
		<-time.After(settling)
		if _, _, wait := add(); wait != 0 || first.list != nil {
			t.Errorf("once nobody proves anything, a connection has to wait %v, want that it takes the place of the first", wait)
		}
	})
}
