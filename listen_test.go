package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	server "github.com/presence-server/presence/deploy/testserver"
	"github.com/presence-server/presence/httpapi"
	"github.com/presence-server/presence/presence"
)

// listening is a server in this process, and the API that it serves.
type listening struct {
	t   *testing.T
	web *webServer
	api *httpapi.Handler
	svc *presence.Service
}

// listenHere returns a server that serves the API.
func listenHere(t *testing.T, cert, key string, change ...func(*presence.Settings, *httpapi.Limits)) *listening {
	t.Helper()
	settings, limits := presence.DefaultSettings(), httpapi.DefaultLimits()
	for _, c := range change {
		c(&settings, &limits)
	}
	svc, err := presence.Open(t.Context(), presence.Config{Path: filepath.Join(t.TempDir(), "presence.db"), Settings: &settings})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { svc.Close() })
	api, err := httpapi.New(httpapi.Config{Service: svc, Tokens: &httpapi.Tokens{Secret: []byte(server.Secret)}, Limits: limits})
	if err != nil {
		t.Fatal(err)
	}
	v := &listening{t, listenQuietly(t, cert, key), api, svc}
	v.web.show(api)
	return v
}

// listenQuietly returns a server that doesn't serve the API yet.
func listenQuietly(t *testing.T, cert, key string) *webServer {
	t.Helper()
	c := config{Listen: []string{"127.0.0.1:0"}}
	c.TLS.Cert, c.TLS.Key = cert, key
	web, err := c.listen(false, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(web.close)
	return web
}

func (v *listening) token(userID string) string {
	v.t.Helper()
	token, _, err := (&httpapi.Tokens{Secret: []byte(server.Secret)}).Issue(userID, time.Hour)
	if err != nil {
		v.t.Fatal(err)
	}
	return token
}

// stream opens a stream of alice, and returns its lines after READY.
func (v *listening) stream(ctx context.Context, client *http.Client) (*http.Response, *server.Stream) {
	v.t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, v.web.url()+"v1/events", nil)
	if err != nil {
		v.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+v.token("alice"))
	response, err := client.Do(request)
	if err != nil || response.StatusCode != http.StatusOK {
		v.t.Fatalf("a stream was answered %v, %v", response, err)
	}
	v.t.Cleanup(func() { response.Body.Close() })
	stream := server.Read(response.Body)
	if e, err := stream.Next(); err != nil || e.Type != "READY" {
		v.t.Fatalf("the first event is %v, %v, want READY", e, err)
	}
	return response, stream
}

// certificate writes a certificate for 127.0.0.1, and returns a pool that trusts it.
func certificate(t *testing.T) (cert, key string, trust *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	parsed, _ := x509.ParseCertificate(der)
	trust = x509.NewCertPool()
	trust.AddCert(parsed)
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", keyDER), trust
}

// TestAStreamWaitsForTheStart checks this because an EventSource gives up after a 503.
// Other requests are answered during the start.
func TestAStreamWaitsForTheStart(t *testing.T) {
	web := listenQuietly(t, "", "")
	ctx, cancel := context.WithTimeout(t.Context(), server.Patience)
	defer cancel()
	asked, early := make(chan struct{}), make(chan *http.Response)
	go func() {
		defer close(early)
		trace := &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { close(asked) }}
		request, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, trace), http.MethodGet, web.url()+"v1/events", nil)
		if err != nil {
			t.Error(err)
			return
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Error(err)
			return
		}
		early <- response
	}()
	<-asked
	for path, want := range map[string]int{"livez": 200, "readyz": 503, "v1/subscriptions": 503} {
		if got := status(t, web.url()+path); got != want {
			t.Errorf("while the server starts, %s was answered %d, want %d", path, got, want)
		}
	}
	web.show(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	if response := <-early; response != nil {
		response.Body.Close()
		if response.StatusCode != http.StatusTeapot {
			t.Errorf("a stream that was requested before the start was answered %d, want the response of the handler", response.StatusCode)
		}
	}
}

// status returns the status of the response to a GET.
func status(t *testing.T, address string) int {
	t.Helper()
	response, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, response.Body)
	response.Body.Close()
	return response.StatusCode
}

func TestHugeHeader(t *testing.T) {
	web := listenQuietly(t, "", "")
	for size, want := range map[int]int{16 << 10: http.StatusOK, 64 << 10: http.StatusRequestHeaderFieldsTooLarge} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, web.url()+"livez", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("X-Large", strings.Repeat("x", size))
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("a header of %d bytes was answered %s, want %d", size, response.Status, want)
		}
	}
}

