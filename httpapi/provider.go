package httpapi

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/presence-server/presence/presence"
)

// ProviderConfig configures a [Provider]. Only URL is required.
type ProviderConfig struct {
	// URL is where the provider publishes its keys, as a JSON Web Key Set (RFC 7517):
	// http or https. A redirect is not followed.
	URL string

	// Issuer and Audience are what the claims iss and aud must be. A token may be for
	// several audiences. Empty means that the claim isn't checked; without Audience,
	// the tokens that the provider issues for any other program are accepted too.
	Issuer, Audience string

	// UserClaim is the claim that holds the user ID. Empty means sub.
	UserClaim string

	// Logger receives a warning when the keys can't be fetched, and a message when that
	// succeeds again. Nil means that nothing is logged.
	Logger *slog.Logger
}

// Validate returns an error if URL is not that of a web server.
func (c ProviderConfig) Validate() error {
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return errors.New("must be a URL of http or https with a host")
	}
	return nil
}

// Provider verifies the tokens of an identity provider: JWTs signed with RS256 or PS256
// (a key of at least 2048 bits), ES256 or EdDSA, by the keys that the provider publishes.
// It fetches the keys at the start, every hour, and when a token names a key that it
// doesn't know, but at most every 10 seconds. While they can't be fetched, it uses those
// that it has.
//
// A token that names no key is verified if exactly one key fits its algorithm. One that
// brings a key of its own (jwk, jku or x5u in the header) is rejected.
//
// A token of an unknown key waits up to 2 seconds for a fetch. While its key can't be
// looked up, the error has [presence.CodeUnavailable]; once the keys have been fetched
// since a token first named it, CodeInvalidToken.
type Provider struct {
	config ProviderConfig
	client *http.Client
	cancel context.CancelFunc
	done   chan struct{} // closed when the goroutine has ended
	wanted chan struct{} // wakes the goroutine; has a buffer of one
	pause  time.Duration // fetchPause, except in tests

	mu        sync.Mutex
	keys      []providerKey
	running   bool                 // a fetch is in progress
	asked     time.Time            // when the last fetch began
	fetched   time.Time            // when the last fetch that succeeded began
	next      chan struct{}        // closed when the next fetch ends
	unknown   map[string]time.Time // when a token first named a key that is unknown
	lastError error                // of the last fetch; nil means that it succeeded
}

// The limits of fetching keys.
const (
	fetchTimeout = 5 * time.Second
	fetchAgain   = time.Hour        // after a fetch
	fetchPause   = 10 * time.Second // at least, between two fetches
	fetchWait    = 2 * time.Second  // for which a request waits for a fetch
	maxKeySet    = 1 << 20          // bytes of a response; ten keys of 4096 bits have 10 KiB
	maxUnknown   = 1000             // names of keys that are remembered as unknown
	maxKeyName   = 512              // bytes of the name of a key
)

// NewProvider returns a Provider, which begins to fetch the keys. It must be closed. The
// error is that of [ProviderConfig.Validate].
func NewProvider(config ProviderConfig) (*Provider, error) { return newProvider(config, fetchPause) }

func newProvider(config ProviderConfig, pause time.Duration) (*Provider, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("httpapi: ProviderConfig.URL %w", err)
	}
	config.UserClaim = cmp.Or(config.UserClaim, "sub")
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &Provider{
		config: config,
		client: &http.Client{
			Timeout:       fetchTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		cancel:  cancel,
		done:    make(chan struct{}),
		wanted:  make(chan struct{}, 1),
		pause:   pause,
		next:    make(chan struct{}),
		unknown: make(map[string]time.Time),
	}
	go p.run(ctx)
	return p, nil
}

// Close ends the fetching, and waits for its end. The keys that are known remain.
func (p *Provider) Close() {
	p.cancel()
	<-p.done
}

func (p *Provider) run(ctx context.Context) {
	defer close(p.done)
	for ctx.Err() == nil {
		began := time.Now()
		p.refresh(ctx, began)
		select {
		case <-ctx.Done():
		case <-time.After(time.Until(began.Add(p.pause))):
		}
		select {
		case <-ctx.Done():
		case <-p.wanted:
		case <-time.After(time.Until(began.Add(fetchAgain))):
		}
	}
}

// refresh fetches the keys, and replaces those that are known if this succeeds.
func (p *Provider) refresh(ctx context.Context, began time.Time) {
	p.mu.Lock()
	p.asked, p.running = began, true
	p.mu.Unlock()
	keys, ignored, err := p.fetch(ctx)
	p.mu.Lock()
	failedBefore := p.lastError != nil
	p.lastError, p.running = err, false
	if err == nil {
		p.keys, p.fetched = keys, began
	}
	close(p.next)
	p.next = make(chan struct{})
	p.mu.Unlock()
	p.report(ctx, len(keys), ignored, failedBefore, err)
}

func (p *Provider) report(ctx context.Context, keys, ignored int, failedBefore bool, err error) {
	log := p.config.Logger.With("host", hostOf(p.config.URL))
	switch {
	case ctx.Err() != nil:
	case err != nil:
		log.Warn("the keys of the identity provider can't be fetched; tokens with keys that are known are still accepted", "error", err)
	case ignored > 0:
		log.Warn("keys of the identity provider are ignored, because they are malformed or can't verify RS256, PS256, ES256 or EdDSA", "ignored", ignored, "keys", keys)
	case failedBefore:
		log.Info("the keys of the identity provider are fetched again", "keys", keys)
	}
}

