package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	server "github.com/presence-server/presence/deploy/testserver"
	"github.com/presence-server/presence/httpapi"
)

// replace replaces a file with another one.
func replace(t *testing.T, file, by string) {
	t.Helper()
	text, err := os.ReadFile(by)
	if err != nil {
		t.Fatal(err)
	}
	write(t, file, string(text))
}

// presented returns the first name in the certificate of the server at an address.
func presented(t *testing.T, address string) string {
	t.Helper()
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].DNSNames[0]
}

// TestHalfRenewedCertificate checks that the server presents the last pair while the
// files don't match, and logs the reason once.
func TestHalfRenewedCertificate(t *testing.T) {
	cert, key, _ := server.Certificate(t, t.TempDir(), "old.example")
	newCert, newKey, _ := server.Certificate(t, t.TempDir(), "new.example")
	log := &screen{grown: make(chan struct{}, 1)}
	v, err := openCertificates(cert, key, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	presents := func(when, want string) {
		t.Helper()
		v.refresh()
		v.refresh()
		pair, err := v.tlsConfig().GetCertificate(nil)
		if err != nil || pair.Leaf.DNSNames[0] != want || !v.expires().Equal(pair.Leaf.NotAfter) {
			t.Errorf("%s, the server presents %v, %v, want %s", when, pair.Leaf.DNSNames, err, want)
		}
	}
	presents("at first", "old.example")
	replace(t, cert, newCert)
	presents("with the certificate of another key", "old.example")
	if n := strings.Count(log.String(), "certificate not changed"); n != 1 {
		t.Errorf("the mismatch of the files is logged %d times, want once:\n%s", n, log)
	}
	write(t, cert, "-----BEGIN CERT")
	presents("with half a file", "old.example")
	os.Remove(key)
	presents("without a key", "old.example")
	replace(t, cert, newCert)
	replace(t, key, newKey)
	presents("with a new pair", "new.example")
	if n := strings.Count(log.String(), "certificate changed"); n != 1 {
		t.Errorf("the change of the certificate is logged %d times, want once:\n%s", n, log)
	}
	if err := v.use("no such file", key); err == nil {
		t.Error("files that don't exist are used")
	}
	presents("after a reload that failed", "new.example")
}

// TestRenewedCertificate checks that a renewed certificate is presented without a
// signal, while 100 open streams continue on their connections, before and after the
// files are a pair again, and that after SIGHUP the server presents a new pair at once.
func TestRenewedCertificate(t *testing.T) {
	t.Parallel() // it waits for certificateInterval
	c := newChild(t, "OPS__LISTEN=127.0.0.1:0")
	cert, key, trust := server.Certificate(t, c.Folder, "old.example")
	newCert, newKey, _ := server.Certificate(t, t.TempDir(), "new.example")
	c.Env = append(c.Env, "TLS__CERT="+cert, "TLS__KEY="+key)
	c.URL = "https://" + c.Address
	if err := c.Launch(); err != nil {
		t.Fatal(err)
	}
	c.untilLogged("msg=ready")
	s := secureStreams{c: c, all: make(map[string]*server.Stream)}
	s.open(50, 1, trust)
	s.open(50, 2, trust)
	s.reach("before")

	replace(t, cert, newCert)
	c.Signal(syscall.SIGHUP)
	c.untilLogged(`msg="configuration not changed"`)
	if got := presented(t, c.Address); got != "old.example" {
		t.Errorf("with the certificate of another key, the server presents %s", got)
	}
	s.reach("half")
	replace(t, key, newKey)
	c.untilLogged(`msg="certificate changed"`)
	if got := presented(t, c.Address); got != "new.example" {
		t.Errorf("the server presents %s", got)
	}
	s.reach("renewed")
	ops := regexp.MustCompile(`msg="metrics and profiles" url=(\S+)`).FindStringSubmatch(c.Log())[1]
	if got, want := expiry(t, ops), time.Now().AddDate(0, 3, 0); got.Sub(want).Abs() > time.Hour {
		t.Errorf("the metric says that the certificate expires at %s, want %s", got, want)
	}
	c.calls(0, "health")
	c.calls(0, "users")

	third, thirdKey, _ := server.Certificate(t, t.TempDir(), "third.example")
	replace(t, cert, third)
	replace(t, key, thirdKey)
	c.Signal(syscall.SIGHUP)
	c.untilLogged(`msg="configuration changed"`)
	if got := presented(t, c.Address); got != "third.example" {
		t.Errorf("after SIGHUP the server presents %s", got)
	}
	s.reach("third")
}

// expiry returns when the certificate expires, according to the metrics.
func expiry(t *testing.T, ops string) time.Time {
	t.Helper()
	response, err := http.Get(ops + "metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	found := regexp.MustCompile(`\npresence_tls_certificate_expires_timestamp_seconds (\S+)`).FindSubmatch(text)
	if found == nil {
		t.Fatalf("there is no metric of the certificate:\n%s", text)
	}
	seconds, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.Unix(int64(seconds), 0)
}

// secureStreams are streams over TLS, by user.
type secureStreams struct {
	c    *child
	http *http.Client // of the streams opened last
	all  map[string]*server.Stream
}

// open opens streams over a version of HTTP: over HTTP/1.1 each has a connection of its
// own, over HTTP/2 they share one.
func (s *secureStreams) open(n, version int, trust *x509.CertPool) {
	s.c.t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trust}, ForceAttemptHTTP2: version == 2}
	s.c.t.Cleanup(transport.CloseIdleConnections)
	s.http = &http.Client{Transport: transport}
	for i := range n {
		user := fmt.Sprint("user", version, "-", i)
		token, _, err := (&httpapi.Tokens{Secret: []byte(server.Secret)}).Issue(user, time.Hour)
		if err != nil {
			s.c.t.Fatal(err)
		}
		response := s.send(http.MethodGet, "/v1/events?platform=web", token, "")
		s.c.t.Cleanup(func() { response.Body.Close() })
		if response.ProtoMajor != version {
			s.c.t.Fatalf("a stream was %s, want HTTP/%d", response.Proto, version)
		}
		s.all[user] = server.Read(response.Body)
		if e := s.c.Next(s.all[user]); e.Type != "READY" {
			s.c.t.Fatalf("the first event is %q, want READY", e.Raw)
		}
	}
}

func (s *secureStreams) send(method, path, token, body string) *http.Response {
	s.c.t.Helper()
	request, err := http.NewRequestWithContext(s.c.Ctx, method, s.c.URL+path, strings.NewReader(body))
	if err != nil {
		s.c.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := s.http.Do(request)
	if err != nil || response.StatusCode != http.StatusOK {
		s.c.t.Fatalf("%s was answered %v, %v", path, response, err)
	}
	return response
}

// reach sets the status of each user, and waits until the stream of the user has sent it.
// The requests use the HTTP/2 connection of the streams: on another one, the client would
// not trust a certificate that has replaced the first.
func (s *secureStreams) reach(text string) {
	s.c.t.Helper()
	for user := range s.all {
		s.send(http.MethodPost, "/v1/admin/setUserStatus", server.AdminKey, fmt.Sprintf(`{"userID":%q,"customStatus":%q}`, user, text)).Body.Close()
	}
	for user, stream := range s.all {
		s.c.Awaits(stream, user, "1 "+text)
	}
}
