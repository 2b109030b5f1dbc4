// Calendar shows people as busy during the events of their calendars. It reads an
// iCalendar (ICS) address for each user, and sets their entry of the source "calendar"
// through the server API. README.md explains how to run it.
package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
	_ "time/tzdata" // for systems that don't have the time zone database

	ics "github.com/arran4/golang-ical"
	"github.com/pelletier/go-toml/v2"
)

const (
	keyVariable = "CALENDAR_ADMIN_KEY"
	maxBytes    = 8 << 20 // of a calendar
	maxTime     = 30 * time.Second
	// A call ("call", priority 10) is shown above a calendar, and a calendar above the
	// user's own text (0).
	priority = 5
)

// config is the configuration file. All but the calendars have defaults.
type config struct {
	Server       string            `toml:"server"`
	AdminKeyFile string            `toml:"admin_key_file"` // instead of CALENDAR_ADMIN_KEY
	Interval     interval          `toml:"interval"`       // between downloads: 1m to 24h
	Text         string            `toml:"text"`
	Calendars    map[string]string `toml:"calendars"` // the ICS address of each userID

	key string
}

type interval struct{ time.Duration }

// UnmarshalText reads an interval such as 5m.
func (i *interval) UnmarshalText(text []byte) (err error) {
	i.Duration, err = time.ParseDuration(string(text))
	return err
}

func main() {
	path := flag.String("config", "calendar.toml", "the configuration `file`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	c, err := load(*path)
	if err != nil {
		fmt.Fprintln(os.Stderr, "calendar:", err)
		os.Exit(1)
	}
	run(ctx, c)
}

// load reads and checks the configuration, and the admin key.
func load(path string) (*config, error) {
	c := &config{Server: "http://localhost:8080", Interval: interval{5 * time.Minute}, Text: "In a meeting"}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if err := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(c); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	c.key = os.Getenv(keyVariable)
	if c.AdminKeyFile != "" {
		key, err := os.ReadFile(c.AdminKeyFile)
		if err != nil {
			return nil, fmt.Errorf("admin_key_file: %w", err)
		}
		c.key = strings.TrimSpace(string(key))
	}
	return c, c.check()
}

func (c *config) check() error {
	switch {
	case c.key == "":
		return errors.New("there is no admin key: set admin_key_file or " + keyVariable)
	case c.Interval.Duration < time.Minute || c.Interval.Duration > ahead:
		return errors.New("interval must be between 1m and 24h")
	case len(c.Calendars) == 0:
		return errors.New("[calendars] is empty")
	}
	for userID, address := range c.Calendars {
		u, err := url.Parse(address)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "webcal" {
			return fmt.Errorf("the calendar of %q is not an address that begins with https://", userID)
		}
	}
	return nil
}

// run follows all calendars, each by itself, until the context is done. It leaves the
// entries as they are, because they expire.
func run(ctx context.Context, c *config) {
	var all sync.WaitGroup
	for userID, address := range c.Calendars {
		address = strings.Replace(address, "webcal://", "https://", 1)
		all.Go(func() { (&follower{config: c, userID: userID, address: address}).run(ctx) })
	}
	all.Wait()
}

// follower follows the calendar of one user.
type follower struct {
	*config
	userID, address string

	calendar           *ics.Calendar // as last downloaded
	etag, lastModified string        // of it
	logged             string        // the last error
}

func (f *follower) run(ctx context.Context) {
	for {
		pause, err := f.poll(ctx, time.Now())
		if ctx.Err() == nil {
			f.report(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// report logs an error, unless it is the one that was logged last.
func (f *follower) report(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != f.logged && err != nil {
		slog.Error("the calendar was not read in full or not set", "userID", f.userID, "error", text)
	}
	f.logged = text
}

// poll downloads the calendar and sets the entry. It returns when to poll again: after
// the interval, or at the end of the entry, so that the next one can be set.
func (f *follower) poll(ctx context.Context, now time.Time) (pause time.Duration, err error) {
	pause = f.Interval.Duration
	ctx, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()
	if err := f.download(ctx); err != nil {
		return pause, fmt.Errorf("download: %w", err)
	}
	// The next poll sets its entry up to maxTime after it begins.
	found, skipped := busy(ctx, f.calendar, now, now.Add(pause+maxTime))
	if found == (span{}) && skipped != nil {
		return pause, skipped // it isn't known that the user is free
	}
	if err := f.set(ctx, found, now); err != nil {
		return pause, err
	}
	if !found.end.IsZero() {
		pause = min(pause, max(found.end.Sub(now), time.Second))
	}
	return pause, skipped
}

// download downloads the calendar if it has changed. Its errors don't contain the
// address, which is a secret.
func (f *follower) download(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, f.address, nil)
	if err != nil {
		return errors.New("the address is malformed")
	}
	setIf(request.Header, "If-None-Match", f.etag)
	setIf(request.Header, "If-Modified-Since", f.lastModified)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return withoutURL(err)
	}
	defer response.Body.Close()
	switch {
	case response.StatusCode == http.StatusNotModified && f.calendar != nil:
		return nil
	case response.StatusCode != http.StatusOK:
		return errors.New(response.Status)
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxBytes+1))
	if err != nil {
		return withoutURL(err)
	}
	if len(text) > maxBytes {
		return fmt.Errorf("it is larger than %d bytes", maxBytes)
	}
	calendar, err := parse(text)
	if err != nil {
		return err
	}
	f.calendar, f.etag, f.lastModified = calendar, response.Header.Get("ETag"), response.Header.Get("Last-Modified")
	return nil
}

// parse reads a calendar.
func parse(text []byte) (calendar *ics.Calendar, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("it is not a calendar: %v", p)
		}
	}()
	if calendar, err = ics.ParseCalendar(bytes.NewReader(text)); err != nil {
		return nil, fmt.Errorf("it is not a calendar: %w", err)
	}
	return calendar, nil
}

func setIf(header http.Header, name, value string) {
	if value != "" {
		header.Set(name, value)
	}
}

// withoutURL returns an error without the address that net/http adds to it.
func withoutURL(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// set sets the entry of the user, or withdraws it if the span is zero.
func (f *follower) set(ctx context.Context, s span, now time.Time) error {
	body := map[string]any{"userID": f.userID, "source": "calendar", "customStatus": ""}
	if !s.end.IsZero() {
		body["customStatus"], body["availability"], body["priority"] = f.Text, "busy", priority
		body["expiresAt"] = s.end.UTC().Format(time.RFC3339)
		if s.start.After(now) {
			body["startsAt"] = s.start.UTC().Format(time.RFC3339)
		}
	}
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, f.Server+"/v1/admin/setUserStatus", bytes.NewReader(text))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+f.key)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var answer struct {
		Code    int
		Message string
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, 1<<20)).Decode(&answer); err != nil {
		return fmt.Errorf("%s: %s: not a response of the server: %w", f.Server, response.Status, err)
	}
	if answer.Code != 0 || response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %d: %s", f.Server, answer.Code, cmp.Or(answer.Message, response.Status))
	}
	return nil
}
