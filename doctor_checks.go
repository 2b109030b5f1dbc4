package main

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/presence-server/presence/httpapi"
)

// renewalTime is the remaining validity below which a certificate should already have
// been renewed.
const renewalTime = 14 * 24 * time.Hour

func (d *doctor) checkHTTPS() {
	const check = "HTTPS"
	if d.first.TLS == nil {
		if d.isLocal() {
			d.good(check, "none, but the address is on this machine; repeat with the address that browsers use")
			return
		}
		d.problem(check, "not available", "Others on the network can read and change tokens and statuses, and a browser "+
			"opens at most six streams in all its tabs together.", fixHTTPS)
		return
	}
	ends := d.first.TLS.PeerCertificates[0].NotAfter
	switch left := time.Until(ends); {
	case d.untrusted != nil:
		d.problem(check, d.untrusted.Error(), "Browsers refuse to connect.", fixCertificate)
	case left < renewalTime:
		d.problem(check, "the certificate expires at "+ends.UTC().Format(time.RFC3339), "Browsers refuse to connect from then on.", fixCertificate)
	default:
		d.good(check, "the certificate is valid for %d days", int(left.Hours()/24))
	}
}

func (d *doctor) isLocal() bool {
	ip := net.ParseIP(d.base.Hostname())
	return d.base.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// checkVersion checks HTTPS only, because browsers use HTTP/2 only over TLS.
func (d *doctor) checkVersion() {
	const check = "HTTP version"
	switch {
	case d.first.TLS == nil:
	case d.first.ProtoMajor < 2:
		d.problem(check, d.first.Proto, "A browser opens at most six connections to a host. After six tabs have "+
			"opened a stream each, a seventh tab and all calls wait forever.", fixVersion)
	default:
		d.good(check, "%s", d.first.Proto)
	}
}

// maxSkew is the difference between two clocks above which tokens may not work. The
// server rejects tokens that were issued more than a minute ahead, and tokens that
// were issued before a kick.
const maxSkew = 10 * time.Second

func (d *doctor) checkClock() {
	const check = "clock"
	date, err := http.ParseTime(d.first.Header.Get("Date"))
	if err != nil {
		d.unmeasured(check, "the response has no Date header")
		return
	}
	skew := date.Add(time.Second / 2).Sub(d.clock) // a Date is truncated to seconds
	if skew.Abs() <= maxSkew {
		d.good(check, "differs from that of this machine by at most %s", maxSkew)
		return
	}
	d.problem(check, "the server's clock is at "+date.UTC().Format(time.RFC3339)+", that of this machine at "+
		d.clock.UTC().Format(time.RFC3339), "Tokens that are issued on one of them are rejected on the other as expired or not "+
		"yet valid, or remain valid after a kick.", fixClock)
}

// checkOrigin makes the requests that a browser makes before a page of another origin
// may call the API.
func (d *doctor) checkOrigin(ctx context.Context) {
	const check = "CORS"
	if d.origin == "" {
		return
	}
	if d.origin == d.base.Scheme+"://"+d.base.Host {
		d.good(check, "not needed: %s is the origin of the service itself", d.origin)
		return
	}
	before, err := d.call(ctx, http.MethodOptions, "/v1/setSelfStatus", http.Header{
		"Origin": {d.origin}, "Access-Control-Request-Method": {http.MethodPost},
		"Access-Control-Request-Headers": {"authorization,content-type"},
	}, nil)
	if err != nil {
		d.unmeasured(check, "%s", err)
		return
	}
	itself, err := d.call(ctx, http.MethodGet, "/livez", http.Header{"Origin": {d.origin}}, nil)
	if err != nil {
		d.unmeasured(check, "%s", err)
		return
	}
	const means = "Pages of this origin can't use the service, because browsers don't let them read the responses."
	for _, r := range []apiResponse{before, itself} {
		allowed := r.http.Header.Values("Access-Control-Allow-Origin")
		switch {
		case len(allowed) == 1 && (allowed[0] == d.origin || allowed[0] == "*") && r.http.StatusCode < 300:
		case len(allowed) > 1 || len(allowed) == 1 && strings.Contains(allowed[0], ","):
			d.problem(check, "the response allows an origin twice: "+strings.Join(allowed, " and "), means, fixTwice)
			return
		default:
			d.problem(check, d.origin+" is not allowed", means, fixOrigin(d.origin))
			return
		}
	}
	if allows := before.http.Header.Get("Access-Control-Allow-Headers"); !strings.Contains(strings.ToLower(allows), "authorization") {
		d.problem(check, "the Authorization header is not allowed", means, fixTwice)
		return
	}
	d.good(check, "%s is allowed", d.origin)
}

// checkHeader checks that the server receives a token in the header. It returns false
// if no check that needs the token can follow.
func (d *doctor) checkHeader(ctx context.Context) bool {
	const check = "Authorization"
	r, err := d.call(ctx, http.MethodGet, "/v1/subscriptions", d.bearer(), nil)
	switch {
	case err != nil:
		d.unmeasured(check, "%s", err)
		return false
	case r.code() == 0:
		d.good(check, "the server receives the header")
	case r.code() == int(httpapi.CodeNoToken):
		d.problem(check, "the server doesn't receive the header", "Every call is rejected because it has no token.", fixHeader("Authorization"))
	case r.json == nil:
		d.problem(check, r.describe(), "A proxy responds to calls instead of the server.", nil)
	default:
		d.unmeasured(check, "the server rejects the token: %s", r.describe())
		return false
	}
	return true
}

// browserEncodings are the content encodings that browsers accept.
const browserEncodings = "gzip, deflate, br, zstd"

// checkQuery opens a stream as an EventSource does, and checks its header. It
// returns false if no stream can be opened at all.
func (d *doctor) checkQuery(ctx context.Context) bool {
	const check = "access_token"
	d.inQuery = true
	head, err := d.headOfStream(ctx)
	if rejected, ok := errors.AsType[*rejection](err); ok && rejected.code() == int(httpapi.CodeNoToken) {
		d.problem(check, "the server doesn't receive the query", "An EventSource can't open a stream, because it can send its token only in the query.", fixQuery)
		d.inQuery = false
		head, err = d.headOfStream(ctx)
	} else if err == nil {
		d.good(check, "the server receives the query; make sure that no proxy logs it")
	}
	if err != nil {
		d.checkRejection(err)
		return false
	}
	d.checkEncoding(head)
	return true
}

func (d *doctor) headOfStream(ctx context.Context) (*http.Response, error) {
	s := d.follow(ctx, streamRequest{encodings: browserEncodings, inQuery: d.inQuery})
	defer s.close(ctx)
	a, _ := s.coming(ctx, isHead)
	if a.head == nil {
		return nil, cmp.Or(a.err, errors.New("no response arrived, not even when the stream had ended"))
	}
	return a.head, nil
}

func (d *doctor) checkRejection(err error) {
	if rejected, ok := errors.AsType[*rejection](err); ok && rejected.json != nil {
		d.unmeasured("stream", "the server rejects it: %s", err)
		return
	}
	d.problem("stream", err.Error(), "Nobody receives any change of status.", nil)
}

func (d *doctor) checkEncoding(head *http.Response) {
	const means = "A compressor waits until it has enough data, so changes arrive late or in bursts. It also needs memory for each stream."
	switch encoding, kind := head.Header.Get("Content-Encoding"), head.Header.Get("Content-Type"); {
	case encoding != "":
		d.problem("compression", "the stream is compressed with "+encoding, means, fixCompression)
	case !strings.HasPrefix(kind, "text/event-stream"):
		d.problem("compression", "the stream has the content type "+kind, "An EventSource rejects it.", nil)
	default:
		d.good("compression", "the stream is not compressed")
	}
}
