package doctor

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"
)

func (v *visit) problem(check, found, means string, fix Fix) {
	v.found(Finding{Check: check, Verdict: Problem, Found: found, Means: means, Fix: fix})
}

// soon is the remaining validity below which a certificate should already have been
// renewed.
const soon = 14 * 24 * time.Hour

func (v *visit) checkHTTPS() {
	const check = "HTTPS"
	if v.first.TLS == nil {
		if v.isLocal() {
			v.good(check, "none, but the address is on this machine; repeat with the address that browsers use")
			return
		}
		v.problem(check, "not available", "Others on the network can read and change tokens and statuses, and a browser "+
			"opens at most six streams in all its tabs together.", fixHTTPS)
		return
	}
	ends := v.first.TLS.PeerCertificates[0].NotAfter
	switch left := time.Until(ends); {
	case v.untrusted != nil:
		v.problem(check, v.untrusted.Error(), "Browsers refuse to connect.", fixCertificate)
	case left < soon:
		v.problem(check, "the certificate expires at "+ends.UTC().Format(time.RFC3339), "Browsers refuse to connect from then on.", fixCertificate)
	default:
		v.good(check, "the certificate is valid for %d days", int(left.Hours()/24))
	}
}

func (v *visit) isLocal() bool {
	ip := net.ParseIP(v.base.Hostname())
	return v.base.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// checkVersion checks HTTPS only, because browsers use HTTP/2 only over TLS.
func (v *visit) checkVersion() {
	const check = "HTTP version"
	switch {
	case v.first.TLS == nil:
	case v.first.ProtoMajor < 2:
		v.problem(check, v.first.Proto, "A browser opens at most six connections to a host. After six tabs have "+
			"opened a stream each, a seventh tab and all calls wait forever.", fixVersion)
	default:
		v.good(check, "%s", v.first.Proto)
	}
}

// maxSkew is the difference between two clocks above which tokens may not work. The
// server rejects tokens that were issued more than a minute ahead, and tokens that
// were issued before a kick.
const maxSkew = 10 * time.Second

func (v *visit) checkClock() {
	const check = "clock"
	date, err := http.ParseTime(v.first.Header.Get("Date"))
	if err != nil {
		v.unmeasured(check, "the response has no Date header")
		return
	}
	skew := date.Add(time.Second / 2).Sub(v.clock) // a Date is truncated to seconds
	if skew.Abs() <= maxSkew {
		v.good(check, "differs from that of this machine by at most %s", maxSkew)
		return
	}
	v.problem(check, "the server's clock is at "+date.UTC().Format(time.RFC3339)+", that of this machine at "+
		v.clock.UTC().Format(time.RFC3339), "Tokens that are issued on one of them are rejected on the other as expired or not "+
		"yet valid, or remain valid after a kick.", fixClock)
}

// checkOrigin makes the requests that a browser makes before a page of another origin may
// call the API.
func (v *visit) checkOrigin(ctx context.Context) {
	const check = "CORS"
	if v.Origin == "" {
		return
	}
	if v.Origin == v.base.Scheme+"://"+v.base.Host {
		v.good(check, "not needed: %s is the origin of the service itself", v.Origin)
		return
	}
	before, err := v.call(ctx, http.MethodOptions, "/v1/setSelfStatus", http.Header{
		"Origin": {v.Origin}, "Access-Control-Request-Method": {http.MethodPost},
		"Access-Control-Request-Headers": {"authorization,content-type"},
	}, nil)
	if err != nil {
		v.unmeasured(check, "%s", err)
		return
	}
	itself, err := v.call(ctx, http.MethodGet, "/livez", http.Header{"Origin": {v.Origin}}, nil)
	if err != nil {
		v.unmeasured(check, "%s", err)
		return
	}
	const means = "Pages of this origin can't use the service, because browsers don't let them read the responses."
	for _, a := range []answer{before, itself} {
		allowed := a.response.Header.Values("Access-Control-Allow-Origin")
		switch {
		case len(allowed) == 1 && (allowed[0] == v.Origin || allowed[0] == "*") && a.response.StatusCode < 300:
		case len(allowed) > 1 || len(allowed) == 1 && strings.Contains(allowed[0], ","):
			v.problem(check, "the response allows an origin twice: "+strings.Join(allowed, " and "), means, fixTwice)
			return
		default:
			v.problem(check, v.Origin+" is not allowed", means, fixOrigin(v.Origin))
			return
		}
	}
	if allows := before.response.Header.Get("Access-Control-Allow-Headers"); !strings.Contains(strings.ToLower(allows), "authorization") {
		v.problem(check, "the Authorization header is not allowed", means, fixTwice)
		return
	}
	v.good(check, "%s is allowed", v.Origin)
}

// codeNoToken is the code of the response to a call without a token.
const codeNoToken = 70002

// checkHeader checks that the server receives a token in the header. It returns false if
// no check that needs the token can follow.
func (v *visit) checkHeader(ctx context.Context) bool {
	const check = "Authorization"
	a, err := v.call(ctx, http.MethodGet, "/v1/subscriptions", v.bearer(), nil)
	switch {
	case err != nil:
		v.unmeasured(check, "%s", err)
		return false
	case a.code() == 0:
		v.good(check, "the server receives the header")
	case a.code() == codeNoToken:
		v.problem(check, "the server doesn't receive the header", "Every call is rejected because it has no token.", fixHeader("Authorization"))
	case a.json == nil:
		v.problem(check, a.say(), "A proxy responds to calls instead of the server.", nil)
	default:
		v.unmeasured(check, "the server rejects the token: %s", a.say())
		return false
	}
	return true
}

// offered are the content encodings that browsers accept.
const offered = "gzip, deflate, br, zstd"

// checkQuery opens a stream as an EventSource does, and checks its header. It
// returns false if no stream can be opened at all.
func (v *visit) checkQuery(ctx context.Context) bool {
	const check = "access_token"
	v.inQuery = true
	head, err := v.headOfStream(ctx)
	if refused, ok := errors.AsType[*refusal](err); ok && refused.code() == codeNoToken {
		v.problem(check, "the server doesn't receive the query", "An EventSource can't open a stream, because it can send its token only in the query.", fixQuery)
		v.inQuery = false
		head, err = v.headOfStream(ctx)
	} else if err == nil {
		v.good(check, "the server receives the query; make sure that no proxy logs it")
	}
	if err != nil {
		v.checkRefusal(err)
		return false
	}
	v.checkEncoding(head)
	return true
}

func (v *visit) headOfStream(ctx context.Context) (*http.Response, error) {
	s := v.follow(ctx, asking{encodings: offered, inQuery: v.inQuery})
	defer s.close(ctx)
	a, _ := s.coming(ctx, isHead)
	if a.head == nil {
		return nil, cmp.Or(a.err, errors.New("no response arrived, not even when the stream had ended"))
	}
	return a.head, nil
}

func (v *visit) checkRefusal(err error) {
	if refused, ok := errors.AsType[*refusal](err); ok && refused.json != nil {
		v.unmeasured("stream", "the server rejects it: %s", err)
		return
	}
	v.problem("stream", err.Error(), "Nobody receives any change of status.", nil)
}

func (v *visit) checkEncoding(head *http.Response) {
	const means = "A compressor waits until it has enough data, so changes arrive late or in bursts. It also needs memory for each stream."
	switch encoding, kind := head.Header.Get("Content-Encoding"), head.Header.Get("Content-Type"); {
	case encoding != "":
		v.problem("compression", "the stream is compressed with "+encoding, means, fixCompression)
	case !strings.HasPrefix(kind, "text/event-stream"):
		v.problem("compression", "the stream has the content type "+kind, "An EventSource rejects it.", nil)
	default:
		v.good("compression", "the stream is not compressed")
	}
}
