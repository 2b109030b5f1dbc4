package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/presence-server/presence/deploy/testserver"
)

// pageOrigin is an origin that the server allows.
const pageOrigin = "https://www.example.com"

// doctorTest is a presence server that proxies are put in front of.
type doctorTest struct {
	*testserver.Child
	t *testing.T
}

func newDoctorTest(t *testing.T) *doctorTest {
	t.Helper()
	c := &doctorTest{testserver.NewChild(t, program.Path(t), "TIMING__KEEPALIVE=700ms", "CORS__ORIGINS="+pageOrigin), t}
	c.Start()
	return c
}

// options returns the options for an address, with a timeout that is long enough for a
// busy machine.
func (c *doctorTest) options(address string) doctorOptions {
	c.t.Helper() // a user of its own, because changes of another test would replace its changes before they are sent
	return doctorOptions{url: address, token: c.TokenOf(c.t.Name()), own: true, origin: pageOrigin, patience: 10 * time.Second}
}

// examine returns the report of an examination that trusts the given certificate
// authorities; nil means those of the system.
func (c *doctorTest) examine(o doctorOptions, roots ...*x509.CertPool) doctorReport {
	c.t.Helper()
	d, err := newDoctor(o)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, pool := range roots {
		d.trust(&tls.Config{RootCAs: pool})
	}
	report, err := d.examine(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	return report
}

func printed(r doctorReport) string {
	var text bytes.Buffer
	r.print(&text)
	return text.String()
}

// wants checks which checks found a problem.
func (c *doctorTest) wants(r doctorReport, problems ...string) {
	c.t.Helper()
	var found []string
	for _, f := range r.findings {
		if f.verdict == verdictProblem {
			found = append(found, f.check)
			if f.means == "" {
				c.t.Errorf("%s: the report doesn't explain the problem", f.check)
			}
		}
	}
	if !slices.Equal(found, problems) {
		c.t.Errorf("the problems are %q, want %q\n%s", found, problems, printed(r))
	}
	if worst := r.worst(); (worst == verdictProblem) != (len(problems) > 0) {
		c.t.Errorf("the worst is %q with problems %q", worst, problems)
	}
}

// prints checks that the printed report contains the parts.
func (c *doctorTest) prints(r doctorReport, parts ...string) {
	c.t.Helper()
	for _, part := range parts {
		if !strings.Contains(printed(r), part) {
			c.t.Errorf("not printed: %q\n%s", part, printed(r))
		}
	}
}

// TestDoctorFindsNothing checks that without a proxy there is no problem, that all
// checks are made, and that the user is left unchanged.
func TestDoctorFindsNothing(t *testing.T) {
	c := newDoctorTest(t)
	r := c.examine(c.options(c.URL + "/"))
	c.wants(r)
	if r.worst() != verdictGood || len(r.findings) != 9 {
		t.Errorf("%d findings, and the worst is %q\n%s", len(r.findings), r.worst(), printed(r))
	}
	if got := c.Status(t.Name()); got != "3" {
		t.Errorf("afterwards the user is %q", got)
	}
	var explained struct{ Devices []any }
	if c.Admin("explain?userID="+t.Name(), nil, &explained); len(explained.Devices) > 0 {
		t.Errorf("afterwards the user has %v", explained.Devices)
	}
}

// TestDoctorOfAnotherUser checks that the custom status of another user isn't changed.
func TestDoctorOfAnotherUser(t *testing.T) {
	c := newDoctorTest(t)
	c.Admin("importUsers", map[string]any{"userIDList": []string{t.Name()}}, nil)
	c.Set(t.Name(), "Do not disturb")
	o := c.options(c.URL)
	o.own = false
	r := c.examine(o)
	c.wants(r)
	c.prints(r, "ok      buffering")
	if got := c.Status(t.Name()); got != "3 Do not disturb" {
		t.Errorf("the status became %q", got)
	}
}

func TestDoctorWithoutToken(t *testing.T) {
	c := newDoctorTest(t)
	o := c.options(c.URL)
	o.token = ""
	r := c.examine(o)
	if r.worst() != verdictUnmeasured {
		t.Errorf("the worst is %q\n%s", r.worst(), printed(r))
	}
	o.token = "no token"
	if r := c.examine(o); r.worst() != verdictUnmeasured {
		t.Errorf("with a bad token the worst is %q\n%s", r.worst(), printed(r))
	}
}

func TestDoctorWithoutServer(t *testing.T) {
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for _, address := range []string{other.URL, gone.URL, "chat.example.com", "ftp://chat.example.com", ""} {
		d, err := newDoctor(doctorOptions{url: address, patience: time.Second})
		if err == nil {
			_, err = d.examine(t.Context())
		}
		if err == nil {
			t.Errorf("%s: %s", address, printed(d.report))
		}
	}
}

// proxy returns a reverse proxy that changes requests and responses.
func (c *doctorTest) proxy(request func(*http.Request), response func(*http.Response)) *httputil.ReverseProxy {
	upstream, err := url.Parse(c.URL)
	if err != nil {
		c.t.Fatal(err)
	}
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(upstream)
			if request != nil {
				request(r.Out)
			}
		},
		ModifyResponse: func(r *http.Response) error {
			if response != nil {
				response(r)
			}
			return nil
		},
	}
}

