package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"

	"github.com/presence-server/presence/presence"
)

const helpKick = `Ends all streams of USER on the server on this machine, logs out all devices of the
user, and revokes the tokens issued up to now. The user can come back with a new
token. The server must be running, with auth.admin_key set.

With -json it prints {"userID":…,"devices":…,"streams":…}: how many devices were
logged out, and how many streams were ended.

Exit code: 0 kicked, 1 failed, or there is no such user, 2 misused.`

func startKick(set *flag.FlagSet) action {
	asJSON := set.Bool("json", false, "print the result as JSON")
	return forUser(set, func(ctx context.Context, c *client, userID string) error {
		before, _, err := c.explain(ctx, userID)
		if err != nil {
			return err
		}
		if err := c.post(ctx, "kick", map[string]string{"userID": userID}, nil); err != nil {
			return about(userID, err)
		}
		return printKick(before, *asJSON)
	})
}

// printKick reports what a kick has ended. before is the state just before it.
func printKick(before presence.Explanation, asJSON bool) error {
	out := newOutput()
	if asJSON {
		text, err := json.Marshal(struct {
			UserID  string `json:"userID"`
			Devices int    `json:"devices"`
			Streams int    `json:"streams"`
		}{before.Status.UserID, len(before.Devices), before.Streams})
		if err != nil {
			return err
		}
		out.json(text)
		return out.Flush()
	}
	fmt.Fprintf(out, "%s is kicked: devices logged out: %d, streams ended: %d; all tokens issued up to now are revoked\n",
		printable(before.Status.UserID), len(before.Devices), before.Streams)
	return out.Flush()
}
