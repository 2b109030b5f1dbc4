package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/presence-server/presence/presence"
)

const (
	secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	urlA   = "http://user:geheim@a.test/hook?token=geheim"
	urlB   = "http://b.test/hook"
)

// world is a service with webhooks in a synctest bubble, where time advances while
// every goroutine waits.
type world struct {
	*presence.Service
	t       *testing.T
	path    string
	senders *Senders
	hosts   map[string]*receiver
	log     bytes.Buffer
	mu      sync.Mutex
}

func inBubble(t *testing.T, test func(*world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, path: filepath.Join(t.TempDir(), "presence.db"), hosts: make(map[string]*receiver)}
		for _, host := range []string{"a.test", "b.test"} {
			w.hosts[host+":80"] = newReceiver(t)
		}
		w.open()
		t.Cleanup(w.close)
		test(w)
		if text := w.log.String(); strings.Contains(text, "geheim") || strings.Contains(text, "secret-text") {
			t.Errorf("the log has a secret or a body:\n%s", text)
		}
	})
}

func (w *world) open() {
	w.t.Helper()
	settings := presence.DefaultSettings()
	settings.CustomStatusBytes, settings.CustomStatusTTL = 1000, 1000*time.Hour
	var err error
	w.Service, err = presence.Open(context.Background(), presence.Config{Path: w.path, Settings: &settings})
	w.must(err)
	w.senders = New(w.Service, slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug})))
	w.senders.dial = w.dial
}

func (w *world) close() {
	w.senders.Close()
	w.must(w.Service.Close())
}

// Write collects the log.
func (w *world) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(line)
}

// dial connects to a receiver in the bubble.
func (w *world) dial(ctx context.Context, _, address string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case w.hosts[address].conns <- server:
		return client, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// configure starts webhooks to URLs, and waits until they follow the service.
func (w *world) configure(urls ...string) {
	w.t.Helper()
	w.must(w.senders.Configure(w.t.Context(), Config{URLs: urls, Secret: secret, Batch: time.Second}))
	synctest.Wait()
}

func (w *world) register(users ...string) {
	w.t.Helper()
	_, err := w.Import(w.t.Context(), users)
	w.must(err)
}

func (w *world) set(user, text string) {
	w.t.Helper()
	_, err := w.Set(w.t.Context(), user, text, 0)
	w.must(err)
	synctest.Wait()
}

func (w *world) remove(user string) {
	w.t.Helper()
	_, err := w.Delete(w.t.Context(), []string{user})
	w.must(err)
}

// pass lets time pass.
func (w *world) pass(d time.Duration) {
	ctx, cancel := context.WithTimeout(w.t.Context(), d)
	defer cancel()
	<-ctx.Done()
	synctest.Wait()
}

// receiver is the server behind a URL. It collects the messages that it receives.
type receiver struct {
	t     *testing.T
	conns chan net.Conn

	mu      sync.Mutex
	respond http.HandlerFunc // nil means 204
	got     []delivery
}

// delivery is one attempt, as the receiver sees it.
type delivery struct {
	at       time.Duration // since the previous one
	when     time.Time
	id       string
	body     string
	header   http.Header
	statuses []string
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{t: t, conns: make(chan net.Conn)}
	server := &http.Server{Handler: r}
	served := make(chan error)
	ended := make(chan struct{})
	go func() { served <- server.Serve(&listener{r.conns, ended}) }()
	t.Cleanup(func() {
		close(ended)
		server.Close()
		<-served
	})
	return r
}

// listener accepts connections in a bubble.
type listener struct {
	conns chan net.Conn
	ended chan struct{}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.ended:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error   { return nil }
func (l *listener) Addr() net.Addr { return new(net.TCPAddr) }

// ServeHTTP stores a message, and responds.
func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		r.t.Error(err)
	}
	var message struct {
		Type      string
		Timestamp time.Time
		Data      struct{ Statuses []presence.Status }
	}
	if err := json.Unmarshal(body, &message); err != nil || message.Type != "user_status.updated" || message.Timestamp.IsZero() {
		r.t.Errorf("the message is %s: %v", body, err)
	}
	d := delivery{when: time.Now(), id: request.Header.Get("webhook-id"), body: string(body), header: request.Header}
	for _, s := range message.Data.Statuses {
		d.statuses = append(d.statuses, strings.TrimSpace(fmt.Sprintf("%s %d %.12s", s.UserID, s.StatusType, s.CustomStatus)))
	}
	r.mu.Lock()
	if n := len(r.got); n > 0 {
		d.at = d.when.Sub(r.got[n-1].when)
	}
	r.got = append(r.got, d)
	respond := r.respond
	r.mu.Unlock()
	if respond == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	respond(w, request)
}