// hostOf returns the host of a URL, which may have a secret in its query.
func hostOf(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return u.Host
}

// fetch returns the keys that the provider publishes, and how many of them are ignored.
//
// Only the parsing of keys is left to package jwkset. Its own client, and package
// keyfunc on top of it, read responses of any size, follow redirects, reject a set with
// one malformed key, and don't say when they have fetched last.
func (p *Provider) fetch(ctx context.Context) (keys []providerKey, ignored int, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.config.URL, nil)
	if err != nil {
		return nil, 0, errors.New("the URL is malformed")
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	response, err := p.client.Do(request)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // without the URL
		}
		return nil, 0, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, 0, fmt.Errorf("the response is %s", response.Status)
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxKeySet+1))
	if err != nil {
		return nil, 0, err
	}
	return parseKeys(text)
}

// verify returns the payload of a token. header is that of the token. The error has
// CodeUnavailable if the key that the token names can't be looked up yet.
func (p *Provider) verify(token string, header jwtHeader) (payload []byte, err error) {
	keys, next, err := p.find(header)
	if next != nil {
		p.await(next)
		keys, _, err = p.find(header)
	}
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		if payload, ok := payloadOf(token, key.methodFor(header.alg), key.public); ok {
			return payload, nil
		}
	}
	return nil, errForged()
}

// find returns the keys that may have signed a token, or the error of the response. If
// another fetch could bring such a key, next is closed once one has ended; otherwise it
// is nil.
func (p *Provider) find(header jwtHeader) (keys []*providerKey, next <-chan struct{}, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	named, keys := p.candidates(header)
	switch {
	case header.bringsKey || len(header.kid) > maxKeyName:
		return nil, nil, errForged()
	case len(keys) == 1 || len(keys) > 1 && header.kid != "":
		return keys, nil, nil
	case named || len(keys) > 1:
		return nil, nil, errForged()
	case p.fetched.After(p.firstNamed(header.kid)):
		return nil, p.next, errForged()
	}
	return nil, p.next, errKeysUnknown(time.Until(p.asked.Add(p.pause)))
}

// candidates returns the keys that fit the algorithm and the name in a header, and
// reports whether there is a key of that name at all. The provider may publish several
// keys under one name.
func (p *Provider) candidates(header jwtHeader) (named bool, fitting []*providerKey) {
	for i := range p.keys {
		key := &p.keys[i]
		if header.kid != "" && key.name != header.kid {
			continue
		}
		named = named || header.kid != ""
		if key.methodFor(header.alg) != nil {
			fitting = append(fitting, key)
		}
	}
	return named, fitting
}

// firstNamed returns when a token first named an unknown key, as far as this is
// remembered. A name that was forgotten is looked up once more.
func (p *Provider) firstNamed(kid string) time.Time {
	now := time.Now()
	for name, at := range p.unknown { // in random order
		if len(p.unknown) < maxUnknown && now.Sub(at) < fetchAgain {
			break
		}
		delete(p.unknown, name)
	}
	if at, ok := p.unknown[kid]; ok {
		return at
	}
	p.unknown[kid] = now
	return now
}

// await asks for a fetch, and waits a moment for its end, unless the last one began so
// recently that none may begin yet.
func (p *Provider) await(next <-chan struct{}) {
	select {
	case p.wanted <- struct{}{}:
	default:
	}
	p.mu.Lock()
	soon := p.running || time.Since(p.asked) >= p.pause
	p.mu.Unlock()
	if !soon {
		return
	}
	timeout := time.NewTimer(fetchWait)
	defer timeout.Stop()
	select {
	case <-next:
	case <-timeout.C:
	}
}

func errKeysUnknown(after time.Duration) error {
	return &refusal{
		err:   fail(presence.CodeUnavailable, "the key of the token isn't known yet: the keys of the identity provider are fetched again soon"),
		after: max(after, unavailableAfter),
	}
}

// read returns how many keys are known, when those were fetched, and whether the last
// fetch failed. The zero time means that none succeeded yet.
func (p *Provider) read() (keys int, fetched time.Time, failing bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.keys), p.fetched, p.lastError != nil
}

// check returns why the claims of a token are not those that the configuration
// requires, or "".
func (c *ProviderConfig) check(claims *fields) string {
	if c.Issuer != "" && (!claims.has("iss") || claims.text("iss") != c.Issuer) {
		return "iss is not the issuer that is configured"
	}
	if c.Audience != "" && !claims.hasAudience(c.Audience) {
		return "aud is not the audience that is configured"
	}
	return ""
}

// hasAudience reports whether the claim aud is the text, or a list that contains it.
func (f *fields) hasAudience(audience string) bool {
	var one string
	var list []string
	value := f.values["aud"]
	if json.Unmarshal(value, &one) == nil {
		return one == audience
	}
	return json.Unmarshal(value, &list) == nil && slices.Contains(list, audience)
}
