package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/url"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/presence-server/presence/presence"
)

const helpExplain = `Explains the status of USER on the server on this machine: what it follows from,
what changes it next, who is notified of a change, what others see instead, what
each device and entry adds, and what will happen when. The server must be running, with auth.admin_key set.

With -json it prints the same as one JSON object: data of /v1/admin/explain.

Exit code: 0 explained, 1 failed, or there is no such user, 2 misused.`

func startExplain(set *flag.FlagSet) action {
	asJSON := set.Bool("json", false, "print a JSON object")
	return forUser(set, func(ctx context.Context, c *client, userID string) error {
		e, sent, err := c.explain(ctx, userID)
		if err != nil {
			return err
		}
		out := newOutput()
		if *asJSON {
			out.json(sent)
		} else {
			out.explain(e)
		}
		return out.Flush()
	})
}

// explain returns the explanation of a user's status, also as the server has sent it.
func (c *client) explain(ctx context.Context, userID string) (e presence.Explanation, sent json.RawMessage, err error) {
	if err := c.get(ctx, "explain", url.Values{"userID": {userID}}, &sent); err != nil {
		return e, nil, about(userID, err)
	}
	err = json.Unmarshal(sent, &e)
	return e, sent, err
}

// explain prints an explanation. The error of a write is that of the next Flush.
func (o *output) explain(e presence.Explanation) {
	shown := custom(e.Status)
	if shown == "" {
		shown = "none"
	}
	table := tabwriter.NewWriter(o, 0, 0, 2, ' ', 0)
	row := func(format string, args ...any) { fmt.Fprintf(table, format+"\n", args...) }
	row("user\t%s", printable(e.Status.UserID))
	row("status\t%s", printable(e.Why))
	row("next\t%s", printable(e.Next))
	row("custom status\t%s", shown)
	row("said\t%s", printable(e.Said))
	if e.Public != nil {
		row("others\t%s", printable(e.Others))
	}
	row("notified\t%s", printable(e.Audience))
	row("counts\tfriends: %d, followers: %d, open streams: %d", e.Friends, e.Followers, e.Streams)
	if !e.KickedAt.IsZero() {
		row("revoked\tall tokens issued up to %s", e.KickedAt.Format(time.RFC3339))
	}
	for _, d := range e.Devices {
		row("device\t%s, %s, %s since %s%s: %s", strconv.Quote(d.DeviceID), d.Platform, d.State, d.Since.Format(time.RFC3339), idle(d)+node(d), printable(d.Adds))
	}
	for _, entry := range e.Entries {
		row("entry\t%s: %s", saying(entry.EntryState), printable(entry.Adds))
	}
	for _, r := range e.Refused {
		row("refused\t%s", refused(r))
	}
	for _, d := range e.Deadlines {
		row("%s\t%s", d.At.Format(time.RFC3339), printable(d.What))
	}
	table.Flush()
}

func idle(d presence.DeviceState) string {
	if d.Idle {
		return ", idle"
	}
	return ""
}

// node says at which of several nodes a device is connected.
func node(d presence.DeviceState) string {
	if d.Node == "" {
		return ""
	}
	return " at the node " + printable(d.Node)
}

// saying returns the source of an entry and what it says.
func saying(e presence.EntryState) string {
	source := "own"
	if e.Source != "" {
		source = printable(e.Source)
	}
	said := fmt.Sprintf("%s, priority %d", source, e.Priority)
	if e.CustomStatus != "" {
		said += ", " + strconv.Quote(e.CustomStatus)
	}
	if e.Availability != presence.Available {
		said += ", " + e.Availability.String()
	}
	return said
}

// refused says which device can't reconnect, and until when.
func refused(r presence.RefusedDevice) string {
	which := "device " + strconv.Quote(r.DeviceID)
	if r.DeviceID == "" {
		which = "devices without an ID"
	}
	return fmt.Sprintf("%s, if only reconnecting, until %s (%s)", which, r.Until.Format(time.RFC3339), r.Type)
}