// heldBack is a body that can only be read once it has ended.
type heldBack struct {
	io.ReadCloser
	all io.Reader
}

func (h *heldBack) Read(p []byte) (int, error) {
	if h.all == nil {
		text, err := io.ReadAll(h.ReadCloser)
		if err != nil {
			return 0, err
		}
		h.all = bytes.NewReader(text)
	}
	return h.all.Read(p)
}

// firstOnly is a body of which only the first event can be read before its end.
type firstOnly struct {
	io.ReadCloser
	given bool
}

func (f *firstOnly) Read(p []byte) (int, error) {
	if !f.given {
		f.given = true
		return f.ReadCloser.Read(p)
	}
	return (&heldBack{ReadCloser: f.ReadCloser}).Read(p)
}

func isStream(r *http.Response) bool { return r.Request.URL.Path == "/v1/events" }

// TestDoctorOfProxies checks that the problem that a proxy causes is reported, and no
// other.
func TestDoctorOfProxies(t *testing.T) {
	c := newDoctorTest(t)
	for name, test := range map[string]struct {
		request  func(*http.Request)
		response func(*http.Response)
		wrap     func(http.Handler) http.Handler
		adjust   func(*doctorOptions)
		problems []string
		prints   []string
	}{
		"does no harm": {},
		"drops Last-Event-ID": {
			request:  func(r *http.Request) { r.Header.Del("Last-Event-ID") },
			problems: []string{"Last-Event-ID"},
			prints:   []string{"proxy_set_header Last-Event-ID $http_last_event_id;", "header_up Last-Event-ID {http.request.header.Last-Event-ID}"},
		},
		"drops Authorization": {
			request:  func(r *http.Request) { r.Header.Del("Authorization") },
			adjust:   func(o *doctorOptions) { o.own = false },
			problems: []string{"Authorization"},
			prints:   []string{"proxy_set_header Authorization $http_authorization;"},
		},
		"drops the query": {
			request:  func(r *http.Request) { r.URL.RawQuery = "" },
			problems: []string{"access_token"},
			prints:   []string{"ok      buffering", "ok      Last-Event-ID"},
		},
		"drops both": {
			request:  func(r *http.Request) { r.Header.Del("Authorization"); r.URL.RawQuery = "" },
			problems: []string{"Authorization", "access_token"},
		},
		"holds events back": {
			response: func(r *http.Response) {
				if isStream(r) {
					r.Body = &heldBack{ReadCloser: r.Body}
				}
			},
			adjust:   func(o *doctorOptions) { o.patience = 400 * time.Millisecond },
			problems: []string{"buffering"},
			prints:   []string{"the first event arrived only when the stream ended", "proxy_buffering off;", "response_buffers", "buffering"},
		},
		"holds back all but the first event": {
			response: func(r *http.Response) {
				if isStream(r) {
					r.Body = &firstOnly{ReadCloser: r.Body}
				}
			},
			adjust:   func(o *doctorOptions) { o.patience = 400 * time.Millisecond },
			problems: []string{"buffering"},
			prints:   []string{"a change of status didn't arrive within"},
		},
		"holds back all but the first event of other users": {
			response: func(r *http.Response) {
				if isStream(r) {
					r.Body = &firstOnly{ReadCloser: r.Body}
				}
			},
			adjust:   func(o *doctorOptions) { o.patience, o.own = 400*time.Millisecond, false },
			problems: []string{"buffering"},
			prints:   []string{"the server sends KEEPALIVE after 700ms, but nothing arrived for"},
		},
		"ends every response": {
			wrap: func(h http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					ctx, cancel := context.WithTimeout(r.Context(), 3*time.Second)
					defer cancel()
					h.ServeHTTP(w, r.WithContext(ctx))
				})
			},
			adjust:   func(o *doctorOptions) { o.watch = time.Minute },
			problems: []string{"silence"},
			prints:   []string{"the stream was cut after 3", "writeTimeout: 0s"},
		},
		"has a wrong clock": {
			response: func(r *http.Response) {
				r.Header.Set("Date", time.Now().Add(-time.Minute).UTC().Format(http.TimeFormat))
			},
			problems: []string{"clock"},
			prints:   []string{"timedatectl set-ntp true"},
		},
		"allows origins too": {
			response: func(r *http.Response) { r.Header.Add("Access-Control-Allow-Origin", "*") },
			problems: []string{"CORS"},
			prints:   []string{"allows an origin twice"},
		},
		"answers itself": {
			wrap: func(h http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/v1/events" {
						http.Error(w, "upstream timed out", http.StatusGatewayTimeout)
						return
					}
					h.ServeHTTP(w, r)
				})
			},
			problems: []string{"stream"},
			prints:   []string{"504 Gateway Timeout, not from the server"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := *c
			c.t = t
			var handler http.Handler = c.proxy(test.request, test.response)
			if test.wrap != nil {
				handler = test.wrap(handler)
			}
			server := httptest.NewServer(handler)
			defer server.Close()
			o := c.options(server.URL)
			if test.adjust != nil {
				test.adjust(&o)
			}
			r := c.examine(o)
			c.wants(r, test.problems...)
			c.prints(r, test.prints...)
		})
	}
}

