package httpapi_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/presence-server/presence/httpapi"
	"github.com/presence-server/presence/presence"
)

const (
	secret   = "a secret for tests, 32 bytes long"
	adminKey = "an admin key for tests, 32 bytes"
	appID    = 1400000000
	patience = 30 * time.Second // bounds one wait; every wait is for the event itself
)

// options are what a test changes about a server before it starts.
type options struct {
	settings presence.Settings
	config   httpapi.Config
	prefix   string
	serve    func(*httptest.Server) // nil means plain HTTP/1.1
}

// server is a presence server on a real socket and a real database.
type server struct {
	t      testing.TB
	svc    *presence.Service
	api    *httpapi.Handler
	tokens *httpapi.Tokens
	http   *httptest.Server
	prefix string
	log    *logBuffer

	mu   sync.Mutex
	sent []string // tokens that must not be in the log
}

func newServer(t testing.TB, change ...func(*options)) *server {
	t.Helper()
	s := &server{t: t, log: new(logBuffer)}
	log := slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	o := options{settings: presence.DefaultSettings()}
	o.config.Tokens = &httpapi.Tokens{Secret: []byte(secret), SDKAppID: appID}
	o.config.AdminKey, o.config.Limits, o.config.Logger = adminKey, httpapi.DefaultLimits(), log
	o.config.Limits.Failures = 1 << 20 // many tests send wrong tokens
	for _, c := range change {
		c(&o)
	}
	var err error
	s.svc, err = presence.Open(t.Context(), presence.Config{
		Path: filepath.Join(t.TempDir(), "presence.db"), Settings: &o.settings, Logger: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.svc.Close() })
	o.config.Service = s.svc
	if s.api, err = httpapi.New(o.config); err != nil {
		t.Fatal(err)
	}
	s.tokens, s.prefix = o.config.Tokens, o.prefix
	s.listen(&o, log)
	return s
}

func (s *server) listen(o *options, log *slog.Logger) {
	mux := http.NewServeMux()
	mux.Handle(o.prefix+"/", http.StripPrefix(o.prefix, s.api))
	s.http = httptest.NewUnstartedServer(mux)
	s.http.Config.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelDebug)
	if o.serve != nil {
		o.serve(s.http)
	} else {
		s.http.Start()
	}
	s.t.Cleanup(func() {
		s.http.CloseClientConnections()
		s.http.Close()
		s.checkLog()
	})
}

// logBuffer collects what is logged.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(line)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// checkLog checks, for every test, that no token is in the log or the metrics.
func (s *server) checkLog() {
	log := s.log.String() + s.scrape()
	for _, token := range s.sent {
		for part := range strings.SplitSeq(token, ".") {
			if len(part) >= 16 && strings.Contains(log, part[:16]) {
				s.t.Errorf("no token ever reaches a log or the metrics, but %q is in it:\n%s", part[:16], log)
				return
			}
		}
	}
}

func (s *server) remember(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = append(s.sent, token)
}

// caller makes calls with one token.
type caller struct {
	s     *server
	token string
}

func (s *server) as(token string) caller { return caller{s, token} }

func (s *server) admin() caller { return s.as(adminKey) }

// user returns a caller with a newly issued token.
func (s *server) user(userID string) caller { return s.as(s.issue(userID)) }

func (s *server) issue(userID string) string {
	s.t.Helper()
	token, _, err := s.tokens.Issue(userID, time.Hour)
	if err != nil {
		s.t.Fatal(err)
	}
	return token
}

// register registers users, so that their first call changes nothing.
func (s *server) register(userIDs ...string) {
	s.t.Helper()
	if _, err := s.svc.Import(s.t.Context(), userIDs); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) version() int64 {
	s.t.Helper()
	stats, err := s.svc.Stats(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return stats.Version
}

func (c caller) post(path, body string) *answer {
	c.s.t.Helper()
	return c.s.call(http.MethodPost, path, c.token, body)
}

func (c caller) get(path string) *answer {
	c.s.t.Helper()
	return c.s.call(http.MethodGet, path, c.token, "")
}

// call makes one call, and records it.
func (s *server) call(method, path, token, body string) *answer {
	s.t.Helper()
	header := http.Header{}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
		s.remember(token)
	}
	return s.send(method, path, header, body)
}

func (s *server) send(method, path string, header http.Header, body string) *answer {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, s.http.URL+s.prefix+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header = header
	response, err := s.http.Client().Do(request)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	record(s.t, exchange{Method: method, Path: path, Sent: header, Asked: []byte(body),
		Status: response.StatusCode, Header: response.Header, Got: text})
	return &answer{s.t, method + " " + path + " " + body, response.StatusCode, response.Header, string(text)}
}

// answer is the response to a call.
type answer struct {
	t      testing.TB
	call   string
	status int
	header http.Header
	body   string
}

var (
	versions = regexp.MustCompile(`"version":\d+`)
	moments  = regexp.MustCompile(`\d{4}-\d\d-\d\dT[\d:.]+Z`)
	secrets  = regexp.MustCompile(`"token":"[^"]+"`)
)

// normal replaces what differs from run to run.
func normal(text string) string {
	text = versions.ReplaceAllString(text, `"version":N`)
	text = moments.ReplaceAllString(text, "T")
	return strings.TrimSpace(secrets.ReplaceAllString(text, `"token":"…"`))
}

// is checks that the call succeeded with this data; rule says why it must.
func (a *answer) is(data, rule string) {
	a.t.Helper()
	if want := `{"code":0,"data":` + data + `}`; a.status != http.StatusOK || normal(a.body) != want {
		a.t.Errorf("%s\nBroken: %s\ngot  %d %s\nwant 200 %s", a.call, rule, a.status, normal(a.body), want)
	}
}

// fails checks that the call was refused; rule says why it must be.
func (a *answer) fails(status int, code string, rule string) {
	a.t.Helper()
	if a.status != status || !strings.HasPrefix(a.body, `{"code":`+code+`,"message":"`) {
		a.t.Errorf("%.300s\nBroken: %s\ngot  %d %.300s\nwant %d with code %s", a.call, rule, a.status, a.body, status, code)
	}
}

// has checks a header; rule says why it must have this value.
func (a *answer) has(name, value, rule string) {
	a.t.Helper()
	if got := a.header.Get(name); got != value {
		a.t.Errorf("%.300s\nBroken: %s\n%s is %q, want %q", a.call, rule, name, got, value)
	}
}
