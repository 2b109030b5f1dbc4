package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	server "github.com/presence-server/presence/deploy/testserver"
	"golang.org/x/net/dns/dnsmessage"
)

// pebble is a running ACME server that Let's Encrypt publishes for tests.
type pebble struct {
	folder      string // the working folder, which holds its certificate
	directory   string // the URL of the ACME directory
	root        string // the file of the certificate for its own HTTPS
	management  string // the address of its management API
	tls, http   string // the addresses at which it validates; the one for TLS comes first
	transcripts *screen
}

// startPebble builds pebble from the Go module proxy, and starts it.
func startPebble(t *testing.T) *pebble {
	t.Helper()
	p := &pebble{folder: t.TempDir(), transcripts: &screen{grown: make(chan struct{}, 1)}}
	install := exec.CommandContext(t.Context(), "go", "install", "github.com/letsencrypt/pebble/v2/cmd/pebble@v2.10.3")
	install.Dir, install.Env = p.folder, append(os.Environ(), "GOBIN="+p.folder, "GOFLAGS=-buildvcs=false")
	if out, err := install.CombinedOutput(); err != nil {
		server.Missing(t, "pebble, the ACME server, can't be built: %v\n%s", err, out)
	}
	var key string
	p.root, key, _ = server.Certificate(t, p.folder, "localhost")
	api := free(t)
	p.directory, p.management, p.tls, p.http = "https://"+api+"/dir", free(t), free(t), free(t)
	text, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": api, "managementListenAddress": p.management, "certificate": p.root, "privateKey": key,
		"httpPort": port(p.http), "tlsPort": port(p.tls), "domainBlocklist": []string{"refused.example"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(p.folder, "config.json"), string(text))
	command := exec.CommandContext(t.Context(), filepath.Join(p.folder, "pebble"), "-config", "config.json", "-dnsserver", serveDNS(t))
	command.Dir, command.Env = p.folder, append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=5")
	command.Stdout, command.Stderr = p.transcripts, p.transcripts
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		command.Process.Kill()
		command.Wait()
	})
	p.transcripts.awaits(t, "ACME directory available")
	return p
}

func free(t *testing.T) string {
	t.Helper()
	address, err := server.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

func port(address string) int {
	at, _ := net.ResolveTCPAddr("tcp", address)
	return at.Port
}

// serveDNS answers every question about a host with 127.0.0.1, over TCP as pebble
// asks, and returns the address of the DNS server.
func serveDNS(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() {
		l.Close()
		<-ended
	})
	go func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if err := answerDNS(conn); err != nil {
				t.Errorf("DNS: %v", err)
			}
			conn.Close()
		}
	}()
	return l.Addr().String()
}

// answerDNS answers one question. Each message is preceded by its length.
func answerDNS(conn net.Conn) error {
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return err
	}
	text := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, text); err != nil {
		return err
	}
	var m dnsmessage.Message
	if err := m.Unpack(text); err != nil {
		return err
	}
	m.Response = true
	if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1},
			Body:   &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}},
		}}
	}
	answer, err := m.AppendPack(size[:])
	if err != nil {
		return err
	}
	binary.BigEndian.PutUint16(answer, uint16(len(answer)-len(size)))
	_, err = conn.Write(answer)
	return err
}

// issuer returns a pool with the root certificate that pebble issues under.
func (p *pebble) issuer(t *testing.T) *x509.CertPool {
	t.Helper()
	text, err := os.ReadFile(p.root)
	if err != nil {
		t.Fatal(err)
	}
	own, issued := x509.NewCertPool(), x509.NewCertPool()
	own.AppendCertsFromPEM(text)
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: own}}}
	response, err := client.Get("https://" + p.management + "/roots/0")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var root strings.Builder
	if err := response.Write(&root); err != nil || !issued.AppendCertsFromPEM([]byte(root.String()[strings.Index(root.String(), "-----BEGIN"):])) {
		t.Fatalf("pebble has no root: %v", err)
	}
	return issued
}

// TestCertificatesFromAnACMEServer checks that a server with acme_domains has a
// certificate soon after its start, by a challenge over TLS or HTTP, and that the next
// run uses the same certificate.
func TestCertificatesFromAnACMEServer(t *testing.T) {
	p := startPebble(t)
	for name, listen := range map[string]string{"TLS": p.tls, "HTTP": free(t)} {
		t.Run(name, func(t *testing.T) {
			domain := strings.ToLower(name) + ".presence.example"
			c := newChild(t, "LISTEN="+listen, "TLS__ACME_DOMAINS="+domain, "TLS__ACME_URL="+p.directory, "TLS__ACME_LISTEN="+p.http)
			t.Setenv("SSL_CERT_FILE", p.root)
			if err := c.Launch(); err != nil {
				t.Fatal(err)
			}
			c.untilLogged(`msg="certificates are ready"`)
			first := issued(t, listen, domain, p.issuer(t))
			c.calls(0, "health")
			c.calls(0, "users")
			redirected(t, p.http, domain)
			if _, err := tls.Dial("tcp", listen, &tls.Config{ServerName: "other.example", InsecureSkipVerify: true}); err == nil {
				t.Error("there is a certificate for another name")
			}
			c.Kill()
			if err := c.Launch(); err != nil {
				t.Fatal(err)
			}
			for strings.Count(c.Log(), `msg="certificates are ready"`) < 2 && c.Ctx.Err() == nil {
				c.calls(0, "-version")
			}
			if again := issued(t, listen, domain, p.issuer(t)); again.SerialNumber.Cmp(first.SerialNumber) != 0 {
				t.Error("after a restart there is another certificate")
			}
			c.Kill()
		})
	}
}

