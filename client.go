package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/presence-server/presence/httpapi"
	"github.com/presence-server/presence/presence"
)

// client makes calls of the server API, to the server that runs on this machine
// with the same configuration.
type client struct {
	base string // without a slash at the end
	name string // of the server, for messages
	key  string // the admin key
	http http.Client
}

// callTimeout is how long the response to a call may take.
const callTimeout = 30 * time.Second

// newClient returns a client for a command. It makes no connection yet.
func newClient(read reader) (*client, config, error) {
	c, err := read("listen", "auth.admin_key", "auth.admin_key_file")
	if err != nil {
		return nil, c, err
	}
	if c.Auth.AdminKey == "" {
		return nil, c, errors.New("auth.admin_key is not set: set it, and reload the server with SIGHUP, which offers the server API only with a key")
	}
	trusted, err := c.trustedTLS()
	if err != nil {
		return nil, c, err
	}
	return &client{base: c.localURL(), name: c.localName(), key: c.Auth.AdminKey, http: http.Client{
		Transport:     c.localTransport(trusted), // no proxy, and no redirect: the key is only for the server
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, c, nil
}

// trustedTLS returns how to verify the server's certificate, or nil if the server
// speaks no TLS. The certificates in tls.cert are trusted in addition to those of the
// system, so one that the team has issued itself is accepted too. No certificate is
// for the address of this machine, so the name in the first one is expected.
func (c *config) trustedTLS() (*tls.Config, error) {
	switch {
	case len(c.TLS.ACMEDomains) > 0:
		return c.trustedACME(), nil
	case c.TLS.Cert == "":
		return nil, nil
	}
	text, err := os.ReadFile(c.TLS.Cert)
	if err != nil {
		return nil, fmt.Errorf("tls.cert: %w", err)
	}
	first, err := firstCertificate(text)
	if err != nil {
		return nil, fmt.Errorf("tls.cert = %q: %w", c.TLS.Cert, err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	roots.AppendCertsFromPEM(text)
	return &tls.Config{RootCAs: roots, ServerName: nameIn(first)}, nil
}

// trustedACME returns the same for a server that gets its certificates itself. The one
// that is stored is trusted with its chain, because the ACME server may be the team's.
func (c *config) trustedACME() *tls.Config {
	domain := c.TLS.ACMEDomains[0]
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if text, err := os.ReadFile(filepath.Join(c.acmeFolder(), domain)); err == nil { // otherwise there is none yet, or it isn't for this user
		roots.AppendCertsFromPEM(text)
	}
	return &tls.Config{RootCAs: roots, ServerName: domain}
}

// firstCertificate returns the first certificate of a file in PEM, which is that of
// the server.
func firstCertificate(text []byte) (*x509.Certificate, error) {
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			return nil, errors.New("it has no certificate")
		}
		if block.Type == "CERTIFICATE" {
			return x509.ParseCertificate(block.Bytes)
		}
		text = rest
	}
}

// nameIn returns a name or an address that the certificate is for.
func nameIn(cert *x509.Certificate) string {
	switch {
	case len(cert.DNSNames) > 0:
		return cert.DNSNames[0] // if a wildcard, it matches itself
	case len(cert.IPAddresses) > 0:
		return cert.IPAddresses[0].String()
	}
	return cert.Subject.CommonName
}

// outage is an error that may not occur again when the request is repeated later.
type outage struct{ error }

// Unwrap returns the cause.
func (o outage) Unwrap() error { return o.error }

// get makes a call that changes nothing, and decodes its data.
func (c *client) get(ctx context.Context, path string, query url.Values, data any) error {
	return c.call(ctx, http.MethodGet, path+"?"+query.Encode(), nil, data)
}

// post makes a call with a body, and decodes its data unless data is nil.
func (c *client) post(ctx context.Context, path string, body, data any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return c.call(ctx, http.MethodPost, path, text, data)
}

func (c *client) call(ctx context.Context, method, path string, body []byte, data any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	response, err := c.open(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer := struct{ Data any }{data}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return fmt.Errorf("the response of %s was cut: %w", c.name, err)
	}
	return nil
}

// open makes a request to a path below /v1/admin/. The response is one with the status
// 200, and its body must be closed. Any other is an error.
func (c *client) open(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.base+"/v1/admin/"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+c.key)
	response, err := c.http.Do(request)
	if err != nil {
		return nil, outage{c.unreachable(err)}
	}
	if response.StatusCode == http.StatusOK {
		return response, nil
	}
	defer response.Body.Close()
	return nil, c.refused(response)
}

// unreachable returns an error that says why there is no response, and what to do.
func (c *client) unreachable(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // without the path
	}
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, fs.ErrNotExist): // the latter means that there is no socket
		return fmt.Errorf("no server runs at %s: start it, or name its configuration with -config (%w)", c.name, err)
	case untrusted:
		return fmt.Errorf("%s has another certificate than tls.cert, or one that is not valid: restart the server if the file was changed (%w)", c.name, err)
	}
	return fmt.Errorf("no response from %s: %w", c.name, err)
}

// forUser returns an action on the user that the operand names.
func forUser(set *flag.FlagSet, do func(ctx context.Context, c *client, userID string) error) action {
	return func(ctx context.Context, read reader, operands []string) error {
		userID := operands[0]
		if err := presence.CheckID(userID); err != nil {
			return misused(set, err)
		}
		c, _, err := newClient(read)
		if err != nil {
			return err
		}
		return do(ctx, c, userID)
	}
}

// errNoUser is the error of a call about a user who is not registered.
var errNoUser = errors.New("there is no such user")

// about adds the ID to errNoUser, and returns any other error as it is.
func about(userID string, err error) error {
	if errors.Is(err, errNoUser) {
		return fmt.Errorf("%w: %q", err, userID)
	}
	return err
}

// refused returns the error that a response reports.
func (c *client) refused(response *http.Response) error {
	var answer struct {
		Code    int
		Message string
	}
	if json.NewDecoder(response.Body).Decode(&answer) != nil || answer.Code == 0 {
		return fmt.Errorf("%s is not the presence server: it answers %s", c.name, response.Status)
	}
	err := fmt.Errorf("%s: %s (%d)", c.name, printable(answer.Message), answer.Code)
	switch {
	case answer.Code == int(presence.CodeUnknownUser):
		return errNoUser
	case answer.Code == int(httpapi.CodeForbidden):
		return fmt.Errorf("%w: reload the server with SIGHUP if auth.admin_key was changed", err)
	case response.StatusCode == http.StatusTooManyRequests, response.StatusCode >= http.StatusInternalServerError:
		return outage{err}
	}
	return err
}
