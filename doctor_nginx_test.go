package main

import (
	"strings"
	"testing"
	"time"

	"github.com/presence-server/presence/deploy/testserver"
)

// nginx runs nginx with the given content of its http block. In the block, ADDRESS is
// a free address, OTHER is another free address, and SERVER is the address of the
// presence server.
func (c *doctorTest) nginx(folder, block string) (address string) {
	c.t.Helper()
	address = freeAddress(c.t)
	block = strings.NewReplacer("ADDRESS", address, "OTHER", freeAddress(c.t), "SERVER", c.URL).Replace(block)
	testserver.Nginx(c.t, folder, address, block)
	return address
}

func freeAddress(t *testing.T) string {
	t.Helper()
	address, err := testserver.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// TestDoctorOfNginx checks that each problem that nginx can cause is reported, with
// the lines for nginx only.
func TestDoctorOfNginx(t *testing.T) {
	c := newDoctorTest(t)
	impatient := func(o *doctorOptions) { o.patience = 400 * time.Millisecond }
	for name, test := range map[string]struct {
		block    string
		adjust   func(*doctorOptions)
		problems []string
		prints   []string
	}{
		"with its defaults": {
			block: `server { listen ADDRESS; location / { proxy_pass SERVER; } }`,
		},
		"one behind the other, with default buffering": {
			block: `server { listen ADDRESS; location / { proxy_pass http://OTHER; } }
				server { listen OTHER; location / { proxy_pass SERVER; } }`,
			adjust:   impatient,
			problems: []string{"buffering"},
			prints:   []string{"behind nginx/", "proxy_buffering off;"},
		},
		"that ignores the server's header about buffering": {
			block:    `server { listen ADDRESS; location / { proxy_pass SERVER; proxy_ignore_headers X-Accel-Buffering; } }`,
			adjust:   impatient,
			problems: []string{"buffering"},
			prints:   []string{"the first event arrived only when the stream ended", "proxy_buffering off;"},
		},
		"that compresses": {
			block: `gzip on; gzip_types text/event-stream; gzip_min_length 0; gzip_proxied any;
				server { listen ADDRESS; location / { proxy_pass SERVER; } }`,
			problems: []string{"compression"},
			prints:   []string{"the stream is compressed with gzip", "gzip off;"},
		},
		"that compresses and buffers": {
			block: `gzip on; gzip_types text/event-stream; gzip_min_length 0; gzip_proxied any;
				server { listen ADDRESS; location / { proxy_pass SERVER; proxy_ignore_headers X-Accel-Buffering; } }`,
			adjust:   impatient,
			problems: []string{"compression", "buffering"},
		},
		"with a short timeout": {
			block:    `server { listen ADDRESS; location / { proxy_pass SERVER; proxy_read_timeout 300ms; } }`,
			problems: []string{"silence"},
			prints:   []string{"of silence, but the server sends KEEPALIVE only every 700ms", "proxy_read_timeout 1h;", `keepalive = "`},
		},
		"that drops headers": {
			block: `server { listen ADDRESS; location / { proxy_pass SERVER;
				proxy_set_header Last-Event-ID ""; proxy_set_header Authorization ""; } }`,
			problems: []string{"Authorization", "Last-Event-ID"},
			prints:   []string{"proxy_set_header Last-Event-ID $http_last_event_id;", "proxy_set_header Authorization $http_authorization;"},
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
			c.prints(r, test.prints...)
			if text := printed(r); strings.Contains(text, "Caddy") || strings.Contains(text, "Traefik") {
				t.Errorf("there are lines for other proxies:\n%s", text)
			}
		})
	}
}

// TestDoctorOfFixedNginx uses all the lines that the doctor prints for nginx.
func TestDoctorOfFixedNginx(t *testing.T) {
	c := newDoctorTest(t)
	folder := t.TempDir()
	o := c.options("")
	_, _, roots := testserver.Certificate(t, folder)
	o.url = "https://" + c.nginx(folder, `gzip on; gzip_types text/event-stream; gzip_min_length 0;
		server {
			listen ADDRESS ssl http2; ssl_certificate fullchain.pem; ssl_certificate_key privkey.pem;
			location / { proxy_pass SERVER; }
			location = /v1/events {
				proxy_pass SERVER; proxy_buffering off; gzip off; proxy_read_timeout 1h;
				`+lastLine(fixHeader("Last-Event-ID")["nginx"])+lastLine(fixHeader("Authorization")["nginx"])+`
			}
		}`)
	r := c.examine(o, roots)
	c.wants(r)
	if r.worst() != verdictGood {
		t.Errorf("the worst is %q\n%s", r.worst(), printed(r))
	}
	c.prints(r, "HTTP/2.0", "behind nginx/")
}

func lastLine(lines string) string { return lines[strings.LastIndex(lines, "\n")+1:] }
