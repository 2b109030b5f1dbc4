package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
	"golang.org/x/net/idna"
)

// acmeCertificates are certificates that an ACME server issues, one for each domain.
// autocert renews them a month before they expire, or when a third of their life is
// left, and stores them in a folder.
type acmeCertificates struct {
	manager *autocert.Manager
	domains []string
	listen  string // where HTTP challenges are answered; "" means nowhere
	log     *slog.Logger
	expiry  atomic.Pointer[time.Time] // of the first to expire; nil means that one is missing
}

// acmeInterval is how often the server checks that there is a certificate for each
// domain, and requests those that are missing. Let's Encrypt tolerates 5 failures an
// hour.
const acmeInterval = 20 * time.Minute

func (c *config) openACME(log *slog.Logger) *acmeCertificates {
	return &acmeCertificates{domains: c.TLS.ACMEDomains, listen: c.TLS.ACMEListen, log: log, manager: &autocert.Manager{
		Prompt:     autocert.AcceptTOS,
		Cache:      autocert.DirCache(c.acmeFolder()),
		HostPolicy: autocert.HostWhitelist(c.TLS.ACMEDomains...),
		Email:      c.TLS.ACMEEmail,
		Client:     &acme.Client{DirectoryURL: c.TLS.ACMEURL, UserAgent: "presence/" + version},
	}}
}

// acmeFolder returns where the account key and the certificates are stored. The file of
// a certificate has the name of its domain.
func (c *config) acmeFolder() string { return c.Database.Path + ".acme" }

func (v *acmeCertificates) tlsConfig() *tls.Config { return v.manager.TLSConfig() }

func (v *acmeCertificates) expires() time.Time {
	if at := v.expiry.Load(); at != nil {
		return *at
	}
	return time.Time{}
}

// use does nothing, because these certificates are not in the files of tls.cert and
// tls.key.
func (v *acmeCertificates) use(string, string) error { return nil }

func (v *acmeCertificates) start() (stop func(), err error) {
	if err := v.checkFolder(); err != nil {
		return nil, fmt.Errorf("certificates can't be stored next to the database: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	v.manager.Client.HTTPClient = &http.Client{Transport: untilDone{ctx}}
	closeHTTP := func() {}
	if v.listen != "" {
		l, err := listenTCP("tls.acme_listen", v.listen)
		if err != nil {
			cancel()
			return nil, fmt.Errorf(`%w; or set tls.acme_listen to "": challenges over TLS suffice`, err)
		}
		web := serveOn([]net.Listener{l}, nil, v.log)
		web.show(withoutPort(v.manager.HTTPHandler(nil))) // redirects everything else to HTTPS
		closeHTTP = web.close
		v.log.Info("answering ACME challenges", "url", web.url())
	}
	var running sync.WaitGroup
	running.Go(func() { v.watch(ctx) })
	return func() {
		cancel()
		running.Wait()
		closeHTTP()
	}, nil
}

// checkFolder returns an error if nothing can be stored in the folder. autocert would
// ignore that, and ask for new certificates at each start, which Let's Encrypt limits.
func (v *acmeCertificates) checkFolder() error {
	const name = "writable"
	cache := v.manager.Cache
	if err := cache.Put(context.Background(), name, nil); err != nil {
		return err
	}
	return cache.Delete(context.Background(), name)
}

// withoutPort removes the port from the host of a request. autocert answers only for
// domains, and what forwards port 80 to another port may name that.
func withoutPort(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if host, _, err := net.SplitHostPort(r.Host); err == nil {
			r.Host = host
		}
		h.ServeHTTP(w, r)
	})
}

// watch requests the certificates that are missing, immediately and then regularly,
// until ctx is done. Without it the first visitor would have to wait, and the operator
// would not learn of an error.
func (v *acmeCertificates) watch(ctx context.Context) {
	tick := time.NewTicker(acmeInterval)
	defer tick.Stop()
	for {
		v.refresh(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// refresh requests the certificates that are missing, and stores when the first one
// expires.
func (v *acmeCertificates) refresh(ctx context.Context) {
	var first *time.Time
	missing := false
	for _, domain := range v.domains {
		cert, err := v.manager.GetCertificate(helloTo(domain))
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			missing = true
			v.log.Error("there is no certificate yet: "+whatToDo(err), "domain", domain, "retry", acmeInterval, "error", err)
		case first == nil || cert.Leaf.NotAfter.Before(*first):
			first = &cert.Leaf.NotAfter
		}
	}
	if missing {
		first = nil
	} else if before := v.expiry.Load(); before == nil || !before.Equal(*first) {
		v.log.Info("certificates are ready", "domains", v.domains, "expires", *first)
	}
	v.expiry.Store(first)
}

// whatToDo returns what the operator can do about an error of autocert.
func whatToDo(err error) string {
	var unreachable *url.Error
	var refused *acme.Error
	switch {
	case errors.As(err, &unreachable):
		return "this server can't reach the ACME server; check tls.acme_url and the network"
	case errors.As(err, &refused):
		return "the ACME server refused it, for the reason in error"
	}
	return "the ACME server must reach this server under this name, on port 443 or 80"
}

// helloTo returns what a browser sends to this host. All browsers accept ECDSA.
func helloTo(host string) *tls.ClientHelloInfo {
	return &tls.ClientHelloInfo{
		ServerName:       host,
		SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256},
		SupportedCurves:  []tls.CurveID{tls.CurveP256},
		CipherSuites:     []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
	}
}

// untilDone is a transport whose requests end when ctx is done. autocert knows of no
// context that would end its work when the server stops.
type untilDone struct{ ctx context.Context }

// RoundTrip makes a request.
func (t untilDone) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(t.ctx)
	context.AfterFunc(r.Context(), cancel) // autocert ends each of its contexts
	return http.DefaultTransport.RoundTrip(r.WithContext(ctx))
}

// hostNames are the names of hosts, in any language.
var hostNames = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(true), idna.VerifyDNSLength(true))

// checkACME returns the key and the value that are wrong, and why, and brings domains
// into the form that clients send. Without a domain, nothing is wrong.
func (c *config) checkACME(dev bool) (key string, value any, reason string) {
	t := &c.TLS
	if len(t.ACMEDomains) == 0 {
		return "", nil, ""
	}
	for i, domain := range t.ACMEDomains {
		ascii, err := hostNames.ToASCII(strings.TrimSuffix(domain, "."))
		if err != nil || net.ParseIP(ascii) != nil || !strings.Contains(ascii, ".") {
			return "tls.acme_domains", domain, `must be the name of a host, such as "presence.example.com"`
		}
		t.ACMEDomains[i] = ascii
	}
	u, err := url.Parse(t.ACMEURL)
	switch {
	case dev:
		return "tls.acme_domains", t.ACMEDomains, "is not possible with -dev, which is on loopback"
	case t.Cert != "" || t.Key != "":
		return "tls.acme_domains", t.ACMEDomains, "is not possible together with tls.cert or tls.key: remove either"
	case t.ACMEURL != "" && (err != nil || u.Scheme != "https" || u.Host == ""):
		return "tls.acme_url", t.ACMEURL, "must be an https:// URL, or empty for Let's Encrypt"
	case t.ACMEListen != "" && !isAddress(t.ACMEListen):
		return "tls.acme_listen", t.ACMEListen, `must be host:port, such as ":80", or empty`
	}
	return "", nil, ""
}
