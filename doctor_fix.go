package main

import (
	"fmt"
	"strings"
	"time"
)

// doctorFix contains the lines that fix a problem. The keys are nginx, Caddy, Traefik,
// presence.toml, and shell.
type doctorFix map[string]string

// fixPlaces are the keys of a doctorFix, in the order in which they are printed.
var fixPlaces = []string{"nginx", "Caddy", "Traefik", "presence.toml", "shell"}

// isProxy reports whether a place is a proxy.
func isProxy(place string) bool { return place == "nginx" || place == "Caddy" || place == "Traefik" }

// fixBuffering applies to every nginx on the way, because an nginx obeys
// X-Accel-Buffering but doesn't pass it on.
var fixBuffering = doctorFix{
	"nginx": `# in each nginx on the way, and without proxy_ignore_headers X-Accel-Buffering
location = /v1/events {
    proxy_pass http://127.0.0.1:8080;
    proxy_buffering off;
}`,
	"Caddy": `# without response_buffers and flush_interval: events then go out because of their type
reverse_proxy 127.0.0.1:8080`,
	"Traefik": `# no middleware of the router may be "buffering"
http:
  routers:
    presence:
      middlewares: []`,
}

var fixCompression = doctorFix{
	"nginx": `location = /v1/events {
    proxy_pass http://127.0.0.1:8080;
    proxy_buffering off;
    gzip off;
}`,
	"Caddy": `@answers not path /v1/events
encode @answers gzip`,
	"Traefik": `http:
  middlewares:
    compress:
      compress:
        excludedContentTypes: ["text/event-stream"]`,
}

// fixCut is for streams that are cut after a period of silence; zero means that they are
// cut in any case.
func fixCut(silence time.Duration) doctorFix {
	m := doctorFix{
		"nginx": `location = /v1/events {
    proxy_pass http://127.0.0.1:8080;
    proxy_buffering off;
    proxy_read_timeout 1h;
}`,
		"Caddy": `reverse_proxy 127.0.0.1:8080 {
    transport http {
        read_timeout 1h
    }
}`,
		"Traefik": `entryPoints:
  websecure:
    transport:
      respondingTimeouts:
        readTimeout: 0s
        writeTimeout: 0s`,
	}
	if silence > 0 {
		m["presence.toml"] = fmt.Sprintf("# if it can't be changed there\n[timing]\nkeepalive = %q", max(silence/2, time.Second/10).Round(time.Second/10).String())
	}
	return m
}

func fixHeader(name string) doctorFix {
	variable := "$http_" + strings.ToLower(strings.ReplaceAll(name, "-", "_"))
	return doctorFix{
		"nginx": fmt.Sprintf("# in the location, next to other proxy_set_header\nproxy_set_header %s %s;", name, variable),
		"Caddy": fmt.Sprintf("# without header_up -%[1]s\nreverse_proxy 127.0.0.1:8080 {\n    header_up %[1]s {http.request.header.%[1]s}\n}", name),
		"Traefik": fmt.Sprintf("# no middleware of the router may have it in customRequestHeaders, nor an authentication remove it:\n"+
			"#   headers: customRequestHeaders: %s\n#   basicAuth: removeHeader: true\nhttp:\n  routers:\n    presence:\n      middlewares: []", name),
	}
}

var fixQuery = doctorFix{
	"nginx": `# nothing behind the port, and no variables: nginx then passes the query on
proxy_pass http://127.0.0.1:8080;`,
	"Caddy": `# without rewrite and uri, which change the query
reverse_proxy 127.0.0.1:8080`,
	"Traefik": `# no middleware of the router may change the query
http:
  routers:
    presence:
      middlewares: []`,
}

var fixVersion = doctorFix{
	"nginx": `listen 443 ssl http2;  # from 1.25.1 on: listen 443 ssl; http2 on;`,
	"Caddy": `{
    servers {
        protocols h1 h2 h3
    }
}`,
	"Traefik": `tls:
  options:
    default:
      alpnProtocols: ["h2", "http/1.1"]`,
	"presence.toml": `# if there is no proxy
[tls]
cert = "/path/of/the/certificate.pem"
key = "/path/of/its/key.pem"`,
}

var fixHTTPS = doctorFix{
	"nginx": `listen 443 ssl http2;  # from 1.25.1 on: listen 443 ssl; http2 on;
ssl_certificate /etc/letsencrypt/live/chat.example.com/fullchain.pem;
ssl_certificate_key /etc/letsencrypt/live/chat.example.com/privkey.pem;`,
	"Caddy": `chat.example.com {
    reverse_proxy 127.0.0.1:8080
}`,
	"Traefik": `http:
  routers:
    presence:
      entryPoints: ["websecure"]
      tls:
        certResolver: letsencrypt`,
	"presence.toml": fixVersion["presence.toml"],
}

var fixCertificate = doctorFix{
	"nginx": `# the whole chain, not the certificate alone; then nginx -s reload
ssl_certificate /etc/letsencrypt/live/chat.example.com/fullchain.pem;`,
	"Caddy": `# by its name, under which Caddy gets and renews it by itself
chat.example.com {
    reverse_proxy 127.0.0.1:8080
}`,
	"Traefik": `http:
  routers:
    presence:
      tls:
        certResolver: letsencrypt`,
}

var fixClock = doctorFix{"shell": "timedatectl set-ntp true"}

// fixTwice is for a proxy that adds CORS headers to those of the server.
var fixTwice = doctorFix{
	"nginx":   "# without add_header Access-Control-…; the server says it itself",
	"Caddy":   "# without header Access-Control-…; the server says it itself",
	"Traefik": "# without accessControlAllow… in a headers middleware; the server says it itself",
}

func fixOrigin(origin string) doctorFix {
	return doctorFix{"presence.toml": fmt.Sprintf("[cors]\norigins = [%q]", origin)}
}
