package httpapi

import (
	"net/http"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

func address(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
}

// TestFailuresOfAMinute checks that the window begins with the first failure, and ends
// after a minute.
func TestFailuresOfAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f failures
		wants := func(client int, want time.Duration) {
			t.Helper()
			if wait := f.add(address(client), 2); wait != want {
				t.Errorf("client %d waits %v, want %v", client, wait, want)
			}
		}
		wants(1, 0)
		<-time.After(20 * time.Second)
		wants(1, 0)
		wants(1, 40*time.Second)
		wants(2, 0)
		<-time.After(40 * time.Second)
		wants(1, 0)
		wants(1, 0)
		wants(1, time.Minute)
	})
}

// TestFailuresAreBounded checks that a flood from many addresses takes bounded memory.
func TestFailuresAreBounded(t *testing.T) {
	var f failures
	for n := range 3 * maxAddresses {
		f.add(address(n), 1)
	}
	if n := len(f.windows); n != maxAddresses {
		t.Errorf("%d addresses are remembered, want %d", n, maxAddresses)
	}
}

// TestClientBehindProxies checks that the client is the last address that isn't a
// trusted proxy's, whatever the client itself writes.
func TestClientBehindProxies(t *testing.T) {
	trusted := proxies{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, c := range []struct {
		peer, header, value, want string
	}{
		{"192.0.2.1:1234", "", "", "192.0.2.1"},
		{"192.0.2.1:1234", "X-Forwarded-For", "198.51.100.1", "192.0.2.1"},
		{"10.0.0.1:1234", "", "", "10.0.0.1"},
		{"10.0.0.1:1234", "X-Forwarded-For", "198.51.100.1", "198.51.100.1"},
		{"[::ffff:10.0.0.1]:1234", "X-Forwarded-For", "::ffff:198.51.100.1", "198.51.100.1"},
		{"10.0.0.1:1234", "X-Forwarded-For", "203.0.113.9, 198.51.100.1:4711 ,10.0.0.2", "198.51.100.1"},
		{"10.0.0.1:1234", "X-Forwarded-For", "10.0.0.3, 10.0.0.2", "10.0.0.3"},
		{"10.0.0.1:1234", "X-Forwarded-For", "198.51.100.1, unknown, 10.0.0.2", "10.0.0.2"},
		{"10.0.0.1:1234", "X-Forwarded-For", "unknown", "10.0.0.1"},
		{"10.0.0.1:1234", "X-Forwarded-For", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"},
		{"10.0.0.1:1234", "X-Forwarded-For", "[2001:db8:1:2:3::]:80", "2001:db8:1:2::"},
		{"[fd00::1%eth0]:1", "Forwarded", `for=203.0.113.9, For="[2001:db8:1:2:3::]:80";proto=https;by="a,b", for=10.0.0.2`, "10.0.0.2"},
		{"[fd00::1]:1", "Forwarded", `for=203.0.113.9, proto=https; For="[2001:db8:1:2:3::]:80" , for=10.0.0.2`, "2001:db8:1:2::"},
		{"10.0.0.1:1", "Forwarded", `for="_hidden", for=198.51.100.1`, "198.51.100.1"},
		{"10.0.0.1:1", "Forwarded", `for="x, for=198.51.100.1`, "198.51.100.1"},
		{"10.0.0.1:1", "Forwarded", `proto=https`, "10.0.0.1"},
		{"@", "X-Forwarded-For", "198.51.100.1", "198.51.100.1"},
		{"", "", "", "invalid IP"},
	} {
		r := &http.Request{RemoteAddr: c.peer, Header: http.Header{}}
		if c.header != "" {
			r.Header.Set(c.header, c.value)
		}
		if got := trusted.client(r).String(); got != c.want {
			t.Errorf("%s with %s %s is %s, want %s", c.peer, c.header, c.value, got, c.want)
		}
	}
	r := &http.Request{RemoteAddr: "10.0.0.1:1", Header: http.Header{
		"X-Forwarded-For": {"203.0.113.9", "198.51.100.1, 10.0.0.3"}, "Forwarded": {"for=203.0.113.7"},
	}}
	if got := trusted.client(r).String(); got != "198.51.100.1" {
		t.Errorf("with both headers, and one of them twice: %s", got)
	}
	if got := proxies(nil).client(r).String(); got != "10.0.0.1" {
		t.Errorf("without trusted proxies: %s", got)
	}
}
