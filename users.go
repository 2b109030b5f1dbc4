package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/url"
	"strconv"

	"github.com/presence-server/presence/presence"
)

const helpUsers = `Lists the users of the server on this machine whose ID begins with PREFIX, or all
users, in order of ID: the status, the ID, and what there is of the custom status, the
availability, invisibility, and when the user was last seen. The server must be running,
with auth.admin_key set.

With -json each line is a status object as in the API, for scripts:

  presence users -json | jq -r 'select(.statusType == 1).userID'

Exit code: 0 listed, also if there is no such user, 1 failed, 2 misused.`

// maxPage is the maximum number of users in one call.
const maxPage = 1000

func startUsers(set *flag.FlagSet) action {
	asJSON := set.Bool("json", false, "print a status object per line")
	return func(ctx context.Context, read reader, operands []string) error {
		c, _, err := newClient(read)
		if err != nil {
			return err
		}
		query := url.Values{}
		if len(operands) > 0 {
			query.Set("prefix", operands[0])
		}
		return printUsers(ctx, c, query, *asJSON)
	}
}

// printUsers prints each page before it requests the next one.
func printUsers(ctx context.Context, c *client, query url.Values, asJSON bool) error {
	out := newOutput()
	return c.users(ctx, query, func(page []json.RawMessage) error {
		for _, object := range page {
			if err := out.user(object, asJSON); err != nil {
				return err
			}
		}
		return out.Flush()
	})
}

// users calls use with each page of the users that the query selects.
func (c *client) users(ctx context.Context, query url.Values, use func(page []json.RawMessage) error) error {
	query.Set("limit", strconv.Itoa(maxPage))
	for {
		var page struct {
			UserList []json.RawMessage
			Next     string
		}
		if err := c.get(ctx, "users", query, &page); err != nil {
			return err
		}
		if err := use(page.UserList); err != nil || page.Next == "" {
			return err
		}
		query.Set("after", page.Next)
	}
}

// user prints a line about a user.
func (o *output) user(object json.RawMessage, asJSON bool) error {
	if asJSON {
		return o.json(object)
	}
	s, err := statusOf(object)
	if err != nil {
		return err
	}
	return o.line(o.status(s.StatusType)+fill(s.StatusType), o.id(s.UserID), custom(s), more(s))
}

// statusOf decodes a status object.
func statusOf(object json.RawMessage) (s presence.Status, err error) {
	err = json.Unmarshal(object, &s)
	return s, err
}

// fill returns the spaces that make the name of a status as wide as the longest one.
func fill(t presence.StatusType) string {
	return fmt.Sprintf("%*s", len("UNLOGINED")-len(t.String()), "")
}
