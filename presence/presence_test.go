package presence

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// world is a service on a database of its own, with calls that fail the test instead
// of returning errors.
type world struct {
	*Service
	t        *testing.T
	path     string
	settings Settings
	log      Log    // nil means none
	node     string // the name of the node

	agreement []string
	codec     *codec // nil means that of this release
	logger    *slog.Logger
	asleep    atomic.Int64 // how long the machine was suspended, in nanoseconds
	clockSet  func()
}

func open(t *testing.T, adjust ...func(*Settings)) *world {
	t.Helper()
	settings := DefaultSettings()
	for _, f := range adjust {
		f(&settings)
	}
	w := &world{t: t, path: filepath.Join(t.TempDir(), "presence.db"), settings: settings}
	w.start()
	return w
}

func (w *world) start() {
	w.t.Helper()
	svc, err := Open(context.Background(), Config{Path: w.path, Settings: &w.settings, Log: w.log, Node: w.node, Agreement: w.agreement, Logger: w.logger, codec: w.codec, machine: &machine{
		suspended: func() time.Duration { return time.Duration(w.asleep.Load()) },
		onClockSet: func(f func()) (func(), error) {
			w.clockSet = f
			return func() {}, nil
		},
	}})
	w.must(err)
	w.t.Cleanup(func() { svc.Close() })
	w.Service = svc
}

// restart stops the service, and starts it again after a time.
func (w *world) restart(after time.Duration) {
	w.t.Helper()
	w.must(w.Close())
	w.pass(after)
	w.start()
}

