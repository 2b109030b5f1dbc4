package deploy_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	server "github.com/presence-server/presence/deploy/testserver"
)

// browser reaches the server through the proxy, as a browser on the Internet does.
type browser struct {
	p         *proxy
	transport *http.Transport
	address   string // the address that its requests come from
}

// browser returns a browser that speaks HTTP/2 if the proxy does.
func (p *proxy) browser() *browser {
	b := &browser{p: p, transport: &http.Transport{
		TLSClientConfig:    &tls.Config{RootCAs: p.trust, ServerName: name},
		ForceAttemptHTTP2:  true,
		DisableCompression: true, // don't decompress
	}}
	b.from("127.0.0.1")
	p.t.Cleanup(b.transport.CloseIdleConnections)
	return b
}

// oldBrowser returns a browser that speaks HTTP/1.1.
func (p *proxy) oldBrowser() *browser {
	b := p.browser()
	b.transport.ForceAttemptHTTP2 = false
	return b
}

func (b *browser) from(address string) {
	b.address = address
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	b.transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, network, b.p.address)
	}
}

// do sends a request, and reads the response to its end.
func (b *browser) do(method, target string, header http.Header, body string) (*http.Response, error) {
	response, err := b.begin(bounded(b.p.t), method, target, header, body)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return response, err
}

func (b *browser) begin(ctx context.Context, method, target string, header http.Header, body string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, "https://"+name+":"+port(b.p.address)+target, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if header != nil {
		request.Header = header.Clone()
	}
	return b.transport.RoundTrip(request)
}

func (b *browser) get(target string, header http.Header) (*http.Response, error) {
	return b.do(http.MethodGet, target, header, "")
}

// stream is the browser's side of a stream.
type stream struct {
	*server.Stream
	t        *testing.T
	response *http.Response
	cancel   context.CancelFunc
}

func (b *browser) follow(query string, header http.Header) *stream {
	b.p.t.Helper()
	if header == nil {
		header = http.Header{}
	}
	header.Set("Accept-Encoding", "gzip, deflate, br, zstd")
	header.Set("Accept", "text/event-stream")
	ctx, cancel := context.WithCancel(bounded(b.p.t))
	response, err := b.begin(ctx, http.MethodGet, "/v1/events"+query, header, "")
	if err != nil || response.StatusCode != http.StatusOK {
		cancel()
		b.p.t.Fatalf("the stream: %v %v\n%s", response, err, b.p.logs())
	}
	b.p.t.Cleanup(func() {
		cancel()
		response.Body.Close()
	})
	return &stream{server.Read(response.Body), b.p.t, response, cancel}
}

// is checks that the next event that isn't a KEEPALIVE contains a text.
func (s *stream) is(text, why string) server.Event {
	s.t.Helper()
	event, err := s.Next()
	for err == nil && event.Type == "KEEPALIVE" {
		event, err = s.Next()
	}
	if err != nil || !strings.Contains(event.Raw, text) {
		s.t.Fatalf("%s: got %q, %v, want one with %s", why, event.Raw, err, text)
	}
	return event
}

func port(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}
