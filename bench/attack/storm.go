//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	server "github.com/presence-server/presence/deploy/testserver"
)

const (
	stormStreams = 10_000
	stormWatched = 5 // others whom each watches

	// stormRoom is how much memory each stream may take while all begin at once.
	stormRoom = 64 << 10
)

// storm is many streams that are lost and return at once.
type storm struct {
	v       *victim
	r       *report
	users   []string
	streams []*stormStream
	highest atomic.Int64 // version, from which on a status is news
}

type stormStream struct {
	request string
	conn    net.Conn
	cursor  string
	ended   chan struct{}
}

// stormCut has all connections break at once, as when a proxy is restarted.
func (a *attacker) stormCut(ctx context.Context, r *report) error {
	return a.storm(ctx, r, func(s *storm) error {
		for _, stream := range s.streams {
			stream.conn.(*net.TCPConn).SetLinger(0)
			stream.conn.Close()
		}
		return nil
	})
}

// stormKilled has the server killed with -9.
func (a *attacker) stormKilled(ctx context.Context, r *report) error {
	return a.storm(ctx, r, func(s *storm) error {
		s.v.Kill()
		return s.v.Start()
	})
}

// storm has the streams begin at once, lose their connections, and return at
// once: all are READY, in bounded memory, and nobody is told anything new.
func (a *attacker) storm(ctx context.Context, r *report, lose func(*storm) error) error {
	v, err := a.start("TIMING__RESTART_GRACE=60s", "TIMING__RECONNECT_GRACE=60s")
	if err != nil {
		return err
	}
	defer v.end()
	s := &storm{v: v, r: r}
	if err := s.prepare(ctx, a); err != nil {
		return err
	}
	defer s.hangUp()
	if err := s.open(ctx, "begin"); err != nil {
		return err
	}
	before, err := s.settle(ctx)
	if err != nil {
		return err
	}
	if err := lose(s); err != nil {
		return err
	}
	for _, stream := range s.streams {
		<-stream.ended
	}
	if err := s.open(ctx, "return"); err != nil {
		return err
	}
	r.try("%d streams, each watching %d others", stormStreams, stormWatched)
	return s.look(ctx, before)
}

// prepare registers the users, of whom each watches the next few.
func (s *storm) prepare(ctx context.Context, a *attacker) error {
	name := func(i int) string { return fmt.Sprintf("storm-%05d", i%stormStreams) }
	for i := range stormStreams {
		s.users = append(s.users, name(i))
		s.streams = append(s.streams, &stormStream{request: fmt.Sprintf(
			"GET /v1/events?deviceID=d HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n", a.token(name(i)))})
	}
	if err := s.v.register(ctx, s.users); err != nil {
		return err
	}
	return s.each(64, func(i int) error {
		var next []string
		for k := range stormWatched {
			next = append(next, name(i+k+1))
		}
		return s.v.befriend(ctx, name(i), false, next...)
	})
}

// each does something for each stream, so many at once, and returns the first
// error.
func (s *storm) each(atOnce int, do func(i int) error) error {
	var running sync.WaitGroup
	var next atomic.Int64
	failed := make(chan error, atOnce)
	for range atOnce {
		running.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(s.streams); i = int(next.Add(1)) - 1 {
				if err := do(i); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	running.Wait()
	close(failed)
	return <-failed
}

// open opens all streams at once, and returns when each is READY.
func (s *storm) open(ctx context.Context, what string) error {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, settled)
	defer cancel()
	err := s.each(len(s.streams), func(i int) error { return s.streams[i].open(ctx, s) })
	s.r.figure("all READY %.1f s after they %s", time.Since(began).Seconds(), what)
	if err != nil {
		return fmt.Errorf("not every stream is READY: %w", err)
	}
	peak, err := s.v.peak()
	s.r.figure("memory at most %d MiB", peak>>20)
	if peak > stormStreams*stormRoom {
		s.r.lose("%d streams take %d MiB when they %s at once", stormStreams, peak>>20, what)
	}
	return err
}

// open opens the stream, and reads on behind READY.
func (t *stormStream) open(ctx context.Context, s *storm) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", s.v.address)
	if err != nil {
		return err
	}
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	request := t.request
	if t.cursor != "" {
		request += "Last-Event-ID: " + t.cursor + "\r\n"
	}
	if _, err := conn.Write([]byte(request + "\r\n")); err != nil {
		return err
	}
	lines := bufio.NewReader(conn)
	status, err := lines.ReadString('\n')
	if err != nil || !strings.HasPrefix(status, "HTTP/1.1 200") {
		return fmt.Errorf("a stream is answered %q, %w", status, err)
	}
	if event, err := t.next(lines, s); err != nil || event != "READY" {
		return fmt.Errorf("a stream begins with %q, %w", event, err)
	}
	conn.SetDeadline(time.Time{})
	t.conn, t.ended = conn, make(chan struct{})
	go func() {
		defer close(t.ended)
		defer conn.Close()
		for err == nil {
			_, err = t.next(lines, s)
		}
	}()
	return nil
}

// next reads one event, and looks whether it tells anything new.
func (t *stormStream) next(lines *bufio.Reader, s *storm) (event string, err error) {
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return "", err
		}
		line = strings.TrimRight(line, "\r\n")
		name, value, _ := strings.Cut(line, ": ")
		switch {
		case name == "id":
			t.cursor = value
		case name == "event":
			event = value
		case name == "data":
			s.isOld(value)
		case line == "" && event != "":
			return event, nil
		}
	}
}

// isOld looks at the versions of the statuses in an event.
func (s *storm) isOld(data string) {
	highest := s.highest.Load()
	for _, after := range strings.Split(data, `"version":`)[1:] {
		end := strings.IndexAny(after, ",}")
		version, _ := strconv.ParseInt(after[:max(0, end)], 10, 64)
		if highest != 0 && version > highest {
			s.r.lose("news in a storm: %.200s", data)
		}
	}
}

// settle notes what all know before the storm.
func (s *storm) settle(ctx context.Context) (map[string]server.Status, error) {
	before, err := s.v.statuses(ctx, s.users)
	if err != nil {
		return nil, err
	}
	for _, status := range before {
		s.highest.Store(max(s.highest.Load(), status.Version))
		if status.StatusType != 1 {
			s.r.lose("%s has a stream, and is %d", status.UserID, status.StatusType)
		}
	}
	return before, nil
}

// look compares with what was before the storm, and sees that the streams live.
func (s *storm) look(ctx context.Context, before map[string]server.Status) error {
	after, err := s.v.statuses(ctx, s.users)
	if err != nil {
		return err
	}
	for user, status := range before {
		if after[user] != status {
			s.r.lose("a storm made %+v of %+v", after[user], status)
		}
	}
	streams, err := s.v.metric(ctx, "presence_streams")
	if err == nil && int(streams) != stormStreams {
		s.r.lose("%d streams are back, and %.0f open", stormStreams, streams)
	}
	return err
}

func (s *storm) hangUp() {
	for _, stream := range s.streams {
		if stream.conn != nil {
			stream.conn.Close()
			<-stream.ended
		}
	}
}