// responds sets how the receiver responds.
func (r *receiver) responds(respond http.HandlerFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.respond = respond
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// take returns what was received since the last call.
func (r *receiver) take() []delivery {
	r.mu.Lock()
	defer r.mu.Unlock()
	got := r.got
	r.got = nil
	return got
}

// gets checks the statuses received since the last call. Each string holds those of
// one message.
func (r *receiver) gets(rule string, want ...string) {
	r.t.Helper()
	var got []string
	for _, d := range r.take() {
		got = append(got, strings.Join(d.statuses, ", "))
	}
	if !slices.Equal(got, want) {
		r.t.Errorf("%s\ngot  %q\nwant %q", rule, got, want)
	}
}

func (w *world) a() *receiver { return w.hosts["a.test:80"] }
func (w *world) b() *receiver { return w.hosts["b.test:80"] }

// TestBatches checks that the first change after a pause is sent immediately, and that
// the changes within the batch are sent together.
func TestBatches(t *testing.T) {
	inBubble(t, func(w *world) {
		w.register("alice", "bob")
		w.set("alice", "old")
		w.configure(urlA)
		w.pass(time.Minute)
		w.a().gets("a new URL begins at the current version")
		w.set("alice", "1")
		w.a().gets("the first change is sent at once", "alice 3 1")
		w.pass(300 * time.Millisecond)
		w.set("alice", "2")
		w.set("bob", "1")
		w.set("alice", "3")
		w.pass(600 * time.Millisecond)
		w.a().gets("changes wait for the end of the batch")
		w.pass(100 * time.Millisecond)
		w.a().gets("changes within the batch are sent together, and conflated", "bob 3 1, alice 3 3")
	})
}

// TestPartsFollowAtOnce checks that there is no pause between the parts of a list that
// was split.
func TestPartsFollowAtOnce(t *testing.T) {
	inBubble(t, func(w *world) {
		w.register("alice")
		w.configure(urlA)
		w.set("alice", "first")
		w.a().take()
		for i := range 200 {
			user := fmt.Sprint("user-", i)
			w.register(user)
			w.set(user, strings.Repeat("x", 900))
		}
		w.pass(time.Second)
		total := 0
		got := w.a().take()
		for i, d := range got {
			if total += len(d.statuses); i > 0 && d.at != 0 {
				t.Errorf("part %d comes %v after the one before it", i, d.at)
			}
			if len(d.body) > 34<<10 {
				t.Errorf("part %d has %d bytes", i, len(d.body))
			}
		}
		if len(got) < 4 || total != 200 {
			t.Errorf("%d users in %d messages", total, len(got))
		}
	})
}

// TestRetries checks that a message stays the same until it is received, that it is
// retried without end, with a growing delay, and that changes in the meantime are
// conflated.
func TestRetries(t *testing.T) {
	inBubble(t, func(w *world) {
		w.register("alice")
		w.configure(urlA, urlB)
		w.a().responds(status(500))
		w.set("alice", "secret-text")
		for n := range 5 {
			w.set("alice", fmt.Sprint(n))
		}
		w.pass(time.Hour)
		w.b().gets("a URL that fails doesn't delay another", "alice 3 secret-text", "alice 3 4")
		got := w.a().take()
		if len(got) < 18 || len(got) > 22 {
			t.Fatalf("%d attempts within an hour", len(got))
		}
		for i, d := range got[1:] {
			longest := min(time.Second<<min(i, 20), 5*time.Minute)
			if d.at > longest || d.at < longest*9/10 {
				t.Errorf("attempt %d comes after %v, want a little less than %v", i+2, d.at, longest)
			}
			if d.id != got[0].id || d.body != got[0].body {
				t.Errorf("attempt %d sends another message", i+2)
			}
			if stamp := d.header.Get("webhook-timestamp"); stamp != fmt.Sprint(d.when.Unix()) {
				t.Errorf("attempt %d at %v has the timestamp %s", i+2, d.when.Unix(), stamp)
			}
		}
		w.a().responds(nil)
		w.pass(5 * time.Minute)
		w.a().gets("the message is received, and then the latest status", "alice 3 secret-text", "alice 3 4")
		w.set("alice", "5")
		w.pass(time.Second)
		w.a().gets("then everything is as before", "alice 3 5")
		for _, line := range []string{"webhook fails", "webhook works again"} {
			if n := strings.Count(w.log.String(), "level=WARN msg=\""+line) + strings.Count(w.log.String(), "level=INFO msg=\""+line); n != 1 {
				t.Errorf("%q is logged %d times", line, n)
			}
		}
	})
}

// TestHangingURL checks that an attempt ends after 10 seconds without a response.
func TestHangingURL(t *testing.T) {
	inBubble(t, func(w *world) {
		w.register("alice")
		w.configure(urlA, urlB)
		w.a().responds(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		w.set("alice", "1")
		w.pass(10*time.Second - time.Millisecond)
		if failing := w.senders.States()[0].Failing; failing != "" {
			t.Errorf("failing before 10 seconds: %s", failing)
		}
		w.pass(time.Millisecond)
		if failing := w.senders.States()[0].Failing; failing != "no response within 10s" {
			t.Errorf("after 10 seconds: %s", failing)
		}
		w.a().responds(nil)
		w.pass(time.Second)
		w.a().gets("tried again a second later", "alice 3 1", "alice 3 1")
		w.b().gets("no other URL is delayed", "alice 3 1")
	})
}

// TestGone checks that a response of 410 ends the deliveries to a URL until the next
// start.
func TestGone(t *testing.T) {
	inBubble(t, func(w *world) {
		w.register("alice")
		w.configure(urlA)
		w.a().responds(status(http.StatusGone))
		w.set("alice", "1")
		w.a().responds(nil)
		w.set("alice", "2")
		w.pass(time.Hour)
		w.configure(urlA, urlB)
		w.pass(time.Hour)
		w.a().gets("nothing is sent after 410", "alice 3 1")
		if state := w.senders.States()[0]; !strings.Contains(state.Failing, "410 Gone") || state.Behind < time.Hour {
			t.Errorf("the state is %+v", state)
		}
		w.close()
		w.open()
		w.configure(urlA, urlB)
		w.a().gets("the next start sends what was missed", "alice 3 2")
	})
}

// TestRestart checks that a restart loses nothing, and repeats nothing that was
// received. Users who were deleted in the meantime are sent as UNKNOWN.
func TestRestart(t *testing.T) {
	inBubble(t, func(w *world) {
		w.register("alice", "bob", "carol")
		w.configure(urlA)
		w.set("alice", "1")
		w.a().take()
		w.a().responds(status(503))
		w.pass(time.Second)
		w.set("bob", "1")
		w.close()
		w.open()
		w.set("carol", "1")
		w.remove("bob")
		w.a().responds(nil)
		w.a().take()
		w.configure(urlA)
		w.a().gets("everything that was not received", "carol 3 1, bob 0")
		w.close()
		w.open()
		w.configure(urlA)
		w.pass(time.Hour)
		w.a().gets("nothing that was received")
	})
}

// TestConfigure checks that a URL that stays continues with its message, signed with
// the new secret, that a removed URL is forgotten, and that an added URL starts at the
// current version.
func TestConfigure(t *testing.T) {
	inBubble(t, func(w *world) {
		w.register("alice", "bob")
		w.configure(urlA)
		w.a().responds(status(500))
		w.set("alice", "1")
		before := w.a().take()[0]
		changed := Config{URLs: []string{urlB, urlA}, Secret: "whsec_" + strings.Repeat("abcd", 8), Batch: time.Minute}
		w.must(w.senders.Configure(t.Context(), changed))
		w.pass(time.Second)
		after := w.a().take()[0]
		if before.id != after.id || before.body != after.body {
			t.Error("another message is sent")
		}
		if key, _ := decodeSecret(changed.Secret); after.header.Get("webhook-signature") != signature(after, key) {
			t.Error("the message is not signed with the new secret")
		}
		w.b().gets("a new URL begins at the current version")
		w.a().responds(nil)
		w.pass(time.Minute)
		w.a().take()
		w.set("bob", "1")
		w.set("bob", "2")
		w.pass(59 * time.Second)
		w.b().gets("the new batch applies", "bob 3 1")
		w.pass(2 * time.Second)
		w.b().gets("the new batch ends", "bob 3 2")

		w.configure(urlB)
		w.a().take()
		w.set("bob", "3")
		w.configure(urlB, urlA)
		w.pass(time.Hour)
		w.a().gets("a URL that was removed is forgotten")
	})
}

// signature returns the signature that a delivery must have.
func signature(d delivery, key []byte) string {
	h := make(http.Header)
	message{d.id, []byte(d.body)}.sign(h, key, d.when)
	return h.Get("webhook-signature")
}

// TestStates checks how far each URL has come, and for how long something has been
// missing.
func TestStates(t *testing.T) {
	inBubble(t, func(w *world) {
		w.register("alice")
		w.configure(urlA, urlB)
		w.pass(time.Minute)
		w.a().responds(status(404))
		w.set("alice", "1")
		changed, _ := w.Get("alice")
		w.pass(100 * time.Second)
		states := w.senders.States()
		if a := states[0]; a.URL != "http://a.test/hook" || a.Version >= changed[0].Version || a.Behind != 100*time.Second ||
			a.Failing != "the response is 404 Not Found" || a.Sent != 0 || a.Failed != 7 {
			t.Errorf("a URL that fails: %+v", a)
		}
		if b := states[1]; b.URL != urlB || b.Version != changed[0].Version || b.Behind != 0 || b.Failing != "" || b.Sent != 1 || b.Failed != 0 {
			t.Errorf("a URL that works: %+v", b)
		}
		w.set("alice", "2")
		w.a().responds(nil)
		w.pass(2 * time.Minute)
		if a := w.senders.States()[0]; a.Behind != 0 || a.Failing != "" || a.Sent != 2 {
			t.Errorf("a URL that works again: %+v", a)
		}
	})
}

// TestBehindCountsFromTheChange checks that after an outage the age of what is still
// missing is the age of the change, not that of the message.
func TestBehindCountsFromTheChange(t *testing.T) {
	inBubble(t, func(w *world) {
		w.register("alice", "bob")
		w.configure(urlA)
		received := 0
		w.a().responds(func(w http.ResponseWriter, r *http.Request) {
			if received++; received == 1 { // the message about alice is received after a minute
				w.WriteHeader(http.StatusOK)
				return
			}
			w.WriteHeader(http.StatusBadGateway)
		})
		w.set("alice", "1")
		w.set("bob", "1")
		w.pass(time.Minute)
		if a := w.senders.States()[0]; a.Behind != time.Minute {
			t.Errorf("bob has been missing for %v, want a minute", a.Behind)
		}
	})
}
