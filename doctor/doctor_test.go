package doctor

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
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/presence-server/presence/deploy/testserver"
)

const page = "https://www.example.com"

var program testserver.Program

func TestMain(m *testing.M) { os.Exit(program.Run(m)) }

// clinic is a presence server to put proxies before.
type clinic struct {
	*testserver.Child
	t *testing.T
}

func newClinic(t *testing.T) *clinic {
	t.Helper()
	c := &clinic{testserver.NewChild(t, program.Path(t), "TIMING__KEEPALIVE=700ms", "CORS__ORIGINS="+page), t}
	c.Start()
	return c
}

// options are those of a run against an address, patient enough for a machine
// that is busy.
func (c *clinic) options(address string) Options {
	c.t.Helper() // a user of its own: another's changes would replace its own before they are sent
	return Options{URL: address, Token: c.TokenOf(c.t.Name()), Own: true, Origin: page, Patience: 10 * time.Second}
}

// examine returns what was found; with impatience the test of what never comes
// is a short one.
func (c *clinic) examine(o Options) Report {
	c.t.Helper()
	report, err := Examine(c.t.Context(), o)
	if err != nil {
		c.t.Fatal(err)
	}
	return report
}

func print(r Report) string {
	var text bytes.Buffer
	r.Print(&text)
	return text.String()
}

// wants compares the checks that found a problem.
func (c *clinic) wants(r Report, problems ...string) {
	c.t.Helper()
	var found []string
	for _, f := range r.Findings {
		if f.Verdict == Problem {
			found = append(found, f.Check)
			if f.Means == "" {
				c.t.Errorf("%s: it isn't told what it means", f.Check)
			}
		}
	}
	if !slices.Equal(found, problems) {
		c.t.Errorf("the problems are %q, want %q\n%s", found, problems, print(r))
	}
	if worst := r.Worst(); (worst == Problem) != (len(problems) > 0) {
		c.t.Errorf("the worst is %q with problems %q", worst, problems)
	}
}

// tells compares parts of what is printed.
func (c *clinic) tells(r Report, parts ...string) {
	c.t.Helper()
	for _, part := range parts {
		if !strings.Contains(print(r), part) {
			c.t.Errorf("not told: %q\n%s", part, print(r))
		}
	}
}

// TestNothingBetween finds no problem, leaves nothing undone, and leaves the user
// as it was.
func TestNothingBetween(t *testing.T) {
	c := newClinic(t)
	r := c.examine(c.options(c.URL + "/"))
	c.wants(r)
	if r.Worst() != Good || len(r.Findings) != 9 {
		t.Errorf("%d findings, and the worst is %q\n%s", len(r.Findings), r.Worst(), print(r))
	}
	if got := c.Status(t.Name()); got != "3" {
		t.Errorf("afterwards the user is %q", got)
	}
	var explained struct{ Devices []any }
	if c.Admin("explain?userID="+t.Name(), nil, &explained); len(explained.Devices) > 0 {
		t.Errorf("afterwards the user has %v", explained.Devices)
	}
}

// TestForeignUser: the custom status of somebody else is left alone.
func TestForeignUser(t *testing.T) {
	c := newClinic(t)
	c.Admin("importUsers", map[string]any{"userIDList": []string{t.Name()}}, nil)
	c.Set(t.Name(), "Do not disturb")
	o := c.options(c.URL)
	o.Own = false
	r := c.examine(o)
	c.wants(r)
	c.tells(r, "ok      buffering")
	if got := c.Status(t.Name()); got != "3 Do not disturb" {
		t.Errorf("the status became %q", got)
	}
}

func TestWithoutToken(t *testing.T) {
	c := newClinic(t)
	o := c.options(c.URL)
	o.Token = ""
	r := c.examine(o)
	if r.Worst() != Unmeasured {
		t.Errorf("the worst is %q\n%s", r.Worst(), print(r))
	}
	o.Token = "no token"
	if r := c.examine(o); r.Worst() != Unmeasured {
		t.Errorf("with a bad token the worst is %q\n%s", r.Worst(), print(r))
	}
}

func TestNoServerThere(t *testing.T) {
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for _, address := range []string{other.URL, gone.URL, "chat.example.com", "ftp://chat.example.com", ""} {
		if r, err := Examine(t.Context(), Options{URL: address, Patience: time.Second}); err == nil {
			t.Errorf("%s: %s", address, print(r))
		}
	}
}

// proxy is a reverse proxy that harms requests and answers.
func (c *clinic) proxy(request func(*http.Request), answer func(*http.Response)) *httputil.ReverseProxy {
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
			if answer != nil {
				answer(r)
			}
			return nil
		},
	}
}

// hoard gives nothing away before its end.
type hoard struct {
	io.ReadCloser
	all io.Reader
}

func (h *hoard) Read(p []byte) (int, error) {
	if h.all == nil {
		text, err := io.ReadAll(h.ReadCloser)
		if err != nil {
			return 0, err
		}
		h.all = bytes.NewReader(text)
	}
	return h.all.Read(p)
}

// firstOnly gives away what comes first, and nothing more.
type firstOnly struct {
	io.ReadCloser
	given bool
}

func (f *firstOnly) Read(p []byte) (int, error) {
	if !f.given {
		f.given = true
		return f.ReadCloser.Read(p)
	}
	return (&hoard{ReadCloser: f.ReadCloser}).Read(p)
}

func isStream(r *http.Response) bool { return r.Request.URL.Path == "/v1/events" }

