package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// serverCommands are the commands that call the server API.
var serverCommands = [][]string{{"users"}, {"explain", "alice"}, {"kick", "alice"}, {"follow"}}

// TestServerCommandsFail checks that each error explains what to do, in one line, and
// that nothing is printed on standard output.
func TestServerCommandsFail(t *testing.T) {
	running := newChild(t)
	running.Start()
	for _, one := range []struct {
		env  []string
		says []string
	}{
		{nil, []string{"no server runs at http://127.0.0.1:", "start it, or name its configuration with -config", "connection refused"}},
		{[]string{"AUTH__ADMIN_KEY="}, []string{"auth.admin_key is not set: set it, and reload the server"}},
		{[]string{"AUTH__ADMIN_KEY=short"}, []string{"PRESENCE_AUTH__ADMIN_KEY = …: must have at least 16 bytes"}},
		{[]string{running.listens(), "AUTH__ADMIN_KEY=not the key of the server"}, []string{"the admin key is wrong", "reload the server with SIGHUP if auth.admin_key was changed"}},
		{[]string{"TLS__CERT=missing.pem", "TLS__KEY=missing.pem"}, []string{"tls.cert: open missing.pem: no such file"}},
		{[]string{"TLS__CERT=/dev/null", "TLS__KEY=/dev/null"}, []string{`tls.cert = "/dev/null": it has no certificate`}},
	} {
		c := newChild(t, one.env...)
		for _, args := range serverCommands {
			out, complaint := c.calls(1, args...)
			c.mentions(complaint, one.says...)
			if out != "" || strings.Contains(complaint, "not the key") {
				t.Errorf("%q %q: it prints %q, and the error is %q", one.env, args, out, complaint)
			}
		}
	}
}

// listens returns the setting through which a command reaches this server.
func (c *child) listens() string { return "LISTEN=" + strings.TrimPrefix(c.URL, "http://") }

// TestAdminKeyGoesNowhereElse checks that another program at the address is reported,
// and that its redirects are not followed.
func TestAdminKeyGoesNowhereElse(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") }))
	defer elsewhere.Close()
	other := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer other.Close()
	c := newChild(t, "LISTEN="+strings.TrimPrefix(other.URL, "http://"))
	for _, args := range serverCommands {
		_, complaint := c.calls(1, args...)
		c.mentions(complaint, other.URL+" is not the presence server: it answers 307 Temporary Redirect")
	}
}

// TestServerCommandsOverTLS checks that a certificate issued by the team itself is
// trusted because it is in tls.cert, and that no other certificate is.
func TestServerCommandsOverTLS(t *testing.T) {
	authority := newAuthority(t)
	for name, template := range map[string]*x509.Certificate{
		"name":     {DNSNames: []string{"presence.example.com"}},
		"wildcard": {DNSNames: []string{"*.example.com"}},
		"address":  {IPAddresses: []net.IP{net.IPv4(192, 0, 2, 1)}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newChild(t, "TLS__CERT=cert.pem", "TLS__KEY=key.pem")
			authority.issue(t, c.Folder, template)
			c.launch()
			c.calls(0, "users")
			authority.issue(t, c.Folder, template) // the server still has the first one
			_, complaint := c.calls(1, "users")
			c.mentions(complaint, "has another certificate than tls.cert, or one that is not valid: restart the server if the file was changed")
		})
	}
}

// launch starts a server whose /readyz can't be read, and returns when it is ready.
func (c *child) launch() {
	c.t.Helper()
	if err := c.Launch(); err != nil {
		c.t.Fatal(err)
	}
	for c.Ctx.Err() == nil {
		if c.Command("health").Run() == nil {
			return
		}
	}
	c.t.Fatalf("the server never becomes ready\n%s", c.Log())
}

// authority is a certificate authority that no system trusts.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority of a test"}, NotAfter: time.Now().AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true,
	}
	a := authority{key: newKey(t)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue writes cert.pem and key.pem, without the authority's certificate, to a folder.
func (a authority) issue(t *testing.T, folder string, template *x509.Certificate) {
	t.Helper()
	template.SerialNumber, template.NotAfter = big.NewInt(2), time.Now().AddDate(0, 3, 0)
	key := newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(filepath.Join(folder, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
