// Package webhook sends the changes of all users to URLs, as signed HTTP requests.
// Package httpapi owns the [Senders]; programs configure them in httpapi.Config.
//
// Each URL has a stored feed of package presence and one goroutine that reads it. What
// the feed returns becomes one message:
//
//	{"type":"user_status.updated","timestamp":"2026-11-26T19:30:00.123Z","data":{"statuses":[…]}}
//
// The goroutine sends the message, ID and body unchanged, until the URL responds with
// 2xx within 10 seconds. It retries without end: after 1 second, then with a delay that
// doubles up to 5 minutes. Only then does it store the feed's cursor and read on, so
// of the changes in the meantime only the latest status of each user is sent, and memory
// is bounded by one message for each URL. After a restart the feed resumes after the
// stored cursor: a URL receives the latest status of each user at least once, in order
// of version, and a deleted user as UNKNOWN.
//
// If the service shares a log with others, only the node that leads sends. When another one
// takes over, it continues after the stored cursor, which all nodes have: nothing is lost,
// and at most the message that was being sent is repeated, with another ID.
//
// Messages are signed as Standard Webhooks (https://www.standardwebhooks.com) describes,
// so its libraries verify them. The headers are webhook-id, webhook-timestamp (the time
// of the attempt, in seconds since 1970) and webhook-signature ("v1," and the
// HMAC-SHA256 of "ID.TIMESTAMP.BODY" in base64).
//
// Redirects are not followed, proxies of the environment are not used, and of a response
// only the beginning is read. A response of 410 ends the deliveries of this process to a URL
// until the next start.
package webhook

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Config configures the webhooks. The zero value means that nothing is sent.
type Config struct {
	// URLs receive the messages, each independently of the others. A URL that is
	// new begins at the current version. One that is removed is forgotten; so if
	// it is added again, it is new.
	URLs []string

	// Secret is the key of the signatures: "whsec_" and 24 to 64 bytes in base64,
	// with padding. It is required if there are URLs.
	Secret string

	// Batch is how long changes are gathered after a message before the next one
	// is sent. The first change after a silence is sent at once. Zero means that
	// only Settings.BatchWindow of package presence gathers changes.
	Batch time.Duration
}

// Validate returns one error that joins the errors of all fields, or nil if all are
// valid. Each begins with the name of the field and " = ". They contain no secret, and
// URLs without user and query.
func (c Config) Validate() error {
	var errs []error
	for i, text := range c.URLs {
		err := CheckURL(text)
		if err == nil && slices.Contains(c.URLs[:i], text) {
			err = errors.New("must be given once")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("Webhooks.URLs = %q: %w", Show(text), err))
		}
	}
	if _, err := decodeSecret(c.Secret); err != nil && (c.Secret != "" || len(c.URLs) > 0) {
		errs = append(errs, fmt.Errorf("Webhooks.Secret = …: %w", err))
	}
	if c.Batch < 0 {
		errs = append(errs, fmt.Errorf("Webhooks.Batch = \"%v\": must not be negative", c.Batch))
	}
	return errors.Join(errs...)
}

// CheckURL returns an error unless messages can be sent to a URL. The error doesn't
// contain the URL.
func CheckURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" {
		return errors.New("must begin with http:// or https:// and a host")
	}
	return nil
}

// Show returns a URL without user, query and fragment, which may be secret. It returns
// "…" for a text that is not a URL with a host.
func Show(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return "…"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
}

// decodeSecret returns the key of the signatures.
func decodeSecret(secret string) ([]byte, error) {
	text, found := strings.CutPrefix(secret, "whsec_")
	key, err := base64.StdEncoding.Strict().DecodeString(text)
	if !found || err != nil || len(key) < 24 || len(key) > 64 || strings.ContainsAny(text, "\r\n") {
		return nil, errors.New(`must be "whsec_" and 24 to 64 random bytes in base64; openssl rand -base64 32 prints such bytes`)
	}
	return key, nil
}