// TestHTTP2StreamOutlivesTheWriteTimeout uses silences that are longer than a write
// may take.
func TestHTTP2StreamOutlivesTheWriteTimeout(t *testing.T) {
	cert, key, trust := certificate(t)
	v := listenHere(t, cert, key, func(s *presence.Settings, l *httpapi.Limits) {
		s.Keepalive, l.WriteTimeout = 700*time.Millisecond, 500*time.Millisecond
	})
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trust}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	ctx, cancel := context.WithTimeout(t.Context(), server.Patience)
	defer cancel()
	response, stream := v.stream(ctx, &http.Client{Transport: transport})
	if response.ProtoMajor != 2 {
		t.Fatalf("the stream is %s, want HTTP/2", response.Proto)
	}
	for began := time.Now(); time.Since(began) < 1500*time.Millisecond; {
		if e, err := stream.Next(); err != nil || e.Type != "KEEPALIVE" {
			t.Fatalf("only KEEPALIVE may arrive, but %v arrived, %v", e, err)
		}
	}
	if _, err := v.svc.Set(ctx, "alice", "x", 0); err != nil {
		t.Fatal(err)
	}
	e, err := stream.Next()
	for err == nil && e.Type == "KEEPALIVE" {
		e, err = stream.Next()
	}
	if err != nil || e.Type != "USER_STATUS_UPDATED" {
		t.Errorf("a stream must outlive write_timeout, but after a change it sends %v, %v", e, err)
	}
}

// TestShutdownEndsAServerWithOpenStreams checks this for both versions of HTTP.
func TestShutdownEndsAServerWithOpenStreams(t *testing.T) {
	cert, key, trust := certificate(t)
	for protocol, v := range map[int]*listening{1: listenHere(t, "", ""), 2: listenHere(t, cert, key)} {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trust}, ForceAttemptHTTP2: true}}
		ctx, cancel := context.WithTimeout(t.Context(), server.Patience)
		defer cancel()
		response, stream := v.stream(ctx, client)
		if response.ProtoMajor != protocol {
			t.Fatalf("the stream is %s, want HTTP/%d", response.Proto, protocol)
		}
		ended := make(chan error)
		go func() { ended <- v.api.Shutdown(ctx, &v.web.http) }()
		if e, err := stream.Next(); err != nil || e.Retry == "" {
			t.Errorf("HTTP/%d: the last event has no retry: %v, %v", protocol, e, err)
		}
		if e, err := stream.Next(); err == nil || err == io.EOF {
			t.Errorf("HTTP/%d: a stream must be truncated when the service drains, but %v arrived, %v", protocol, e, err)
		}
		if err := <-ended; err != nil {
			t.Errorf("HTTP/%d: Shutdown returns %v", protocol, err)
		}
		if _, err := client.Get(v.web.url() + "livez"); err == nil {
			t.Errorf("HTTP/%d: a server that was shut down still answers", protocol)
		}
	}
}

// TestAStreamBreaksOffDuringTheStop requests a stream on an HTTP/2 connection that is
// still open, and checks that the response is not a 503, after which an EventSource would
// never reconnect.
func TestAStreamBreaksOffDuringTheStop(t *testing.T) {
	cert, key, trust := certificate(t)
	v := listenHere(t, cert, key)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trust}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport}
	ctx, cancel := context.WithTimeout(t.Context(), server.Patience)
	defer cancel()
	v.stream(ctx, client)
	v.web.stopListening()
	v.svc.Drain()
	for path, want := range map[string]string{"readyz": "503 Service Unavailable", "v1/events?access_token=" + v.token("alice"): "INTERNAL_ERROR"} {
		got := ""
		if response, err := client.Get(v.web.url() + path); err != nil {
			got = err.Error()
		} else {
			got = response.Status
			response.Body.Close()
		}
		if !strings.Contains(got, want) {
			t.Errorf("/%s: got %s, want %s", path, got, want)
		}
	}
}

// TestOps checks that metrics and profiles are served, and nothing else.
func TestOps(t *testing.T) {
	ops := httptest.NewServer(metricsAndProfiles(listenHere(t, "", "").api.Metrics()))
	defer ops.Close()
	for path, want := range map[string]int{
		"/metrics": 200, "/debug/pprof/": 200, "/debug/pprof/goroutine?debug=1": 200, "/v1/admin/stats": 404, "/": 404,
	} {
		if got := status(t, ops.URL+path); got != want {
			t.Errorf("%s was answered %d, want %d", path, got, want)
		}
	}
}
