package webhook

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/presence-server/presence/presence"
)

// Senders sends webhooks, with one goroutine for each URL. Its methods are safe for
// concurrent use. At most one Senders of a service may have URLs.
type Senders struct {
	svc      *presence.Service
	log      *slog.Logger
	dial     dialer
	settings atomic.Pointer[settings]
	all      atomic.Pointer[[]*sender] // in the order of Config.URLs

	mu     sync.Mutex // held while goroutines are started and stopped
	closed bool
}

// settings are what all URLs have in common. They apply to the next attempt.
type settings struct {
	key   []byte
	batch time.Duration
}

// New returns a Senders that sends nothing until [Senders.Configure] gives it URLs.
func New(svc *presence.Service, log *slog.Logger) *Senders {
	s := &Senders{svc: svc, log: log, dial: new(net.Dialer).DialContext}
	s.all.Store(new([]*sender))
	return s
}

// Configure replaces the configuration. Deliveries to URLs that stay continue; those to
// URLs that are removed end before it returns. c must be valid; see [Config.Validate].
// After [Senders.Close] it does nothing.
//
// The error means that the service could not forget removed URLs, which the next call
// tries again. Everything else is in effect.
func (s *Senders) Configure(ctx context.Context, c Config) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	key, _ := decodeSecret(c.Secret)
	s.settings.Store(&settings{key, c.Batch})
	before := make(map[string]*sender)
	for _, one := range *s.all.Load() {
		before[one.url] = one
		if !slices.Contains(c.URLs, one.url) {
			one.stop()
		}
	}
	var all []*sender
	var names []string
	for _, url := range c.URLs {
		one := before[url]
		if one == nil {
			one = s.start(url)
		}
		all, names = append(all, one), append(names, one.name)
	}
	s.all.Store(&all)
	return s.svc.ForgetFeeds(ctx, feedPrefix, names)
}

// Close ends all deliveries, and waits until no goroutine and no connection is left. A
// message that is being sent is sent again after the next start.
func (s *Senders) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, one := range *s.all.Load() {
		one.cancel()
	}
	for _, one := range *s.all.Load() {
		one.stop()
	}
}

// feedPrefix is what the names of the stored feeds begin with.
const feedPrefix = "webhook "

// start starts the deliveries to a URL.
func (s *Senders) start(url string) *sender {
	ctx, cancel := context.WithCancel(context.Background())
	digest := sha256.Sum256([]byte(url)) // the URL may contain a secret, and the database must not
	one := &sender{
		senders: s,
		url:     url,
		name:    feedPrefix + hex.EncodeToString(digest[:]),
		client:  newClient(ctx, s.dial),
		cancel:  cancel,
		ended:   make(chan struct{}),
		log:     s.log.With("url", Show(url)),
	}
	go one.run(ctx)
	return one
}

// State is how far one URL has come.
type State struct {
	// URL is without user, query and fragment.
	URL string

	// Version is the version up to which the URL has received everything. Zero
	// means that its feed isn't open yet.
	Version int64

	// Behind is an upper bound on the age of the oldest change that the URL has not
	// received. Time before this start doesn't count. Zero means that the URL has
	// received everything.
	Behind time.Duration

	// Failing is the reason why the last attempt failed. Empty means that it succeeded,
	// or that there was none.
	Failing string

	// Sent is the number of messages that were received, and Failed that of
	// attempts that failed, since this start.
	Sent, Failed uint64
}

// States returns the state of each URL, in the order of Config.URLs.
func (s *Senders) States() []State {
	all := *s.all.Load()
	states := make([]State, 0, len(all))
	for _, one := range all {
		states = append(states, one.report(time.Now()))
	}
	return states
}
