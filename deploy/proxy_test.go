package deploy_test

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	server "github.com/presence-server/presence/deploy/testserver"
)

// name is the host name in the samples.
const name = "presence.example.com"

// proxy is a real proxy that runs with the shipped sample in front of a real server.
type proxy struct {
	t       *testing.T
	server  *server.Child
	address string
	folder  string // holds the logs
	trust   *x509.CertPool
	command *exec.Cmd
	ended   chan struct{}

	// hidesBreaks are the versions of HTTP over which the proxy turns a truncated
	// response of the server into a complete one, as Caddy does before 2.8 (caddyserver/caddy#5952).
	hidesBreaks []int
}

const trusted = "PROXY__TRUSTED=127.0.0.1" // the proxy; clients are others

const silent = "TIMING__KEEPALIVE=10m" // no KEEPALIVE, because its failing write would reveal a client that left

func TestNginx(t *testing.T) {
	p := newProxy(t, silent)
	p.runNginx()
	p.keepsEveryPromise()
}

// TestDoctorOfProxies: presence doctor makes all its checks through each sample, and finds no
// problem. It creates its token with the secret of the server.
func TestDoctorOfProxies(t *testing.T) {
	for program, run := range map[string]func(*proxy){"nginx": (*proxy).runNginx, "haproxy": (*proxy).runHAProxy} {
		t.Run(program, func(t *testing.T) {
			p := newProxy(t, "TIMING__KEEPALIVE=1s")
			run(p)
			p.pleasesDoctor()
		})
	}
}

func (p *proxy) pleasesDoctor() {
	p.t.Helper()
	doctor := p.server.Command("doctor", "https://"+p.address)
	doctor.Env = append(doctor.Env, "SSL_CERT_FILE="+filepath.Join(p.folder, name, "fullchain.pem"))
	out, err := doctor.CombinedOutput()
	if err != nil {
		p.t.Fatalf("presence doctor: %v\n%s", err, out)
	}
	if good := strings.Count(string(out), "\nok "); good != 9 {
		p.t.Errorf("%d checks are ok, want 9:\n%s", good, out)
	}
}

// isOldCaddy reports whether this Caddy is older than 2.8.
func isOldCaddy(t *testing.T, caddy string) bool {
	t.Helper()
	out, err := exec.Command(caddy, "version").Output()
	if err != nil {
		t.Fatal(err)
	}
	var major, minor int
	if _, err := fmt.Sscanf(strings.TrimPrefix(string(out), "v"), "%d.%d", &major, &minor); err != nil {
		t.Fatalf("caddy version prints %q: %v", out, err)
	}
	return major == 2 && minor < 8
}

func (p *proxy) runNginx() {
	p.t.Helper()
	nginx := server.Require(p.t, "nginx", "nginx is the proxy in front of the server")
	site := p.nginxSite(map[string]string{"127.0.0.1:8080": p.server.Address, "/var/log/nginx/": p.folder + "/"})
	write(p.t, filepath.Join(p.folder, "main.conf"), "daemon off; events {}"+p.nginxMain(site))
	p.run(nginx, "-p", p.folder, "-c", "main.conf", "-e", "error.log")
}

// nginxSite returns the path of a copy of the sample that listens on the proxy's address.
func (p *proxy) nginxSite(replace map[string]string) string {
	p.t.Helper()
	replace["listen 443 ssl"] = "listen " + p.address + " ssl"
	replace["listen [::]:443"] = "#"
	replace["/etc/letsencrypt/live/"] = p.folder + "/"
	return p.sample("nginx.conf", replace)
}

// nginxMain returns a main file that includes a site.
func (p *proxy) nginxMain(site string) string {
	return fmt.Sprintf(`user root; pid nginx.pid; error_log error.log info;
		http {
			client_body_temp_path a; proxy_temp_path b; fastcgi_temp_path c; uwsgi_temp_path d; scgi_temp_path e;
			include %s;
		}`, site)
}

func TestHAProxy(t *testing.T) {
	p := newProxy(t, silent)
	p.hidesBreaks = []int{2} // as of 2.6
	p.runHAProxy()
	p.keepsEveryPromise()
}

