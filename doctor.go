package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

const helpDoctor = `Measures what lies between browsers and the server, as a browser would: URL is
the address that they use. For each problem it prints the lines that fix it.

It needs a token. By default it creates one for the user presence-doctor, if the
secret of the server is on this machine (see presence token -h). That user stays
registered; nobody watches it. With -token it is online as that user for about
20 seconds, with one more web device at a time, and logs out again.

Exit code: 0 all is good, 1 there are problems, 2 something could not be measured, or misused.`

func startDoctor(set *flag.FlagSet) action {
	var o doctorOptions
	set.StringVar(&o.token, "token", "", "measure with this `TOKEN`")
	set.StringVar(&o.origin, "origin", "", "measure whether pages of this `ORIGIN` may use the server, such as https://www.example.com")
	set.DurationVar(&o.patience, "patience", 3*time.Second, "how long an event that should arrive immediately may take: a `TIME`")
	set.DurationVar(&o.watch, "watch", 0, "watch a stream for this `TIME` (default until the server has broken the silence, at most 1m)")
	return func(ctx context.Context, read reader, operands []string) error {
		if o.patience <= 0 || o.watch < 0 {
			return misused(set, errors.New("-patience and -watch must be more than 0"))
		}
		if o.token == "" {
			c, err := read("auth.secret", "auth.secret_file", "database.path")
			if err != nil {
				return failure{err, misuse}
			}
			o.token, err = c.issue("presence-doctor", o.watch+10*time.Minute)
			o.own = err == nil
		}
		o.url = operands[0]
		d, err := newDoctor(o)
		if err != nil {
			return failure{err, misuse}
		}
		report, err := d.examine(ctx)
		if err != nil {
			return failure{err, misuse}
		}
		if err := report.print(os.Stdout); err != nil {
			return err
		}
		switch report.worst() {
		case verdictProblem:
			return errors.New("there are problems")
		case verdictUnmeasured:
			return failure{errors.New("not everything could be measured"), misuse}
		}
		return nil
	}
}

// doctorOptions are the parameters of an examination. url and patience are required.
type doctorOptions struct {
	// url is the address of the service for its clients, such as
	// https://chat.example.com, including the path under which it is mounted.
	url string

	// token is the token of the user as whom the doctor connects. Empty means that
	// only checks that need no token are made.
	token string

	// own permits the doctor to set and clear the custom status of that user, to
	// measure how long a change takes. Set it only for a user that nobody else
	// uses.
	own bool

	// origin is the origin of a page that uses the service from another site,
	// such as https://www.example.com. Empty means that CORS isn't checked.
	origin string

	// patience is how long an event that should arrive immediately may take.
	patience time.Duration

	// watch is how long the doctor waits for a silent stream to be cut. Zero means
	// until the first KEEPALIVE, but at most a minute.
	watch time.Duration
}

// doctor finds problems between a browser and a presence server: proxies that buffer
// or compress events, cut silent streams, or remove headers and query parameters of a
// client. For each problem it knows the lines of nginx, Caddy, Traefik or
// presence.toml that fix it. A doctor makes one examination.
//
// It is an ordinary client of the server, and needs a token for most checks. During
// an examination the user of the token is online with one or two web devices, which
// are logged out at the end.
type doctor struct {
	doctorOptions
	base    *url.URL
	client  *http.Client
	inQuery bool // the token of a stream is sent in the query, not in the header
	report  doctorReport

	// These fields are set by the first response.
	first     *http.Response
	clock     time.Time // the local time, midway between the request and the response
	untrusted error     // why its certificate isn't trusted
}

// newDoctor returns an error if the URL is malformed. The doctor trusts the
// certificate authorities of the system.
func newDoctor(o doctorOptions) (*doctor, error) {
	base, err := url.Parse(strings.TrimRight(o.url, "/"))
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" || base.RawQuery != "" {
		return nil, fmt.Errorf("%q is not a URL such as https://chat.example.com", o.url)
	}
	d := &doctor{doctorOptions: o, base: base, report: doctorReport{url: base.String()}}
	d.trust(&tls.Config{})
	return d, nil
}

// trust creates the HTTP client. The client doesn't request compression by itself,
// and follows no redirects, because calls of the API must not be sent twice.
func (d *doctor) trust(trusted *tls.Config) {
	d.client = &http.Client{
		Transport: &http.Transport{
			Proxy:              http.ProxyFromEnvironment,
			TLSClientConfig:    trusted,
			ForceAttemptHTTP2:  true,
			DisableCompression: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// examine makes all checks and returns their findings. It returns an error if no
// presence server responds at the URL. If a single check can't be made, the report
// contains the reason.
func (d *doctor) examine(ctx context.Context) (doctorReport, error) {
	if err := d.connect(ctx); err != nil {
		return d.report, err
	}
	d.checkHTTPS()
	d.checkVersion()
	d.checkClock()
	d.checkOrigin(ctx)
	if d.token == "" {
		d.unmeasured("stream", "needs a token, but none is given and none can be created here")
		return d.report, nil
	}
	if d.checkHeader(ctx) && d.checkQuery(ctx) {
		d.checkStream(ctx)
		d.checkResume(ctx)
	}
	return d.report, nil
}

// connect makes the first call, which needs no token. If the certificate isn't
// trusted, the examination continues, and the report contains the problem.
func (d *doctor) connect(ctx context.Context) error {
	err := d.askLive(ctx)
	if untrusted, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		d.untrusted = untrusted.Err
		d.trust(&tls.Config{InsecureSkipVerify: true})
		err = d.askLive(ctx)
	}
	if err != nil {
		return err
	}
	d.report.proxy = proxyOf(d.first.Header)
	return nil
}

func (d *doctor) askLive(ctx context.Context) error {
	began := time.Now()
	r, err := d.call(ctx, http.MethodGet, "/livez", nil, nil)
	if err != nil {
		return err
	}
	if r.code() != 0 {
		return fmt.Errorf("%s/livez returned %s, which is not the response of a presence server", d.base, r.http.Status)
	}
	d.first, d.clock = r.http, began.Add(time.Since(began)/2)
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
