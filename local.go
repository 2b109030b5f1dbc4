package main

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
)

// localURL returns where this machine reaches the server, without a slash at the end:
// the first address of listen. For a unix socket only the path of a request counts;
// see localTransport.
func (c *config) localURL() string {
	scheme := "http"
	if c.secure() {
		scheme = "https"
	}
	network, address := splitListen(c.Listen[0])
	if network == "unix" {
		return scheme + "://localhost"
	}
	host, port, _ := net.SplitHostPort(address)
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

// localName is what messages call the server that runs on this machine.
func (c *config) localName() string {
	if network, _ := splitListen(c.Listen[0]); network == "unix" {
		return c.Listen[0]
	}
	return c.localURL()
}

// localTransport returns a transport that connects to the server that runs on this
// machine, whatever the host of the request, and through no proxy.
func (c *config) localTransport(trusted *tls.Config) *http.Transport {
	t := &http.Transport{TLSClientConfig: trusted}
	if network, path := splitListen(c.Listen[0]); network == "unix" {
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, path)
		}
	}
	return t
}
