package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/presence-server/presence/presence"
)

const helpFollow = `Shows each change of status on the server on this machine as it happens, until
Ctrl+C: the time, the user, the status before and after, the custom status, and what
else others or the server side see. With USERs it shows only theirs. A user who doesn't exist before or after is UNKNOWN then.
The server must be running, with auth.admin_key set.

If the server stops, it waits until the server is back, shows what has changed in the
meantime, and goes on. Of several changes at once it shows the last.

With -json each line is a status object as in the API, for scripts.

Exit code: 0 ended by Ctrl+C, or nobody reads the output, 1 failed, 2 misused.`

func startFollow(set *flag.FlagSet) action {
	asJSON := set.Bool("json", false, "print a status object per line")
	return func(ctx context.Context, read reader, operands []string) error {
		for _, userID := range operands {
			if err := presence.CheckID(userID); err != nil {
				return misused(set, fmt.Errorf("%q: %w", userID, err))
			}
		}
		c, config, err := newClient(read)
		if err != nil {
			return err
		}
		f := follower{client: c, out: newOutput(), notes: os.Stderr, asJSON: *asJSON, only: operands, known: make(map[string]presence.Status)}
		f.patience = 3*config.settings.Keepalive + 5*time.Second
		if err := f.run(ctx); ctx.Err() == nil {
			return err
		}
		return nil
	}
}

// follower shows the changes that a feed sends. It first reads the statuses as they
// are, without showing them, to know what each change changes.
type follower struct {
	client   *client
	out      *output
	notes    io.Writer // for messages about the connection
	asJSON   bool
	only     []string      // the users to show; empty means all
	patience time.Duration // how long a stream may be silent before it counts as dead

	known    map[string]presence.Status // without versions
	cursor   string                     // the id of the last event
	failures int                        // since the last event
}

// run connects, and again after each outage, until ctx is done.
func (f *follower) run(ctx context.Context) error {
	if err := f.begin(ctx); err != nil {
		return err
	}
	fmt.Fprintf(f.notes, "following %s; press Ctrl+C to stop\n", f.client.name)
	for {
		err := f.connect(ctx)
		if _, passes := errors.AsType[outage](err); !passes {
			return err
		}
		if f.failures == 0 && ctx.Err() == nil {
			fmt.Fprintf(f.notes, "presence: warning: %v; connecting again until this works\n", err)
		}
		if err := f.pause(ctx); err != nil {
			return err
		}
	}
}

// The pauses before connecting again: they double from the first to the last, and
// each is shortened at random, so that not all clients come back at once.
const (
	firstPause = 500 * time.Millisecond
	lastPause  = 10 * time.Second
)

// pause waits before the next attempt to connect.
func (f *follower) pause(ctx context.Context) error {
	most := min(lastPause, firstPause<<min(f.failures, 10))
	f.failures++
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(most/2 + rand.N(most/2)):
		return nil
	}
}

// begin reads the current version, and then the statuses, which are therefore at
// least as new: what changes after the version is compared with them.
func (f *follower) begin(ctx context.Context) error {
	var stats struct{ Version int64 }
	if err := f.client.get(ctx, "stats", nil, &stats); err != nil {
		return err
	}
	f.cursor = strconv.FormatInt(stats.Version, 10)
	if len(f.only) == 0 {
		return f.client.users(ctx, url.Values{}, f.learn)
	}
	for some := range slices.Chunk(f.only, maxPage) {
		var found struct {
			SuccessUserList []json.RawMessage
			FailureUserList []struct{ UserID string }
		}
		if err := f.client.post(ctx, "getUserStatus", map[string]any{"userIDList": some}, &found); err != nil {
			return err
		}
		for _, failed := range found.FailureUserList {
			fmt.Fprintf(f.notes, "presence: warning: there is no user %q yet\n", failed.UserID)
		}
		if err := f.learn(found.SuccessUserList); err != nil {
			return err
		}
	}
	return nil
}

// learn stores statuses without showing them.
func (f *follower) learn(list []json.RawMessage) error {
	for _, object := range list {
		s, err := statusOf(object)
		if err != nil {
			return err
		}
		f.replace(s)
	}
	return nil
}

// connect shows what a stream sends after the last event, until the stream ends, or
// is silent for too long.
func (f *follower) connect(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(f.patience, func() { cancel(fmt.Errorf("nothing has arrived from %s for %s", f.client.name, f.patience)) })
	defer silence.Stop()
	err := f.stream(ctx, func() { silence.Reset(f.patience) })
	if cause := context.Cause(ctx); cause != nil {
		return outage{cause}
	}
	return err
}

// stream shows what a stream sends, and calls arrived for each event.
func (f *follower) stream(ctx context.Context, arrived func()) error {
	response, err := f.client.open(ctx, http.MethodGet, "events?since="+url.QueryEscape(f.cursor), nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	for event, err := range events(response.Body) {
		if err != nil {
			return outage{fmt.Errorf("the stream of %s has ended: %w", f.client.name, err)}
		}
		arrived()
		if err := f.take(event); err != nil {
			return err
		}
	}
	return nil
}

// take shows an event.
func (f *follower) take(e event) error {
	if f.failures > 0 {
		fmt.Fprintln(f.notes, "presence: warning: connected again")
		f.failures = 0
	}
	if e.name == "USER_STATUS_UPDATED" {
		var list []json.RawMessage
		if err := json.Unmarshal(e.data, &list); err != nil {
			return err
		}
		for _, object := range list {
			if err := f.update(object); err != nil {
				return err
			}
		}
	}
	f.cursor = e.id
	return f.out.Flush()
}

// update shows a status, unless it is as it was.
func (f *follower) update(object json.RawMessage) error {
	now, err := statusOf(object)
	if err != nil || len(f.only) > 0 && !slices.Contains(f.only, now.UserID) {
		return err
	}
	was := f.replace(now)
	now.Version = 0 // a new version alone is no change
	switch {
	case was == now:
		return nil
	case f.asJSON:
		return f.out.json(object)
	}
	return f.out.change(time.Now(), was, now)
}

// replace stores a status, and returns the one before, without its version. A user who
// doesn't exist is Unknown.
func (f *follower) replace(s presence.Status) (was presence.Status) {
	was = f.known[s.UserID]
	was.UserID = s.UserID
	s.Version = 0
	if s.StatusType == presence.Unknown {
		delete(f.known, s.UserID)
	} else {
		f.known[s.UserID] = s
	}
	return was
}

// change prints a line about a change.
func (o *output) change(at time.Time, was, now presence.Status) error {
	status := o.status(now.StatusType) + fill(now.StatusType)
	if was.StatusType != now.StatusType {
		status = o.status(was.StatusType) + " → " + status
	}
	text := custom(now)
	if text == "" && was.CustomStatus != "" {
		text = `""`
	}
	return o.line(at.Format(time.DateTime), o.id(now.UserID), status, text, moreThan(was, now))
}

// moreThan is like more, but also names what has ended.
func moreThan(was, now presence.Status) string {
	all := []string{more(now)}
	if was.Availability != presence.Available && now.Availability == presence.Available {
		all = append(all, "no longer "+was.Availability.String())
	}
	if was.Invisible && !now.Invisible {
		all = append(all, "no longer invisible")
	}
	return strings.TrimPrefix(strings.Join(all, ", "), ", ")
}
