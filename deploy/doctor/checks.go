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

func (v *visit) fault(check, found, means string, mend Mend) {
	v.found(Finding{Check: check, Verdict: Fault, Found: found, Means: means, Mend: mend})
}

// soon is the time before its end in which a certificate should long have been
// renewed.
const soon = 14 * 24 * time.Hour

func (v *visit) lookAtHTTPS() {
	const check = "HTTPS"
	if v.first.TLS == nil {
		if v.isLocal() {
			v.good(check, "none, on this machine: measure again with the address that browsers use")
			return
		}
		v.fault(check, "there is none", "Tokens and statuses can be read and changed on the way, and a browser "+
			"opens at most six streams, in all its tabs together.", mendHTTPS)
		return
	}
	ends := v.first.TLS.PeerCertificates[0].NotAfter
	switch left := time.Until(ends); {
	case v.untrusted != nil:
		v.fault(check, v.untrusted.Error(), "Browsers refuse to connect.", mendCertificate)
	case left < soon:
		v.fault(check, "the certificate ends at "+ends.UTC().Format(time.RFC3339), "Browsers refuse to connect from then on.", mendCertificate)
	default:
		v.good(check, "the certificate is valid for %d days", int(left.Hours()/24))
	}
}

func (v *visit) isLocal() bool {
	ip := net.ParseIP(v.base.Hostname())
	return v.base.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// lookAtVersion looks at HTTPS only: browsers speak HTTP/2 over nothing else.
func (v *visit) lookAtVersion() {
	const check = "HTTP version"
	switch {
	case v.first.TLS == nil:
	case v.first.ProtoMajor < 2:
		v.fault(check, v.first.Proto, "A browser opens at most six connections to one host: with six tabs that have "+
			"a stream each, the seventh hangs, and so does every call.", mendVersion)
	default:
		v.good(check, "%s", v.first.Proto)
	}
}

// maxSkew is the difference of clocks, in either direction, from which tokens
// act up: the server refuses those from more than a minute ahead, and those
// from before a kick.
const maxSkew = 10 * time.Second

func (v *visit) lookAtClock() {
	const check = "clock"
	date, err := http.ParseTime(v.first.Header.Get("Date"))
	if err != nil {
		v.unmeasured(check, "the answer has no Date")
		return
	}
	skew := date.Add(time.Second / 2).Sub(v.clock) // a Date is cut to seconds
	if skew.Abs() <= maxSkew {
		v.good(check, "as here, within %s", maxSkew)
		return
	}
	v.fault(check, "the other side is at "+date.UTC().Format(time.RFC3339)+", and this machine at "+
		v.clock.UTC().Format(time.RFC3339), "Tokens made on one of them are refused on the other, as expired or not "+
		"yet valid, or outlive a kick.", mendClock)
}

// lookAtOrigin asks what a browser asks before a page from elsewhere may call.
func (v *visit) lookAtOrigin(ctx context.Context) {
	const check = "CORS"
	if v.Origin == "" {
		return
	}
	if v.Origin == v.base.Scheme+"://"+v.base.Host {
		v.good(check, "not needed: %s is where the service is", v.Origin)
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
	const means = "Pages of this origin can't use the service: their browser keeps all answers from them."
	for _, a := range []answer{before, itself} {
		allowed := a.response.Header.Values("Access-Control-Allow-Origin")
		switch {
		case len(allowed) == 1 && (allowed[0] == v.Origin || allowed[0] == "*") && a.response.StatusCode < 300:
		case len(allowed) > 1 || len(allowed) == 1 && strings.Contains(allowed[0], ","):
			v.fault(check, "the answer allows an origin twice, as "+strings.Join(allowed, " and "), means, mendTwice)
			return
		default:
			v.fault(check, v.Origin+" is not allowed", means, mendOrigin(v.Origin))
			return
		}
	}
	if allows := before.response.Header.Get("Access-Control-Allow-Headers"); !strings.Contains(strings.ToLower(allows), "authorization") {
		v.fault(check, "the Authorization header is not allowed", means, mendTwice)
		return
	}
	v.good(check, "%s is allowed", v.Origin)
}

// codeNoToken is the server's answer to a call without a token.
const codeNoToken = 70002

// lookAtHeader looks whether a token arrives in the header. It returns false if
// the token is no good anywhere.
func (v *visit) lookAtHeader(ctx context.Context) bool {
	const check = "Authorization"
	a, err := v.call(ctx, http.MethodGet, "/v1/subscriptions", v.bearer(), nil)
	switch {
	case err != nil:
		v.unmeasured(check, "%s", err)
		return false
	case a.code() == 0:
		v.good(check, "the header arrives")
	case a.code() == codeNoToken:
		v.fault(check, "the header doesn't arrive", "Every call is answered that there is no token.", mendHeader("Authorization"))
	case a.json == nil:
		v.fault(check, a.say(), "Something on the way answers calls in place of the server.", nil)
	default:
		v.unmeasured(check, "the token is refused: %s", a.say())
		return false
	}
	return true
}

// offered are the encodings that browsers accept.
const offered = "gzip, deflate, br, zstd"

// lookAtQuery opens a stream as an EventSource does, and looks at its head. It
// returns false if there is none in any way.
func (v *visit) lookAtQuery(ctx context.Context) bool {
	const check = "access_token"
	v.inQuery = true
	head, err := v.headOfStream(ctx)
	if refused, ok := errors.AsType[*refusal](err); ok && refused.code() == codeNoToken {
		v.fault(check, "the query doesn't arrive", "An EventSource can't open a stream: it has no other place for its token.", mendQuery)
		v.inQuery = false
		head, err = v.headOfStream(ctx)
	} else if err == nil {
		v.good(check, "the query arrives; keep it out of the logs of what lies between")
	}
	if err != nil {
		v.lookAtRefusal(err)
		return false
	}
	v.lookAtEncoding(head)
	return true
}

func (v *visit) headOfStream(ctx context.Context) (*http.Response, error) {
	s := v.follow(ctx, asking{encodings: offered, inQuery: v.inQuery})
	defer s.close(ctx)
	a, _ := s.coming(ctx, isHead)
	if a.head == nil {
		return nil, cmp.Or(a.err, errors.New("nothing came, not even when the stream had ended"))
	}
	return a.head, nil
}

func (v *visit) lookAtRefusal(err error) {
	if refused, ok := errors.AsType[*refusal](err); ok && refused.json != nil {
		v.unmeasured("stream", "the server refuses it: %s", err)
		return
	}
	v.fault("stream", err.Error(), "Nobody gets to know anything.", nil)
}

func (v *visit) lookAtEncoding(head *http.Response) {
	const means = "A compressor waits until it has enough, so that changes come late or in bursts, and needs memory for each stream."
	switch encoding, kind := head.Header.Get("Content-Encoding"), head.Header.Get("Content-Type"); {
	case encoding != "":
		v.fault("compression", "the stream comes as "+encoding, means, mendCompression)
	case !strings.HasPrefix(kind, "text/event-stream"):
		v.fault("compression", "the stream comes as "+kind, "An EventSource gives up.", nil)
	default:
		v.good("compression", "none of the stream")
	}
}
