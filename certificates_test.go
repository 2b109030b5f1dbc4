package main

import (
	"context"
	"crypto/tls"
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
// signal, while 100 open streams continue, and that after SIGHUP the server presents
// the pair in other files.
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
	streams := secureStreams(t, c, 100, &tls.Config{RootCAs: trust})

	replace(t, cert, newCert)
	replace(t, key, newKey)
	c.untilLogged(`msg="certificate changed"`)
	if got := presented(t, c.Address); got != "new.example" {
		t.Errorf("the server presents %s", got)
	}
	for _, stream := range streams {
		if e, err := stream.Next(); err != nil {
			t.Fatalf("a stream ended, after %v: %v", e, err)
		}
	}
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

// secureStreams opens streams over TLS that send a KEEPALIVE after a while.
func secureStreams(t *testing.T, c *child, n int, trust *tls.Config) (all []*server.Stream) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: trust, DisableKeepAlives: true}}
	for i := range n {
		token, _ := c.calls(0, "token", fmt.Sprint("user", i))
		ctx, cancel := context.WithCancel(c.Ctx)
		t.Cleanup(cancel)
		request, wrong := http.NewRequestWithContext(ctx, http.MethodGet, c.URL+"/v1/events?platform=web", nil)
		if wrong != nil {
			t.Fatal(wrong)
		}
		request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(token))
		response, wrong := client.Do(request)
		if wrong != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("a stream was answered %v, %v", response, wrong)
		}
		t.Cleanup(func() { response.Body.Close() })
		stream := server.Read(response.Body)
		if e, err := stream.Next(); err != nil || e.Type != "READY" {
			t.Fatalf("the first event is %v, %v, want READY", e, err)
		}
		all = append(all, stream)
	}
	return all
}