func (p *proxy) runHAProxy() {
	p.t.Helper()
	haproxy := server.Require(p.t, "haproxy", "HAProxy is the proxy in front of the server")
	certificate := filepath.Join(p.folder, name)
	write(p.t, certificate+".pem", read(p.t, certificate+"/fullchain.pem")+read(p.t, certificate+"/privkey.pem"))
	site := p.sample("haproxy.cfg", map[string]string{
		"127.0.0.1:8080":                    p.server.Address,
		"bind :443":                         "bind " + p.address,
		"bind [::]:443":                     "#",
		"/etc/haproxy/" + name:              certificate,
		"log /dev/log local0":               "log stdout format raw local0",
		"user haproxy\n    group haproxy\n": "",
		"maxconn 100000":                    "maxconn 1000", // what the machine's limit of file descriptors allows
	})
	p.run(haproxy, "-f", site)
}

func TestCaddy(t *testing.T) {
	p := newProxy(t, silent)
	p.runCaddy(map[string]string{"127.0.0.1:8080": p.server.Address})
	p.keepsEveryPromise()
}

func (p *proxy) runCaddy(replace map[string]string) {
	p.t.Helper()
	caddy := server.Require(p.t, "caddy", "Caddy is the proxy in front of the server")
	if isOldCaddy(p.t, caddy) {
		p.hidesBreaks = []int{1, 2}
	}
	certificate := p.folder + "/" + name + "/"
	maps.Copy(replace, map[string]string{
		"auto_https ":          "admin off\n\tskip_install_trust\n\thttps_port " + port(p.address) + "\n\tauto_https ",
		name + " {":            name + " {\n\tbind 127.0.0.1\n\ttls " + certificate + "fullchain.pem " + certificate + "privkey.pem",
		"/var/log/caddy/":      p.folder + "/",
		"import without_token": "level DEBUG\n\t\timport without_token",
	})
	site := p.sample("Caddyfile", replace)
	p.t.Setenv("HOME", p.folder) // where Caddy keeps its state
	p.t.Setenv("XDG_DATA_HOME", p.folder)
	p.t.Setenv("XDG_CONFIG_HOME", p.folder)
	p.run(caddy, "run", "--adapter", "caddyfile", "--config", site)
}

// newProxy starts a server, and prepares a proxy for it.
func newProxy(t *testing.T, env ...string) *proxy {
	t.Helper()
	return newProxyOf(t, startServer(t, append(env, trusted)...))
}

func newProxyOf(t *testing.T, s *server.Child) *proxy {
	t.Helper()
	p := &proxy{t: t, server: s, address: freeAddress(t), folder: t.TempDir()}
	os.Chmod(p.folder, 0o755) // nginx's workers aren't root
	live := filepath.Join(p.folder, name)
	if err := os.Mkdir(live, 0o755); err != nil {
		t.Fatal(err)
	}
	_, _, p.trust = server.Certificate(t, live, name)
	return p
}

// sample returns the path of a copy of a shipped sample, in which what depends on the
// machine was replaced.
func (p *proxy) sample(name string, replace map[string]string) string {
	p.t.Helper()
	text := read(p.t, name)
	for old, new := range replace {
		if !strings.Contains(text, old) {
			p.t.Fatalf("%s has no %q", name, old)
		}
		text = strings.ReplaceAll(text, old, new)
	}
	path := filepath.Join(p.folder, name)
	write(p.t, path, text)
	return path
}

func (p *proxy) run(path string, args ...string) {
	p.t.Helper()
	output, err := os.Create(filepath.Join(p.folder, "output.log"))
	if err != nil {
		p.t.Fatal(err)
	}
	defer output.Close()
	p.command = exec.Command(path, args...)
	p.command.Stdout, p.command.Stderr = output, output
	if err := p.command.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.ended = make(chan struct{})
	go func() {
		p.command.Wait()
		close(p.ended)
	}()
	p.t.Cleanup(p.stop)
	for ctx := bounded(p.t); ; {
		if response, err := p.browser().get("/readyz", nil); err == nil && response.StatusCode == http.StatusOK {
			return
		}
		select {
		case <-p.ended:
			p.t.Fatalf("%s ended:\n%s", path, p.logs())
		case <-ctx.Done():
			p.t.Fatalf("%s doesn't answer:\n%s", path, p.logs())
		default:
		}
	}
}

func (p *proxy) stop() {
	p.command.Process.Signal(syscall.SIGTERM)
	<-p.ended
}

// logs returns everything that was logged.
func (p *proxy) logs() string {
	p.t.Helper()
	files, err := filepath.Glob(filepath.Join(p.folder, "*.log"))
	if err != nil {
		p.t.Fatal(err)
	}
	var all bytes.Buffer
	for _, file := range files {
		fmt.Fprintf(&all, "%s:\n%s", filepath.Base(file), read(p.t, file))
	}
	return all.String()
}
