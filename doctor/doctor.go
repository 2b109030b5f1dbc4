// Package doctor finds problems between a browser and a presence server: proxies
// that buffer or compress events, cut silent streams, or remove headers and query
// parameters of a client. For each problem it knows the lines of nginx, Caddy,
// Traefik or presence.toml that fix it. [Examine] is the entry point.
//
// Doctor is an ordinary client of the server, and needs a token for most checks.
// During an examination the user of the token is online with one or two web
// devices, which are logged out at the end.
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

// Options are the parameters of an examination. Only URL is required.
type Options struct {
	// URL is the address of the service for its clients, such as
	// https://chat.example.com, including the path under which it is mounted.
	URL string

	// Token is the token of the user as whom doctor connects. Empty means that
	// only checks that need no token are made.
	Token string

	// Own permits doctor to set and clear the custom status of that user, to
	// measure how long a change takes. Set it only for a user that nobody else
	// uses.
	Own bool

	// Origin is the origin of a page that uses the service from another site,
	// such as https://www.example.com. Empty means that CORS isn't checked.
	Origin string

	// Patience is how long an event that should arrive immediately may take.
	// Zero means 3 seconds.
	Patience time.Duration

	// Watch is how long doctor waits for a silent stream to be cut. Zero means
	// until the first KEEPALIVE, but at most a minute.
	Watch time.Duration

	// Roots are the trusted certificate authorities. Nil means those of the
	// system.
	Roots *x509.CertPool
}

// Verdict is the result of a check.
type Verdict string

// The verdicts.
const (
	Good       Verdict = "ok"
	Problem    Verdict = "PROBLEM"
	Unmeasured Verdict = "?"
)

// Finding is the result of one check, with its explanation.
type Finding struct {
	Check   string // the name of the check, in one or two words
	Verdict Verdict
	Found   string // what was measured, or the reason why it could not be
	Means   string // what users notice; empty unless Verdict is Problem
	Fix     Fix    // the lines that fix it; nil if Verdict isn't Problem, or no lines are known
}

// Report is the result of an examination. Findings are in the order of the checks.
type Report struct {
	URL      string
	Proxy    string // the name that the nearest proxy reports in its responses, or ""
	Findings []Finding
}

// Worst returns Problem if there is a problem, otherwise Unmeasured if a check
// could not be made, and otherwise Good.
func (r Report) Worst() Verdict {
	worst := Good
	for _, f := range r.Findings {
		if f.Verdict == Problem {
			return Problem
		}
		if f.Verdict == Unmeasured {
			worst = Unmeasured
		}
	}
	return worst
}

// Examine makes all checks and returns their findings. It returns an error if the
// URL is malformed, or if no presence server responds there. If a single check
// can't be made, the report contains the reason.
func Examine(ctx context.Context, o Options) (Report, error) {
	v, err := newVisit(o)
	if err != nil {
		return Report{}, err
	}
	if err := v.arrive(ctx); err != nil {
		return v.report, err
	}
	v.checkHTTPS()
	v.checkVersion()
	v.checkClock()
	v.checkOrigin(ctx)
	if v.Token == "" {
		v.unmeasured("stream", "needs a token, but none is given and none can be created here")
		return v.report, nil
	}
	if v.checkHeader(ctx) && v.checkQuery(ctx) {
		v.checkStream(ctx)
		v.checkResume(ctx)
	}
	return v.report, nil
}

// visit is one examination.
type visit struct {
	Options
	base    *url.URL
	client  *http.Client
	inQuery bool // the token of a stream is sent in the query, not in the header
	report  Report

	// These fields are set by the first response.
	first     *http.Response
	clock     time.Time // the local time, midway between the request and the response
	untrusted error     // why its certificate isn't trusted
}

// Defaults of Options.
const (
	defaultPatience = 3 * time.Second
	longestWatch    = time.Minute
)

func newVisit(o Options) (*visit, error) {
	base, err := url.Parse(strings.TrimRight(o.URL, "/"))
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" || base.RawQuery != "" {
		return nil, fmt.Errorf("%q is not a URL such as https://chat.example.com", o.URL)
	}
	if o.Patience == 0 {
		o.Patience = defaultPatience
	}
	v := &visit{Options: o, base: base, report: Report{URL: base.String()}}
	v.trust(o.Roots, false)
	return v, nil
}

// trust creates the HTTP client. The client doesn't request compression by itself,
// and follows no redirects, because calls of the API must not be sent twice.
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

// arrive makes the first call, which needs no token. If the certificate isn't
// trusted, the examination continues, and the report contains the problem.
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
		return fmt.Errorf("%s/livez returned %s, which is not the response of a presence server", v.base, a.response.Status)
	}
	v.first, v.clock = a.response, began.Add(time.Since(began)/2)
	return nil
}

// proxyOf returns the name of a proxy from the header of a response, or "". The
// presence server itself sends none of these fields.
func proxyOf(head http.Header) string {
	for _, name := range []string{"Server", "Via"} {
		if said := head.Get(name); said != "" {
			return said
		}
	}
	return ""
}