// killed returns what a kill -9 at this moment would leave: the files as they are, in
// a folder of their own. No service runs on them yet; see start.
func (w *world) killed() *world {
	w.t.Helper()
	copied := &world{t: w.t, path: filepath.Join(w.t.TempDir(), "presence.db"), settings: w.settings}
	for _, suffix := range []string{"", "-wal"} {
		copyFile(w.t, w.path+suffix, copied.path+suffix)
	}
	return copied
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// pass lets time pass, until everything that becomes due is done. It must be called in
// a synctest bubble.
func (w *world) pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func (w *world) register(users ...string) {
	w.t.Helper()
	failed, err := w.Import(w.t.Context(), users)
	w.succeeded(failed, err)
}

func (w *world) succeeded(failed []Failure, err error) {
	w.t.Helper()
	w.must(err)
	if len(failed) > 0 {
		w.t.Fatalf("failed: %v", failed)
	}
}

func (w *world) set(user, text string, expiresIn time.Duration) Status {
	w.t.Helper()
	status, err := w.Set(w.t.Context(), user, text, expiresIn)
	w.must(err)
	return status
}

func (w *world) subscribe(user string, targets ...string) SubscribeResult {
	w.t.Helper()
	answer, err := w.Subscribe(w.t.Context(), user, targets)
	w.succeeded(answer.Failed, err)
	return answer
}

func (w *world) unsubscribe(user string, targets ...string) {
	w.t.Helper()
	w.succeeded(w.Unsubscribe(w.t.Context(), user, targets))
}

// befriend adds friends to the user's list only.
func (w *world) befriend(user string, friends ...string) {
	w.t.Helper()
	w.succeeded(w.AddFriends(w.t.Context(), user, friends, false))
}

func (w *world) unfriend(user string, friends ...string) {
	w.t.Helper()
	w.succeeded(w.RemoveFriends(w.t.Context(), user, friends, false))
}

func (w *world) remove(users ...string) {
	w.t.Helper()
	w.succeeded(w.Delete(w.t.Context(), users))
}

func (w *world) configure(adjust func(*Settings)) {
	w.t.Helper()
	adjust(&w.settings)
	w.must(w.Configure(w.t.Context(), w.settings))
}

// is compares a status, such as "alice ONLINE" or "alice OFFLINE In a call".
func (w *world) is(want, promise string) {
	w.t.Helper()
	user, _, _ := strings.Cut(want, " ")
	found, _ := w.Get(user)
	if got := strings.Join(describe(found), ", "); got != want {
		w.t.Errorf("got %q, want %q: %s", got, want, promise)
	}
}

func describe(all []Status) []string {
	var list []string
	for _, s := range all {
		list = append(list, strings.TrimSpace(s.UserID+" "+s.StatusType.String()+" "+s.CustomStatus))
	}
	return list
}

// stream is a session, and what its reader has received.
type stream struct {
	*Session
	w        *world
	device   Device
	ready    Event
	cursor   int64
	versions map[string]int64
}

func (w *world) web(user, device string) *stream {
	w.t.Helper()
	return w.connect(Device{UserID: user, ID: device, Platform: Web})
}

func (w *world) ios(user, device string) *stream {
	w.t.Helper()
	return w.connect(Device{UserID: user, ID: device, Platform: IOS})
}

// connect opens a stream and reads READY.
func (w *world) connect(d Device) *stream {
	w.t.Helper()
	s := w.connectUnread(d)
	if s.ready = s.next(); s.ready.Type != EventReady {
		w.t.Fatalf("the first event is %s, want READY", s.ready.Type)
	}
	return s
}

func (w *world) connectUnread(d Device) *stream {
	w.t.Helper()
	session, err := w.Connect(w.t.Context(), d)
	w.must(err)
	w.t.Cleanup(session.Close)
	d.ID = session.DeviceID()
	return &stream{Session: session, w: w, device: d, cursor: d.Cursor, versions: make(map[string]int64)}
}

// resume opens a stream of the same device, from the last event of this one.
func (s *stream) resume() *stream {
	s.w.t.Helper()
	return s.resumeFrom(s.cursor)
}

func (s *stream) resumeFrom(cursor int64) *stream {
	s.w.t.Helper()
	d := s.device
	d.Resume, d.Cursor = true, cursor
	return s.w.connect(d)
}

// next returns the next event, and checks what every stream promises.
func (s *stream) next() Event {
	s.w.t.Helper()
	ctx, cancel := context.WithTimeout(s.w.t.Context(), time.Minute)
	defer cancel()
	event, err := s.Next(ctx)
	s.w.must(err)
	s.hold(event)
	return event
}

func (s *stream) hold(event Event) {
	s.w.t.Helper()
	if event.Cursor < s.cursor && event.Type != EventReady {
		s.w.t.Errorf("%s: the cursor goes back from %d to %d", s.device.UserID, s.cursor, event.Cursor)
	}
	s.cursor = event.Cursor
	for _, status := range event.Statuses {
		// The same version may be sent again: a friendship or a switch gives a new
		// reason to send it.
		if seen := s.versions[status.UserID]; status.Version < seen {
			s.w.t.Errorf("%s receives version %d of %s after %d: versions of one user only grow on one stream",
				s.device.UserID, status.Version, status.UserID, seen)
		}
		s.versions[status.UserID] = status.Version
	}
}

// wants reads one list of statuses, which are given in order of their users.
func (s *stream) wants(want ...string) {
	s.w.t.Helper()
	event := s.next()
	if event.Type != EventUpdated {
		s.w.t.Fatalf("%s gets %s, want %v", s.device.UserID, event.Type, want)
	}
	if got := slices.Sorted(slices.Values(describe(event.Statuses))); !slices.Equal(got, want) {
		s.w.t.Errorf("%s gets %q, want %q", s.device.UserID, got, want)
	}
}

// quiet fails if anything waits to be sent. No time has to pass, because a change is
// announced before its caller is answered.
func (s *stream) quiet(promise string) {
	s.w.t.Helper()
	if waiting := s.waitingUsers(); len(waiting) > 0 {
		s.w.t.Errorf("%s is about to receive %v: %s", s.device.UserID, waiting, promise)
	}
}

func (s *stream) waitingUsers() []string {
	s.w.mu.RLock()
	defer s.w.mu.RUnlock()
	var ids []string
	for u := range maps.Keys(s.waiting) {
		ids = append(ids, u.userID)
	}
	return slices.Sorted(slices.Values(ids))
}

// isKicked reads the last event and the end.
func (s *stream) isKicked(why KickReason) {
	s.w.t.Helper()
	if event := s.next(); event.Type != EventKickedOut || event.Kick != why {
		s.w.t.Errorf("got %s %s, want KICKED_OUT %s", event.Type, event.Kick, why)
	}
	s.ends(io.EOF)
}

func (s *stream) ends(want error) {
	s.w.t.Helper()
	if event, err := s.Next(s.w.t.Context()); err != want {
		s.w.t.Errorf("got %v and error %v, want the end of the stream by %v", event.Type, err, want)
	}
}

func wantCode(t *testing.T, err error, want Code, promise string) {
	t.Helper()
	if got := ErrorCode(err); got != want {
		t.Errorf("got error %v (code %d), want code %d: %s", err, got, want, promise)
	}
}

func wantList[T any](t *testing.T, got, want []T, promise string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v: %s", got, want, promise)
	}
}
