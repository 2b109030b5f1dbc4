//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/presence-server/presence/bench/lab"
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
			if err := errors.Join(c.writes.more(ctx, 100), c.expires(ctx), c.kicks(ctx)); err != nil {
				return err
			}
			c.r.try("the clock of PostgreSQL is ahead by %s", ahead)
		}
		return nil
	}
}

// expires checks that a status ends when it should.
func (c *cluster) expires(ctx context.Context) error {
	const lasts, most = 2 * time.Second, 3500 * time.Millisecond
	user := "expiring"
	if err := c.nodes[0].Register(ctx, []string{user}); err != nil {
		return err
	}
	body := map[string]any{"customStatus": "for two seconds", "expiresIn": lasts.Seconds()}
	began := time.Now()
	if err := c.nodes[1].Must(ctx, "/v1/setSelfStatus", lab.Token(user), body, nil); err != nil {
		return err
	}
	err := until(ctx, func() (bool, error) {
		found, err := c.nodes[2].Statuses(ctx, []string{user})
		return err == nil && found[user].CustomStatus == "", err
	})
	if took := time.Since(began); err != nil || took < lasts || took > most {
		c.r.lose("a status that should end after %.1f s ended after %.1f s: %v", lasts.Seconds(), took.Seconds(), err)
	}
	return nil
}

// kicks checks that a kick at one node refuses the old token at the others, and that a new
// one is valid there.
func (c *cluster) kicks(ctx context.Context) error {
	user := "kicked"
	if err := c.nodes[0].Register(ctx, []string{user}); err != nil {
		return err
	}
	old, err := c.nodes[0].Token(ctx, user, 3600)
	if err == nil {
		err = c.nodes[1].Admin(ctx, "kick", map[string]any{"userID": user}, nil)
	}
	if err != nil {
		return err
	}
	answer, err := c.nodes[2].Call(ctx, "/v1/self", old, nil)
	if err != nil || answer.Code != 70052 {
		c.r.lose("a token from before a kick is answered %d %q: %v", answer.Code, answer.Message, err)
	}
	token, err := c.nodes[0].Token(ctx, user, 3600)
	if err != nil {
		return err
	}
	err = until(ctx, func() (bool, error) {
		answer, err = c.nodes[2].Call(ctx, "/v1/self", token, nil)
		return answer.Code == 0, err
	})
	if err != nil {
		c.r.lose("a token that was issued after a kick is still answered %d %q after %.0f s", answer.Code, answer.Message, settled.Seconds())
	}
	return nil
}
