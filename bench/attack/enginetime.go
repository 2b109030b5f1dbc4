//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/presence-server/presence/bench/lab"
	"github.com/presence-server/presence/deploy/testserver"
)

// setEngineClock sets the clock that PostgreSQL dates entries with, relative to that of the
// machine. It replaces clock_timestamp for the sessions of the nodes. It counts for the
// sessions that begin later, the first time, and at once from then on.
func (c *cluster) setEngineClock(ahead string) error {
	_, err := c.engine.SQL("postgres", fmt.Sprintf(`
		CREATE SCHEMA IF NOT EXISTS shifted;
		CREATE OR REPLACE FUNCTION shifted.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS
			$$ SELECT pg_catalog.clock_timestamp() + interval '%s' $$;
		ALTER ROLE postgres SET search_path = shifted, pg_catalog`, ahead))
	return err
}

// shiftClock sets the clock of PostgreSQL several times while it is used.
func shiftClock(shifts ...string) func(context.Context, *cluster) error {
	return func(ctx context.Context, c *cluster) error {
		for i, ahead := range shifts {
			if err := c.setEngineClock(ahead); err != nil {
				return err
			}
			for _, n := range c.nodes {
				n.link.reset()
			}
			if i == len(shifts)-1 {
				c.crew.desert()
			}
			if err := errors.Join(c.writes.more(ctx, 100), c.expires(ctx, c.nodes[1], "expiresIn"), c.kicks(ctx, c.nodes[1], true)); err != nil {
				return err
			}
			c.r.try("the clock of PostgreSQL is ahead by %s", ahead)
		}
		return nil
	}
}

// lasts is for how long a status lasts that expires.
const lasts = 2 * time.Second

// expires checks that a status which is set at a node ends when it should at all nodes.
// That is said by expiresIn, or by expiresAt by the clock of this program.
func (c *cluster) expires(ctx context.Context, at *node, by string) error {
	const most = lasts + 1500*time.Millisecond
	user := "expiring-" + by
	if err := at.Register(ctx, []string{user}); err != nil {
		return err
	}
	began := time.Now()
	body := map[string]any{"customStatus": "ends " + by, by: lasts.Seconds()}
	if by == "expiresAt" {
		body[by] = began.Add(lasts)
	}
	if err := at.Must(ctx, "/v1/setSelfStatus", lab.Token(user), body, nil); err != nil {
		return err
	}
	shown := func(n *node) (bool, error) {
		found, err := n.Statuses(ctx, []string{user})
		return found[user].CustomStatus != "", err
	}
	if _, err := c.becomes(ctx, began, shown); err != nil {
		c.r.lose("a status with %s that was set at %s isn't shown by all nodes: %v", by, at.name, err)
	}
	took, err := c.becomes(ctx, began, func(n *node) (bool, error) {
		is, err := shown(n)
		return !is, err
	})
	if err != nil || took.first < lasts || took.last > most {
		c.r.lose("a status with %s that was set at %s and should end after %s ended after %s: %v", by, at.name, lasts, took, err)
	}
	return nil
}

// kicks checks that a kick at one node refuses the old token at all. Unless the node's clock
// is ahead, a new one must be valid there.
func (c *cluster) kicks(ctx context.Context, at *node, accepts bool) error {
	user := "kicked-" + at.name
	if err := at.Register(ctx, []string{user}); err != nil {
		return err
	}
	old, err := c.nodes[0].Token(ctx, user, day)
	if err == nil {
		err = at.Admin(ctx, "kick", map[string]any{"userID": user}, nil)
	}
	if err != nil {
		return err
	}
	for _, n := range c.nodes {
		err = errors.Join(err, c.answers(ctx, n, old, 70052, "a token from before a kick at "+at.name))
	}
	if !accepts {
		return err
	}
	token, errToken := c.nodes[0].Token(ctx, user, day)
	for _, n := range c.nodes {
		err = errors.Join(err, c.answers(ctx, n, token, 0, "a token that was issued after a kick at "+at.name))
	}
	return errors.Join(err, errToken)
}

// day is the number of seconds for which tokens are valid also where the clock is ahead by
// some hours.
const day = 24 * 60 * 60

// answers checks that a node answers the user of a token with a code.
func (c *cluster) answers(ctx context.Context, n *node, token string, code int, what string) error {
	var answer testserver.Answer
	err := until(ctx, func() (bool, error) {
		var err error
		answer, err = n.Call(ctx, "/v1/self", token, nil)
		return answer.Code == code, err
	})
	if err != nil {
		c.r.lose("%s is still answered %d %q by %s after %.0f s", what, answer.Code, answer.Message, n.name, settled.Seconds())
	}
	return nil
}
