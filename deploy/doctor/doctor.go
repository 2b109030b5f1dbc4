// Package doctor measures what lies between a browser and a presence server:
// whether proxies on the way keep events back, compress them, cut streams that
// are silent, or drop what a client sends. For each fault it has the lines of
// nginx, Caddy, Traefik or presence.toml that mend it.
//
// It is a client like any other and needs a token for most of it. While it
// measures, the user of that token is online with one or two web devices, which
// it logs out again.
package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Options say what to measure.
type Options struct {
	// URL is where the service is for its clients: https://chat.example.com,
	// with a path if it is mounted below one.
	URL string

	// Token is of the user to measure with. "": only what needs none is measured.
	Token string

	// Own says that nobody minds what happens to that user's custom status. It
	// is then set, to see how long a change takes, and cleared.
	Own bool

	// Origin is that of a page, such as https://www.example.com, which is to
	// use the service from elsewhere. "": that isn't measured.
	Origin string

	// Patience is how long what should come at once may take. 0: 3 s.
	Patience time.Duration

	// Watch is how long a stream is watched for being cut. 0: until the server
	// has broken the silence once, but no longer than a minute.
	Watch time.Duration

	// Roots are the certificate authorities to trust. Nil: those of the system.
	Roots *x509.CertPool
}

// Verdict is what a finding comes to.
type Verdict string

// The verdicts.
const (
	Good       Verdict = "ok"
	Fault      Verdict = "FAULT"
	Unmeasured Verdict = "?"
)

// Finding is one thing that was looked at.
type Finding struct {
	Check   string // what, in one or two words
	Verdict Verdict
	Found   string // what was seen, or why nothing could be
	Means   string // what users notice; of a fault
	Mend    Mend   // what mends it; of a fault
}

// Report is what was found, in the order in which it was looked at.
type Report struct {
	URL      string
	Proxy    string // what the answers say of the proxy that is nearest, or ""
	Findings []Finding
}

// Worst returns Fault if there is one, else Unmeasured if something could not
// be looked at, else Good.
func (r Report) Worst() Verdict {
	worst := Good
	for _, f := range r.Findings {
		if f.Verdict == Fault {
			return Fault
		}
		if f.Verdict == Unmeasured {
			worst = Unmeasured
		}
	}
	return worst
}

// Examine measures. It fails when the URL is none, or no presence server
// answers there; what else keeps it from measuring is in the report.
func Examine(ctx context.Context, o Options) (Report, error) {
	v, err := newVisit(o)
	if err != nil {
		return Report{}, err
	}
	if err := v.arrive(ctx); err != nil {
		return v.report, err
	}
	v.lookAtHTTPS()
	v.lookAtVersion()
	v.lookAtClock()
	v.lookAtOrigin(ctx)
	if v.Token == "" {
		v.unmeasured("stream", "needs a token: none is given, and none can be made here")
		return v.report, nil
	}
	if v.lookAtHeader(ctx) && v.lookAtQuery(ctx) {
		v.lookAtStream(ctx)
		v.lookAtResume(ctx)
	}
	return v.report, nil
}

// visit is one examination.
type visit struct {
	Options
	base    *url.URL
	client  *http.Client
	inQuery bool // where the token of a stream goes, instead of the header
	report  Report

	// Of the first answer.
	first     *http.Response
	clock     time.Time // here, in the middle between asking and the answer
	untrusted error     // why its certificate isn't trusted
}

// bounds of what isn't said.
const (
	defaultPatience = 3 * time.Second
	longestWatch    = time.Minute
)

func newVisit(o Options) (*visit, error) {
	base, err := url.Parse(strings.TrimRight(o.URL, "/"))
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" || base.RawQuery != "" {
		return nil, fmt.Errorf("%q is no URL like https://chat.example.com", o.URL)
	}
	if o.Patience == 0 {
		o.Patience = defaultPatience
	}
	v := &visit{Options: o, base: base, report: Report{URL: base.String()}}
	v.trust(o.Roots, false)
	return v, nil
}

// trust makes the client. It asks for no compression by itself, and follows no
// redirect: an EventSource would, but the API's calls are none to be sent twice.
func (v *visit) trust(roots *x509.CertPool, anyone bool) {
	v.client = &http.Client{
		Transport: &http.Transport{
			Proxy:              http.ProxyFromEnvironment,
			TLSClientConfig:    &tls.Config{RootCAs: roots, InsecureSkipVerify: anyone},
			ForceAttemptHTTP2:  true,
			DisableCompression: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (v *visit) found(f Finding) { v.report.Findings = append(v.report.Findings, f) }

func (v *visit) good(check, format string, args ...any) {
	v.found(Finding{Check: check, Verdict: Good, Found: fmt.Sprintf(format, args...)})
}

func (v *visit) unmeasured(check, format string, args ...any) {
	v.found(Finding{Check: check, Verdict: Unmeasured, Found: fmt.Sprintf(format, args...)})
}

// arrive makes the first call, which needs no token. A certificate that isn't
// trusted is a finding, and no reason to leave.
func (v *visit) arrive(ctx context.Context) error {
	err := v.knock(ctx)
	if untrusted, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		v.untrusted = untrusted.Err
		v.trust(nil, true)
		err = v.knock(ctx)
	}
	if err != nil {
		return err
	}
	v.report.Proxy = proxyOf(v.first.Header)
	return nil
}

func (v *visit) knock(ctx context.Context) error {
	began := time.Now()
	a, err := v.call(ctx, http.MethodGet, "/livez", nil, nil)
	if err != nil {
		return err
	}
	if a.json == nil || *a.json.Code != 0 {
		return fmt.Errorf("%s/livez answers %s, not as a presence server does", v.base, a.response.Status)
	}
	v.first, v.clock = a.response, began.Add(time.Since(began)/2)
	return nil
}

// proxyOf returns what the head of an answer says of a proxy. The server itself
// says nothing there.
func proxyOf(head http.Header) string {
	for _, name := range []string{"Server", "Via"} {
		if said := head.Get(name); said != "" {
			return said
		}
	}
	return ""
}