// TestProxiesThatHarm names each problem alone, and nothing else.
func TestProxiesThatHarm(t *testing.T) {
	c := newClinic(t)
	for name, test := range map[string]struct {
		request  func(*http.Request)
		answer   func(*http.Response)
		wrap     func(http.Handler) http.Handler
		adjust   func(*Options)
		problems []string
		tells    []string
	}{
		"does no harm": {},
		"drops Last-Event-ID": {
			request:  func(r *http.Request) { r.Header.Del("Last-Event-ID") },
			problems: []string{"Last-Event-ID"},
			tells:    []string{"proxy_set_header Last-Event-ID $http_last_event_id;", "header_up Last-Event-ID {http.request.header.Last-Event-ID}"},
		},
		"drops Authorization": {
			request:  func(r *http.Request) { r.Header.Del("Authorization") },
			adjust:   func(o *Options) { o.Own = false },
			problems: []string{"Authorization"},
			tells:    []string{"proxy_set_header Authorization $http_authorization;"},
		},
		"drops the query": {
			request:  func(r *http.Request) { r.URL.RawQuery = "" },
			problems: []string{"access_token"},
			tells:    []string{"ok      buffering", "ok      Last-Event-ID"},
		},
		"drops both": {
			request:  func(r *http.Request) { r.Header.Del("Authorization"); r.URL.RawQuery = "" },
			problems: []string{"Authorization", "access_token"},
		},
		"keeps events back": {
			answer: func(r *http.Response) {
				if isStream(r) {
					r.Body = &hoard{ReadCloser: r.Body}
				}
			},
			adjust:   func(o *Options) { o.Patience = 400 * time.Millisecond },
			problems: []string{"buffering"},
			tells:    []string{"the first event arrived only when the stream ended", "proxy_buffering off;", "response_buffers", "buffering"},
		},
		"keeps all but the first back": {
			answer: func(r *http.Response) {
				if isStream(r) {
					r.Body = &firstOnly{ReadCloser: r.Body}
				}
			},
			adjust:   func(o *Options) { o.Patience = 400 * time.Millisecond },
			problems: []string{"buffering"},
			tells:    []string{"a change of status didn't arrive within"},
		},
		"keeps all but the first back from somebody else": {
			answer: func(r *http.Response) {
				if isStream(r) {
					r.Body = &firstOnly{ReadCloser: r.Body}
				}
			},
			adjust:   func(o *Options) { o.Patience, o.Own = 400*time.Millisecond, false },
			problems: []string{"buffering"},
			tells:    []string{"the server sends KEEPALIVE after 700ms, but nothing arrived for"},
		},
		"ends every answer": {
			wrap: func(h http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					ctx, cancel := context.WithTimeout(r.Context(), 3*time.Second)
					defer cancel()
					h.ServeHTTP(w, r.WithContext(ctx))
				})
			},
			adjust:   func(o *Options) { o.Watch = time.Minute },
			problems: []string{"silence"},
			tells:    []string{"the stream was cut after 3", "writeTimeout: 0s"},
		},
		"has another time": {
			answer: func(r *http.Response) {
				r.Header.Set("Date", time.Now().Add(-time.Minute).UTC().Format(http.TimeFormat))
			},
			problems: []string{"clock"},
			tells:    []string{"timedatectl set-ntp true"},
		},
		"allows origins too": {
			answer:   func(r *http.Response) { r.Header.Add("Access-Control-Allow-Origin", "*") },
			problems: []string{"CORS"},
			tells:    []string{"allows an origin twice"},
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
			tells:    []string{"504 Gateway Timeout, not from the server"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := *c
			c.t = t
			var handler http.Handler = c.proxy(test.request, test.answer)
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
			c.tells(r, test.tells...)
		})
	}
}

func TestOriginNotAllowed(t *testing.T) {
	c := newClinic(t)
	o := c.options(c.URL)
	o.Token, o.Origin = "", "https://other.example.com"
	r := c.examine(o)
	c.wants(r, "CORS")
	c.tells(r, `origins = ["https://other.example.com"]`)
	o.Origin = c.URL
	c.wants(c.examine(o))
}

// TestHTTPS: as it should be, over HTTP/1.1 only, and with a certificate that
// no browser trusts.
func TestHTTPS(t *testing.T) {
	c := newClinic(t)
	for _, version2 := range []bool{true, false} {
		server := httptest.NewUnstartedServer(c.proxy(nil, nil))
		server.EnableHTTP2 = version2
		server.Config.ErrorLog = nil
		server.StartTLS()
		defer server.Close()
		roots := x509.NewCertPool()
		roots.AddCert(server.Certificate())
		o := c.options(server.URL)
		o.Roots = roots
		if version2 {
			c.wants(c.examine(o))
			continue
		}
		r := c.examine(o)
		c.wants(r, "HTTP version")
		c.tells(r, "listen 443 ssl http2;", "alpnProtocols", `cert = "/path/of/the/certificate.pem"`)
		o.Roots = nil
		r = c.examine(o)
		c.wants(r, "HTTPS", "HTTP version")
		c.tells(r, "unknown authority", "fullchain.pem")
	}
}

// TestFindingsOfAHead are those that need another name or another time.
func TestFindingsOfAHead(t *testing.T) {
	ending := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{NotAfter: time.Now().Add(24 * time.Hour)}}}
	for name, test := range map[string]struct {
		address string
		state   *tls.ConnectionState
		want    Verdict
	}{
		"not encrypted":      {"http://chat.example.com", nil, Problem},
		"on this machine":    {"http://localhost:8080", nil, Good},
		"on this machine v6": {"http://[::1]:8080", nil, Good},
		"ends tomorrow":      {"https://chat.example.com", ending, Problem},
	} {
		v, err := newVisit(Options{URL: test.address})
		if err != nil {
			t.Fatal(err)
		}
		v.first = &http.Response{TLS: test.state}
		v.checkHTTPS()
		if got := v.report.Worst(); got != test.want {
			t.Errorf("%s: %q, want %q\n%s", name, got, test.want, print(v.report))
		}
	}
}