func TestDoctorOfOrigin(t *testing.T) {
	c := newDoctorTest(t)
	o := c.options(c.URL)
	o.token, o.origin = "", "https://other.example.com"
	r := c.examine(o)
	c.wants(r, "CORS")
	c.prints(r, `origins = ["https://other.example.com"]`)
	o.origin = c.URL
	c.wants(c.examine(o))
}

// TestDoctorOfHTTPS covers HTTPS without a problem, HTTP/1.1 only, and a certificate
// that browsers don't trust.
func TestDoctorOfHTTPS(t *testing.T) {
	c := newDoctorTest(t)
	for _, version2 := range []bool{true, false} {
		server := httptest.NewUnstartedServer(c.proxy(nil, nil))
		server.EnableHTTP2 = version2
		server.Config.ErrorLog = nil
		server.StartTLS()
		defer server.Close()
		roots := x509.NewCertPool()
		roots.AddCert(server.Certificate())
		o := c.options(server.URL)
		if version2 {
			c.wants(c.examine(o, roots))
			continue
		}
		r := c.examine(o, roots)
		c.wants(r, "HTTP version")
		c.prints(r, "listen 443 ssl http2;", "alpnProtocols", `cert = "/path/of/the/certificate.pem"`)
		r = c.examine(o)
		c.wants(r, "HTTPS", "HTTP version")
		c.prints(r, "unknown authority", "fullchain.pem")
	}
}

// TestDoctorOfHead covers findings that depend on the name or the time.
func TestDoctorOfHead(t *testing.T) {
	ending := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{NotAfter: time.Now().Add(24 * time.Hour)}}}
	for name, test := range map[string]struct {
		address string
		state   *tls.ConnectionState
		want    verdict
	}{
		"not encrypted":      {"http://chat.example.com", nil, verdictProblem},
		"on this machine":    {"http://localhost:8080", nil, verdictGood},
		"on this machine v6": {"http://[::1]:8080", nil, verdictGood},
		"ends tomorrow":      {"https://chat.example.com", ending, verdictProblem},
	} {
		d, err := newDoctor(doctorOptions{url: test.address})
		if err != nil {
			t.Fatal(err)
		}
		d.first = &http.Response{TLS: test.state}
		d.checkHTTPS()
		if got := d.report.worst(); got != test.want {
			t.Errorf("%s: %q, want %q\n%s", name, got, test.want, printed(d.report))
		}
	}
}