// TestNoCertificateYet checks that the server starts without a certificate, and that the
// log says why it has none.
func TestNoCertificateYet(t *testing.T) {
	p := startPebble(t)
	t.Setenv("SSL_CERT_FILE", p.root)
	for domain, with := range map[string]struct{ url, hint, reason string }{
		"refused.example":     {p.directory, "the ACME server refused it", "refused.example is a forbidden domain"},
		"unreachable.example": {"https://" + free(t) + "/dir", "this server can't reach the ACME server", "connection refused"},
		"elsewhere.example":   {p.directory, "the ACME server must reach this server", "unable to satisfy"},
	} {
		c := newChild(t, "TLS__ACME_DOMAINS="+domain, "TLS__ACME_URL="+with.url, "TLS__ACME_LISTEN=")
		if err := c.Launch(); err != nil {
			t.Fatal(err)
		}
		c.untilLogged("msg=ready")
		c.untilLogged("there is no certificate yet")
		c.mentions(c.Log(), "there is no certificate yet: "+with.hint, "domain="+domain, with.reason)
		c.Kill()
	}
}

// TestACMEObstacles checks that a server that can't store certificates, or can't answer
// challenges, does not start.
func TestACMEObstacles(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for want, env := range map[string][]string{
		"presence: certificates can't be stored next to the database: ":                                                                                      {"DATABASE__PATH=x", "TLS__ACME_LISTEN="},
		`another program uses this port; stop it, or choose another address, such as PRESENCE_TLS__ACME_LISTEN=127.0.0.1:8081; or set tls.acme_listen to ""`: {"TLS__ACME_LISTEN=" + taken.Addr().String()},
	} {
		c := newChild(t, append(env, "TLS__ACME_DOMAINS=a.example")...)
		write(t, filepath.Join(c.Folder, "x.acme"), "not a folder")
		if err := c.Launch(); err != nil {
			t.Fatal(err)
		}
		if code := c.Wait(); code != 1 || strings.Count(c.Log(), "\n") != 1 {
			t.Errorf("exit code %d, want 1 and one line:\n%s", code, c.Log())
		}
		c.mentions(c.Log(), want)
	}
}

// issued returns the certificate of a server and checks that it is for domain.
func issued(t *testing.T, address, domain string, roots *x509.CertPool) *x509.Certificate {
	t.Helper()
	conn, err := tls.Dial("tcp", address, &tls.Config{ServerName: domain, RootCAs: roots})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0]
}

// redirected checks that HTTP redirects to HTTPS.
func redirected(t *testing.T, address, domain string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/demo?x=y", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = domain
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if got := response.Header.Get("Location"); response.StatusCode != http.StatusFound || got != "https://"+domain+"/demo?x=y" {
		t.Errorf("HTTP was answered %s, %q", response.Status, got)
	}
}

// TestACMEMistakes checks that mistakes are reported, and that the defaults suit a
// public server.
func TestACMEMistakes(t *testing.T) {
	const domains = "tls.acme_domains = ['a.example']\n"
	for text, want := range map[string]string{
		domains + "tls.cert = 'x'":                                       `tls.acme_domains = ["a.example"]: is not possible together with tls.cert or tls.key`,
		domains + "tls.key = 'x'":                                        `tls.acme_domains = ["a.example"]: is not possible together with tls.cert or tls.key`,
		domains + "tls.acme_url = 'http://a.example'":                    `must be an https:// URL`,
		domains + "tls.acme_listen = 'x'":                                `tls.acme_listen = "x": must be host:port`,
		"tls.acme_domains = ['*.example.com']":                           `tls.acme_domains = "*.example.com": must be the name of a host`,
		"tls.acme_domains = ['https://a.example']":                       `must be the name of a host`,
		"tls.acme_domains = ['10.0.0.1']":                                `must be the name of a host`,
		"tls.acme_domains = ['localhost']":                               `must be the name of a host`,
		"tls.acme_domains = ['a..example']":                              `must be the name of a host`,
		"tls.acme_domains = ['.example']":                                `must be the name of a host`,
		"tls.acme_domains = ['" + strings.Repeat("x", 64) + ".example']": `must be the name of a host`,
	} {
		if _, err := configOf(t, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
	c, err := configOf(t, "tls.acme_domains = ['Bücher.example.']")
	if err != nil || c.Listen[0] != ":443" || c.TLS.ACMEListen != ":80" || c.TLS.ACMEDomains[0] != "xn--bcher-kva.example" || c.shown.keys.Load().Get("listen") != ":443" {
		t.Errorf("with a domain: %v, %+v, %v", c.Listen, c.TLS, err)
	}
	if c, err = configOf(t, "listen = ':8443'\ntls.acme_domains = ['a.example']"); err != nil || c.Listen[0] != ":8443" {
		t.Errorf("listen is set, but the server listens on %v, %v", c.Listen, err)
	}
}
