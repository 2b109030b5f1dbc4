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

// Senders sends webhooks, with one goroutine for each URL. If the service shares a log, only
// the node that leads sends; see [presence.Service.Leads]. Its methods are safe for
// concurrent use. At most one Senders of a service may have URLs.
type Senders struct {
	svc      *presence.Service
	log      *slog.Logger
	dial     dialer
	hasLog   bool // the service shares a log
	settings atomic.Pointer[settings]
	all      atomic.Pointer[[]*sender] // in the order of Config.URLs

	mu        sync.Mutex // held while goroutines are started and stopped
	closed    bool
	forgotten bool // the service has forgotten the URLs that were removed

	unfollow context.CancelFunc // ends followLead; nil until Configure has started it
	tasks    sync.WaitGroup     // followLead
}

// settings are what all URLs have in common. They apply to the next attempt.
type settings struct {
	key   []byte
	batch time.Duration
}

// New returns a Senders that sends nothing until [Senders.Configure] gives it URLs.
func New(svc *presence.Service, log *slog.Logger) *Senders {
	s := &Senders{svc: svc, log: log, dial: new(net.Dialer).DialContext, hasLog: svc.LogMetrics() != nil}
	s.all.Store(new([]*sender))
	return s
}

// Configure replaces the configuration. Deliveries to URLs that stay continue; those to
// URLs that are removed end before it returns. c must be valid; see [Config.Validate].
// After [Senders.Close] it does nothing.
//
// The error means that the service could not forget removed URLs, which the next call
// tries again. Everything else is in effect. If the service shares a log, there is no error:
// the node that leads tries until it succeeds, and forgets what its own configuration
// doesn't have.
func (s *Senders) Configure(ctx context.Context, c Config) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	key, _ := decodeSecret(c.Secret)
	s.settings.Store(&settings{key, c.Batch})
	s.setURLs(c.URLs)
	s.forgotten = false
	if !s.hasLog {
		s.startAll()
		return s.forget(ctx)
	}
	if s.unfollow == nil {
		life, cancel := context.WithCancel(context.Background())
		s.unfollow = cancel
		s.tasks.Go(func() { s.followLead(life) })
	}
	return nil
}

// setURLs replaces the URLs, and ends the deliveries to those that are removed.
func (s *Senders) setURLs(urls []string) {
	before := make(map[string]*sender)
	for _, one := range *s.all.Load() {
		before[one.url] = one
		if !slices.Contains(urls, one.url) {
			one.stop()
		}
	}
	var all []*sender
	for _, url := range urls {
		one := before[url]
		if one == nil {
			one = s.newSender(url)
		}
		all = append(all, one)
	}
	s.all.Store(&all)
}

// forget makes the service forget the URLs that were removed, unless it has done so.
func (s *Senders) forget(ctx context.Context) error {
	if s.forgotten {
		return nil
	}
	var names []string
	for _, one := range *s.all.Load() {
		names = append(names, one.name)
	}
	err := s.svc.ForgetFeeds(ctx, feedPrefix, names)
	s.forgotten = err == nil
	return err
}

func (s *Senders) startAll() {
	for _, one := range *s.all.Load() {
		one.start()
	}
}

func (s *Senders) stopAll() {
	for _, one := range *s.all.Load() {
		one.cancel()
	}
	for _, one := range *s.all.Load() {
		one.stop()
	}
}

// Close ends all deliveries, and waits until no goroutine and no connection is left. A
// message that is being sent is sent again after the next start, or by another node.
func (s *Senders) Close() {
	s.mu.Lock()
	s.closed = true
	if s.unfollow != nil {
		s.unfollow()
	}
	s.stopAll()
	s.mu.Unlock()
	s.tasks.Wait()
}

// feedPrefix is what the names of the stored feeds begin with.
const feedPrefix = "webhook "

// newSender returns a sender that isn't started.
func (s *Senders) newSender(url string) *sender {
	digest := sha256.Sum256([]byte(url)) // the URL may contain a secret, and the database must not
	return &sender{
		senders: s,
		url:     url,
		name:    feedPrefix + hex.EncodeToString(digest[:]),
		log:     s.log.With("url", Show(url)),
		cancel:  func() {},
	}
}

// State is how far one URL has come.
type State struct {
	// URL is without user, query and fragment.
	URL string

	// Version is the version up to which the URL has received everything. Zero
	// means that its feed isn't open: not yet, or because another node sends.
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
