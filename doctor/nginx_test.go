package doctor

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// nginx runs the real one with what is inside of its http block. In it ADDRESS
// is a free one, OTHER another, and SERVER that of the presence server.
func (c *clinic) nginx(folder, block string) (address string) {
	c.t.Helper()
	path, err := exec.LookPath("nginx")
	if err != nil {
		if os.Getenv("SKIP_NO_TEST") == "1" {
			c.t.Fatal("nginx is not installed: it is the proxy in between")
		}
		c.t.Skip("nginx is not installed: it is the proxy in between")
	}
	address = freeAddress(c.t)
	block = strings.NewReplacer("ADDRESS", address, "OTHER", freeAddress(c.t), "SERVER", c.url).Replace(block)
	config := fmt.Sprintf(`daemon off; pid nginx.pid; error_log stderr warn;
		events {}
		http {
			access_log off;
			client_body_temp_path a; proxy_temp_path b; fastcgi_temp_path c; uwsgi_temp_path d; scgi_temp_path e;
			%s
		}`, block)
	if err := os.WriteFile(filepath.Join(folder, "nginx.conf"), []byte(config), 0o600); err != nil {
		c.t.Fatal(err)
	}
	command := exec.Command(path, "-p", folder, "-c", "nginx.conf", "-e", "stderr")
	command.Stderr = c.t.Output()
	if err := command.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		command.Process.Signal(os.Interrupt)
		command.Wait()
	})
	for deadline := time.Now().Add(time.Minute); ; {
		if connection, err := net.Dial("tcp", address); err == nil {
			connection.Close()
			return address
		}
		if time.Now().After(deadline) {
			c.t.Fatal("nginx doesn't listen")
		}
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// TestNginx reports each problem that a real one causes, and only its lines.
func TestNginx(t *testing.T) {
	c := newClinic(t)
	impatient := func(o *Options) { o.Patience = 400 * time.Millisecond }
	for name, test := range map[string]struct {
		block    string
		adjust   func(*Options)
		problems []string
		tells    []string
	}{
		"with its defaults": {
			block: `server { listen ADDRESS; location / { proxy_pass SERVER; } }`,
		},
		"one behind the other, with default buffering": {
			block: `server { listen ADDRESS; location / { proxy_pass http://OTHER; } }
				server { listen OTHER; location / { proxy_pass SERVER; } }`,
			adjust:   impatient,
			problems: []string{"buffering"},
			tells:    []string{"behind nginx/", "proxy_buffering off;"},
		},
		"that ignores what the server says of buffering": {
			block:    `server { listen ADDRESS; location / { proxy_pass SERVER; proxy_ignore_headers X-Accel-Buffering; } }`,
			adjust:   impatient,
			problems: []string{"buffering"},
			tells:    []string{"the first event arrived only when the stream ended", "proxy_buffering off;"},
		},
		"that compresses": {
			block: `gzip on; gzip_types text/event-stream; gzip_min_length 0; gzip_proxied any;
				server { listen ADDRESS; location / { proxy_pass SERVER; } }`,
			problems: []string{"compression"},
			tells:    []string{"the stream is compressed with gzip", "gzip off;"},
		},
		"that compresses and buffers": {
			block: `gzip on; gzip_types text/event-stream; gzip_min_length 0; gzip_proxied any;
				server { listen ADDRESS; location / { proxy_pass SERVER; proxy_ignore_headers X-Accel-Buffering; } }`,
			adjust:   impatient,
			problems: []string{"compression", "buffering"},
		},
		"that has little patience": {
			block:    `server { listen ADDRESS; location / { proxy_pass SERVER; proxy_read_timeout 300ms; } }`,
			problems: []string{"silence"},
			tells:    []string{"of silence, but the server sends KEEPALIVE only every 700ms", "proxy_read_timeout 1h;", `keepalive = "`},
		},
		"that drops headers": {
			block: `server { listen ADDRESS; location / { proxy_pass SERVER;
				proxy_set_header Last-Event-ID ""; proxy_set_header Authorization ""; } }`,
			problems: []string{"Authorization", "Last-Event-ID"},
			tells:    []string{"proxy_set_header Last-Event-ID $http_last_event_id;", "proxy_set_header Authorization $http_authorization;"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := *c
			c.t = t
			o := c.options("http://" + c.nginx(t.TempDir(), test.block))
			if test.adjust != nil {
				test.adjust(&o)
			}
			r := c.examine(o)
			c.wants(r, test.problems...)
			c.tells(r, test.tells...)
			if text := print(r); strings.Contains(text, "Caddy") || strings.Contains(text, "Traefik") {
				t.Errorf("there are lines for other proxies:\n%s", text)
			}
		})
	}
}

// TestNginxMended has the lines that mending tells, all together.
func TestNginxMended(t *testing.T) {
	c := newClinic(t)
	folder := t.TempDir()
	o := c.options("")
	o.Roots = certificate(t, folder)
	o.URL = "https://" + c.nginx(folder, `gzip on; gzip_types text/event-stream; gzip_min_length 0;
		server {
			listen ADDRESS ssl http2; ssl_certificate cert.pem; ssl_certificate_key key.pem;
			location / { proxy_pass SERVER; }
			location = /v1/events {
				proxy_pass SERVER; proxy_buffering off; gzip off; proxy_read_timeout 1h;
				`+lastLine(fixHeader("Last-Event-ID")["nginx"])+lastLine(fixHeader("Authorization")["nginx"])+`
			}
		}`)
	r := c.examine(o)
	c.wants(r)
	if r.Worst() != Good {
		t.Errorf("the worst is %q\n%s", r.Worst(), print(r))
	}
	c.tells(r, "HTTP/2.0", "behind nginx/")
}

func lastLine(lines string) string { return lines[strings.LastIndex(lines, "\n")+1:] }

// certificate makes one for this machine, and returns who vouches for it.
func certificate(t *testing.T, folder string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	for name, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: secret},
	} {
		text := pem.EncodeToMemory(block)
		roots.AppendCertsFromPEM(text)
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return roots
}
