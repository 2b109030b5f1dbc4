package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/presence-server/presence/presence"
)

const (
	patience    = 10 * time.Second // how long a URL has to respond
	maxResponse = 4 << 10          // the bytes of a response that are read
	maxHeader   = 16 << 10         // the bytes of its header
)

// dialer opens connections, as the method of [net.Dialer] does.
type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// newClient returns a client for one URL. All of its connections are closed when life is
// done, those included that are being opened, and those with a request.
func newClient(life context.Context, dial dialer) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				ctx, cancel := context.WithTimeout(ctx, patience) // net/http continues to dial after the request has ended
				defer cancel()
				defer context.AfterFunc(life, cancel)()
				conn, err := dial(ctx, network, address)
				if err != nil {
					return nil, err
				}
				return &mortal{conn, context.AfterFunc(life, func() { conn.Close() })}, nil
			},
			TLSHandshakeTimeout:    patience,
			ForceAttemptHTTP2:      true,
			DisableCompression:     true, // nothing in a response is worth unpacking it
			MaxResponseHeaderBytes: maxHeader,
			IdleConnTimeout:        90 * time.Second,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// mortal is a connection that is closed with the life of its client.
type mortal struct {
	net.Conn
	stop func() bool
}

// Close closes the connection.
func (c *mortal) Close() error {
	c.stop()
	return c.Conn.Close()
}

// Response is the response of a URL to a message.
type Response struct {
	Status int    // of HTTP
	Body   []byte // the beginning of the body, at most 4 KiB
}

// post sends a message once. The error is for a response that didn't arrive, or that
// is not 2xx. It contains no part of the request.
func post(ctx context.Context, client *http.Client, url string, key []byte, m message) (Response, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(m.body))
	if err != nil {
		return Response{}, errors.New("the URL is not valid")
	}
	m.sign(request.Header, key, time.Now())
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "presence")
	request.Header["Idempotency-Key"] = nil // not sent; lets net/http try again when an idle connection turns out to be closed
	received, err := client.Do(request)
	if err != nil {
		return Response{}, errors.New(reason(err))
	}
	defer received.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(received.Body, maxResponse)) // the status alone decides
	response := Response{received.StatusCode, body}
	return response, response.check()
}

// Test sends a sample message to a URL, once. The sample reports as UNKNOWN a user who
// can't exist, so the receiver has nothing to do. secret and url must be valid; see
// [Config]. Test returns an error if there was no response, or one other than 2xx.
func Test(ctx context.Context, url, secret string) (Response, error) {
	key, err := decodeSecret(secret)
	if err != nil {
		return Response{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	client := newClient(ctx, new(net.Dialer).DialContext)
	return post(ctx, client, url, key, newMessage([]presence.Status{{UserID: "presence-webhook-test"}}, time.Now()))
}

// check returns an error unless the message was received.
func (r Response) check() error {
	switch {
	case r.Status >= 200 && r.Status < 300:
		return nil
	case r.Status >= 300 && r.Status < 400:
		return fmt.Errorf("the response is %s, and redirects are not followed", r)
	case r.Status == http.StatusGone:
		return errGone
	}
	return fmt.Errorf("the response is %s", r)
}

// errGone means that the URL must receive no further messages.
var errGone = errors.New("the response is 410 Gone: nothing more is sent to this URL until the next start")

// String returns the status, such as "404 Not Found".
func (r Response) String() string {
	if name := http.StatusText(r.Status); name != "" {
		return fmt.Sprint(r.Status, " ", name)
	}
	return fmt.Sprint(r.Status)
}

// reason returns why no response arrived. It never repeats what net/http says about a
// malformed response, because that quotes the response, which may quote the request
// with its secrets.
func reason(err error) string {
	var (
		wrongName    *net.DNSError
		wrongNetwork *net.OpError
		wrongPeer    *tls.CertificateVerificationError
		wrongRecord  tls.RecordHeaderError
		wrongTime    net.Error
	)
	switch {
	case errors.As(err, &wrongTime) && wrongTime.Timeout():
		return fmt.Sprintf("no response within %v", patience)
	case errors.As(err, &wrongName):
		return wrongName.Error()
	case errors.As(err, &wrongNetwork):
		return wrongNetwork.Error()
	case errors.As(err, &wrongPeer):
		return wrongPeer.Error()
	case errors.As(err, &wrongRecord), errors.Is(err, http.ErrSchemeMismatch):
		return "the server doesn't speak TLS"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed before a response arrived"
	}
	return "the response is not valid HTTP"
}
