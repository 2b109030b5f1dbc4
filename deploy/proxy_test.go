package deploy_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/presence-server/presence/bench/server"
	"github.com/presence-server/presence/deploy/doctor"
)

// name is the one in the samples.
const name = "presence.example.com"

// proxy is a real one, run with the shipped sample in front of a real server.
type proxy struct {
	t       *testing.T
	server  *server.Server
	address string
	folder  string // the logs are in it
	trust   *certificate
	command *exec.Cmd
	ended   chan struct{}
}

const silent = "TIMING__KEEPALIVE=10m" // what has to be noticed isn't by a write that fails

func TestNginx(t *testing.T) {
	p := newProxy(t, silent)
	p.runNginx()
	p.keepsEveryPromise()
}

// TestDoctorOfNginx: presence doctor has nothing to say of the sample.
func TestDoctorOfNginx(t *testing.T) {
	p := newProxy(t, "TIMING__KEEPALIVE=1s")
	p.runNginx()
	report, err := doctor.Examine(bounded(t), doctor.Options{
		URL: "https://" + p.address, Token: p.token("doctor"), Own: true, Roots: p.trust.pool,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range report.Findings {
		if f.Verdict != doctor.Good {
			t.Errorf("%s: %s %s", f.Check, f.Verdict, f.Found)
		}
	}
	if len(report.Findings) < 8 {
		t.Errorf("the doctor has looked at %d things only", len(report.Findings))
	}
}

func (p *proxy) runNginx() {
	p.t.Helper()
	nginx := require(p.t, "nginx")
	site := p.sample("nginx.conf", map[string]string{
		"127.0.0.1:8080":         strings.TrimPrefix(p.server.URL, "http://"),
		"listen 443 ssl":         "listen " + p.address + " ssl",
		"listen [::]:443":        "#",
		"/etc/letsencrypt/live/": p.folder + "/",
		"/var/log/nginx/":        p.folder + "/",
	})
	write(p.t, filepath.Join(p.folder, "main.conf"), fmt.Sprintf(`daemon off; user root; pid nginx.pid; error_log error.log info;
		events {}
		http {
			client_body_temp_path a; proxy_temp_path b; fastcgi_temp_path c; uwsgi_temp_path d; scgi_temp_path e;
			include %s;
		}`, site))
	p.run(nginx, "-p", p.folder, "-c", "main.conf", "-e", "error.log")
}

func TestCaddy(t *testing.T) {
	caddy := require(t, "caddy")
	p := newProxy(t, silent)
	certificate := p.folder + "/" + name + "/"
	site := p.sample("Caddyfile", map[string]string{
		"127.0.0.1:8080":       strings.TrimPrefix(p.server.URL, "http://"),
		"auto_https ":          "admin off\n\tskip_install_trust\n\thttps_port " + port(p.address) + "\n\tauto_https ",
		name + " {":            name + " {\n\tbind 127.0.0.1\n\ttls " + certificate + "fullchain.pem " + certificate + "privkey.pem",
		"/var/log/caddy/":      p.folder + "/",
		"import without_token": "level DEBUG\n\t\timport without_token",
	})
	t.Setenv("HOME", p.folder) // where it keeps what it remembers
	t.Setenv("XDG_DATA_HOME", p.folder)
	t.Setenv("XDG_CONFIG_HOME", p.folder)
	p.run(caddy, "run", "--adapter", "caddyfile", "--config", site)
	p.keepsEveryPromise()
}

// newProxy starts a server, and prepares a proxy for it.
func newProxy(t *testing.T, env ...string) *proxy {
	t.Helper()
	p := &proxy{t: t, server: startServer(t, env...), address: freeAddress(t), folder: t.TempDir(), trust: newCertificate(t, name)}
	os.Chmod(p.folder, 0o755) // nginx's workers aren't root
	live := filepath.Join(p.folder, name)
	if err := os.Mkdir(live, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(live, "fullchain.pem"), p.trust.cert)
	write(t, filepath.Join(live, "privkey.pem"), p.trust.key)
	return p
}

// sample returns the path of a shipped one, in which what depends on the machine was replaced.
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

// logs returns all that was logged.
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

func (p *proxy) token(userID string) string {
	p.t.Helper()
	token, err := p.server.Token(bounded(p.t), userID, 3600)
	if err != nil {
		p.t.Fatal(err)
	}
	return token
}

func (p *proxy) keepsEveryPromise() {
	for what, holds := range map[string]func(*proxy){
		"events come one by one":     (*proxy).eventsComeOneByOne,
		"a cut stream resumes":       (*proxy).resumes,
		"a kicked device gives up":   (*proxy).kicked,
		"a client that left is gone": (*proxy).leaves,
		"a body has 1 MiB":           (*proxy).bodies,
		"only the backend is admin":  (*proxy).admin,
		"answers are compressed":     (*proxy).compressed,
	} {
		p.t.Run(what, func(t *testing.T) {
			one := *p
			one.t = t
			holds(&one)
		})
	}
	p.t.Run("no token is logged", func(t *testing.T) { // last, because it ends the server
		one := *p
		one.t = t
		one.logsNoToken()
	})
}

// eventsComeOneByOne: each is there before the next one is made, over both versions of HTTP, and for a browser that
// would take it compressed.
func (p *proxy) eventsComeOneByOne() {
	for version, b := range map[int]*browser{1: p.oldBrowser(), 2: p.browser()} {
		token := p.token("alice")
		s := b.follow("?access_token="+token, nil)
		if got := s.response.ProtoMajor; got != version {
			p.t.Errorf("the stream is HTTP/%d, want HTTP/%d", got, version)
		}
		for name, want := range map[string]string{
			"Content-Type": "text/event-stream", "Content-Encoding": "", "Strict-Transport-Security": "max-age=31536000",
		} {
			if got := s.response.Header.Get(name); got != want {
				p.t.Errorf("the stream has %s %q, want %q", name, got, want)
			}
		}
		s.is("event: READY", "the first event")
		for i := range 5 {
			text := fmt.Sprint("HTTP/", version, " change ", i)
			set(p.t, p.server, token, text)
			s.is(`"`+text+`"`, "each change by itself")
		}
		s.cancel()
	}
}

func (p *proxy) resumes() {
	b, token := p.browser(), p.token("bob")
	s := b.follow("?deviceID=tab&access_token="+token, nil)
	s.is("event: READY", "the first event")
	set(p.t, p.server, token, "seen")
	seen := s.is(`"seen"`, "a change")
	s.cancel()
	set(p.t, p.server, token, "missed")
	id, _, _ := strings.Cut(strings.TrimPrefix(seen, "id: "), "\n")
	again := b.follow("?deviceID=tab&access_token="+token, http.Header{"Last-Event-ID": {id}})
	again.is("id: "+id+"\n", "READY has the id that the stream resumes from")
	again.is(`"missed"`, "what was missed comes first")
	again.cancel()
}

func (p *proxy) kicked() {
	b, token := p.browser(), p.token("carol")
	s := b.follow("?deviceID=tab&access_token="+token, nil)
	s.is("event: READY", "the first event")
	if err := p.server.Must(bounded(p.t), "/v1/admin/kick", server.AdminKey, map[string]any{"userID": "carol"}, nil); err != nil {
		p.t.Fatal(err)
	}
	s.is("REST_API_Kick", "the reason")
	if text, err := s.read(); err != io.EOF {
		p.t.Errorf("after KICKED_OUT there is %q, %v, want the end", text, err)
	}
	response, err := b.get("/v1/events?deviceID=tab&access_token="+token, http.Header{"Last-Event-ID": {"1"}})
	if err != nil || response.StatusCode != http.StatusNoContent {
		p.t.Errorf("a kicked device that merely reconnects gets %v %v, want 204", response, err)
	}
}

// leaves: who is gone may not be shown as ONLINE because a proxy holds on to the stream.
func (p *proxy) leaves() {
	for _, b := range []*browser{p.oldBrowser(), p.browser()} {
		s := b.follow("?access_token="+p.token("dave"), nil)
		s.is("event: READY", "the first event")
		s.cancel()
		explained := struct{ Streams int }{-1}
		for ctx := bounded(p.t); explained.Streams != 0; {
			if err := p.server.Must(ctx, "/v1/admin/explain?userID=dave", server.AdminKey, nil, &explained); err != nil {
				p.t.Fatalf("the server still has a stream of who has left: %v", err)
			}
		}
	}
}

func (p *proxy) bodies() {
	const most = 1 << 20
	for size, want := range map[int]int{most: http.StatusOK, most + 1: http.StatusRequestEntityTooLarge} {
		body := `{"customStatus":"x"`
		body += strings.Repeat(" ", size-len(body)-1) + "}"
		response, err := p.browser().do(http.MethodPost, "/v1/setSelfStatus", http.Header{"Authorization": {"Bearer " + p.token("erin")}}, body)
		if err != nil || response.StatusCode != want {
			p.t.Errorf("a body of %d bytes is answered %v, %v, want %d", size, response, err, want)
		}
	}
}

func (p *proxy) admin() {
	key := http.Header{"Authorization": {"Bearer " + server.AdminKey}}
	elsewhere := p.browser()
	elsewhere.from("127.0.0.2")
	for b, want := range map[*browser]int{p.browser(): http.StatusOK, elsewhere: http.StatusForbidden} {
		response, err := b.get("/v1/admin/stats", key)
		if err != nil || response.StatusCode != want {
			p.t.Errorf("the server API from %s is answered %v %v, want %d", b.address, response, err, want)
		}
	}
}

func (p *proxy) compressed() {
	response, err := p.browser().get("/sdk/presence.js", http.Header{"Accept-Encoding": {"gzip"}})
	if err != nil || response.Header.Get("Content-Encoding") != "gzip" {
		p.t.Errorf("the SDK comes as %v, %v", response, err)
	}
}

// logsNoToken: of requests that were served, that failed, and that the proxy couldn't pass on.
func (p *proxy) logsNoToken() {
	token := p.token("frank")
	b, target := p.browser(), "/v1/events?x=1&access_token="+token+"&y=2"
	from := http.Header{"Referer": {"https://" + name + target}}
	s := b.follow(strings.TrimPrefix(target, "/v1/events"), from)
	s.is("event: READY", "the first event")
	b.get("/v1/subscriptions?access_token="+token, from)
	p.server.Kill() // in the middle of the stream
	s.read()
	response, err := b.get(target, from)
	if err != nil || response.StatusCode != http.StatusBadGateway {
		p.t.Errorf("without a server the proxy answers %v, %v", response, err)
	}
	p.stop() // what it has to say is then written
	logs := p.logs()
	if !strings.Contains(logs, "/v1/events") {
		p.t.Errorf("the requests are not logged:\n%s", logs)
	}
	for part := range strings.SplitSeq(token, ".") {
		if at := strings.Index(logs, part); at >= 0 {
			p.t.Errorf("a token is logged:\n%s", logs[max(0, at-600):at])
			return
		}
	}
}
