package webhook

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/presence-server/presence/presence"
)

// sender delivers to one URL.
type sender struct {
	senders *Senders
	url     string
	name    string       // of the stored feed
	log     *slog.Logger // with the URL as it is shown

	// The fields below are guarded by Senders.mu. client and over also belong to the
	// goroutine until it has closed ended.
	cancel context.CancelFunc
	client *http.Client
	ended  chan struct{} // closed at the end of run; nil before the first start
	over   bool          // nothing more is sent until the next start of the program

	mu    sync.Mutex
	state progress
}

// progress is guarded by sender.mu.
type progress struct {
	version int64     // up to which everything was received
	whole   time.Time // when everything that there was at that time was handed to the URL or had been; the start at first
	since   time.Time // no earlier change is missing; zero means that none is
	failing string
	sent    uint64
	failed  uint64
}

// start starts the deliveries, unless they are running or over.
func (s *sender) start() {
	if s.isRunning() || s.over {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel, s.client, s.ended = cancel, newClient(ctx, s.senders.dial), make(chan struct{})
	go s.run(ctx)
}

func (s *sender) isRunning() bool {
	if s.ended == nil {
		return false
	}
	select {
	case <-s.ended:
		return false
	default:
		return true
	}
}

// stop ends the deliveries, and waits for the goroutine. If they have ended, or were never
// started, it has no effect.
func (s *sender) stop() {
	if s.ended != nil {
		s.cancel()
		<-s.ended
		s.client.CloseIdleConnections()
	}
}

// report returns the state at now.
func (s *sender) report(now time.Time) State {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.state
	state := State{URL: Show(s.url), Version: p.version, Failing: p.failing, Sent: p.sent, Failed: p.failed}
	if !p.since.IsZero() {
		state.Behind = max(time.Nanosecond, now.Sub(p.since))
	}
	return state
}

// update changes the progress.
func (s *sender) update(change func(*progress)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.state)
}

// run delivers until ctx is done, the service drains, the URL refuses further messages, or
// another node sends.
func (s *sender) run(ctx context.Context) {
	defer close(s.ended)
	s.update(func(p *progress) { p.whole = time.Now() })
	err := s.deliverAll(ctx)
	s.over = err == errGone || !s.senders.hasLog
	if !s.over {
		s.update(func(p *progress) { *p = progress{sent: p.sent, failed: p.failed} })
	}
	switch {
	case err == io.EOF && s.over:
		s.log.Error("webhook ends: another Senders of the same service has forgotten or opened this URL")
	case err == io.EOF:
		s.log.Info("webhook is sent by another node")
	}
}

// deliverAll delivers all events of the stored feed of the URL, and returns why it ends.
func (s *sender) deliverAll(ctx context.Context) error {
	feed, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer feed.Close()
	for err == nil {
		err = s.next(ctx, feed)
	}
	return err
}

// open opens the stored feed of the URL. It retries while the database can't be written,
// and returns an error once ctx is done or the service drains.
func (s *sender) open(ctx context.Context) (*presence.Feed, error) {
	for failures := 0; ; failures++ {
		feed, err := s.senders.svc.FollowAs(ctx, s.name)
		if err == nil || ctx.Err() != nil || errors.Is(err, presence.ErrClosed) {
			return feed, err
		}
		s.log.Warn("webhook can't be started yet", "error", err)
		if err := pause(ctx, delay(failures)); err != nil {
			return nil, err
		}
	}
}

// next waits for the next event of the feed, delivers it, and stores how far the URL has
// come.
func (s *sender) next(ctx context.Context, feed *presence.Feed) error {
	event, err := s.await(ctx, feed)
	if err != nil {
		return err
	}
	began := time.Now()
	if event.Type == presence.EventUpdated {
		if err := s.deliver(ctx, newMessage(event.Statuses, began)); err != nil {
			return err
		}
	}
	s.received(ctx, feed, event, began)
	if event.Type != presence.EventUpdated || event.More {
		return nil
	}
	return pause(ctx, s.senders.settings.Load().batch-time.Since(began))
}

// await returns the next event, and keeps the time since when changes are waiting.
func (s *sender) await(ctx context.Context, feed *presence.Feed) (presence.Event, error) {
	event, _, err := feed.Poll()
	if err == nil && event.Type == "" { // nothing is waiting
		event, err = feed.Next(ctx)
		s.update(func(p *progress) { p.whole = time.Now() })
	}
	if event.Type == presence.EventUpdated {
		s.update(func(p *progress) { p.since = p.whole })
	}
	return event, err
}

// received records that the URL has received an event, which the feed returned at the
// time began.
func (s *sender) received(ctx context.Context, feed *presence.Feed, event presence.Event, began time.Time) {
	s.update(func(p *progress) {
		if event.Type == presence.EventUpdated {
			p.sent++
		}
		if !event.More {
			p.whole, p.since = began, time.Time{}
		}
		p.version = event.Cursor
	})
	if event.Type == presence.EventReady {
		return
	}
	if err := feed.Store(ctx, event.Cursor); err != nil && ctx.Err() == nil {
		// The next event stores it, and a restart before that repeats messages.
		s.log.Warn("progress of a webhook can't be stored", "error", err)
	}
}

// deliver sends a message until it is received. It returns an error if ctx is done or
// the URL refuses further messages.
func (s *sender) deliver(ctx context.Context, m message) error {
	for failures := 0; ; failures++ {
		_, err := post(ctx, s.client, s.url, s.senders.settings.Load().key, m)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.tried(m, failures, err)
		if err == nil || err == errGone {
			return err
		}
		if err := pause(ctx, delay(failures)); err != nil {
			return err
		}
	}
}

// tried records the result of an attempt. failures is how often the same message has
// failed before.
func (s *sender) tried(m message, failures int, err error) {
	if err == nil {
		s.update(func(p *progress) { p.failing = "" })
		if failures > 0 {
			s.log.Info("webhook works again", "message", m.id, "failures", failures)
		}
		return
	}
	s.update(func(p *progress) { p.failed, p.failing = p.failed+1, err.Error() })
	level := slog.LevelDebug // one line is enough for an outage
	if failures == 0 || err == errGone {
		level = slog.LevelWarn
	}
	s.log.Log(context.Background(), level, "webhook fails", "message", m.id, "failures", failures+1, "error", err)
}

const (
	firstDelay   = time.Second
	longestDelay = 5 * time.Minute
)

// delay returns how long to wait after a failure. failures is how often the same
// message has failed before. The delay is up to a tenth shorter at random, so that
// many servers don't call their receivers at the same time.
func delay(failures int) time.Duration {
	d := longestDelay
	if failures < 9 {
		d = min(d, firstDelay<<failures)
	}
	return d - rand.N(d/10)
}

// pause waits for a duration, and returns an error if ctx is done before its end.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
