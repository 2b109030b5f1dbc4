//go:build linux

package main

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/presence-server/presence/deploy/testserver"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// settles checks what must be true once everything works again, which it has done since a
// time.
func (c *cluster) settles(ctx context.Context, since time.Time) error {
	if err := c.readyAgain(ctx); err != nil {
		return err
	}
	c.r.figure("all nodes were ready after %.1f s", time.Since(since).Seconds())
	if err := c.noGhosts(ctx, since); err != nil {
		return err
	}
	c.writes.report(c.r)
	if err := c.sameStatuses(ctx); err != nil {
		return err
	}
	for _, n := range c.nodes {
		if c.lossy.Load() {
			break
		}
		if err := c.writes.verify(ctx, n, c.r); err != nil {
			return err
		}
	}
	outages, err := c.outages()
	if err != nil {
		return err
	}
	c.r.figure("no entry of the log for %.1f s %s", outages.Seconds(), reasons.FindString(c.nodes[0].Log()))
	c.crew.report(c.r, outages)
	return c.sameDatabases(ctx)
}

// reasons are why nodes could not reach the log.
var reasons = regexp.MustCompile(`log can't be reached" error=.*`)

// outages returns for how long the log had no entry, not counting times of up to 3 s. A grace
// is extended by that.
func (c *cluster) outages() (time.Duration, error) {
	text, err := c.engine.SQL("postgres", `SELECT coalesce(sum(extract(epoch FROM gap)), 0) FROM
		(SELECT at - lag(at) OVER (ORDER BY place) AS gap FROM presence.entries) gaps WHERE gap > '3 s'`)
	if err != nil {
		return 0, err
	}
	return time.ParseDuration(text + "s")
}

// noGhosts checks that at all nodes those without a stream stop being ONLINE within the
// grace, the time until a node is considered dead, and the second that the janitor may be
// late.
func (c *cluster) noGhosts(ctx context.Context, since time.Time) error {
	most := 3*time.Second + c.grace + time.Second
	late, cancel := context.WithDeadline(ctx, since.Add(most))
	defer cancel()
	for _, n := range c.nodes {
		var ghosts []string
		err := until(late, func() (bool, error) {
			found, err := n.Statuses(ctx, c.crew.deserters)
			ghosts = nil
			for user, s := range found {
				if s.StatusType == 1 {
					ghosts = append(ghosts, user)
				}
			}
			return len(ghosts) == 0, err
		})
		if len(ghosts) > 0 {
			c.r.lose("%v are ONLINE at %s without a stream, %.1f s after everything works again: %v", ghosts, n.name, most.Seconds(), err)
		} else if err != nil {
			return err
		}
	}
	c.r.figure("no ghosts after %.1f s", time.Since(since).Seconds())
	return nil
}

// sameStatuses checks that all nodes have the same statuses, and that each roamer knows
// them.
func (c *cluster) sameStatuses(ctx context.Context) error {
	users := append(c.writes.users(), c.crew.users()...)
	var differences []string
	err := until(ctx, func() (bool, error) {
		differences = nil
		first, err := c.nodes[0].Statuses(ctx, users)
		if err != nil {
			return false, err
		}
		for _, n := range c.nodes[1:] {
			other, err := n.Statuses(ctx, users)
			if err != nil {
				return false, err
			}
			differences = append(differences, compareStatuses(c.nodes[0].name, first, n.name, other)...)
		}
		for _, m := range c.crew.roamers {
			differences = append(differences, m.compare(first)...)
		}
		return len(differences) == 0, nil
	})
	if len(differences) == 0 {
		return err
	}
	slices.Sort(differences)
	for _, d := range differences {
		c.r.lose("after %.0f s: %s", settled.Seconds(), d)
	}
	return nil
}

func compareStatuses(name string, statuses map[string]testserver.Status, otherName string, other map[string]testserver.Status) (differences []string) {
	for user, s := range statuses {
		if other[user] != s {
			differences = append(differences, fmt.Sprintf("%s has %s, and %s has %s", name, whole(s), otherName, whole(other[user])))
		}
	}
	return differences
}

// compare compares what the roamer knows with what nodes have.
func (m *roamer) compare(statuses map[string]testserver.Status) (differences []string) {
	known, cursor := m.known()
	for _, user := range append(slices.Clone(m.watches), m.user) {
		if known[user] != statuses[user] {
			differences = append(differences, fmt.Sprintf("%s knows %s at %d, and the nodes have %s", m.user, whole(known[user]), cursor, whole(statuses[user])))
		}
	}
	return differences
}

func whole(s testserver.Status) string {
	return fmt.Sprintf("%s as %d %q with version %d", s.UserID, s.StatusType, s.CustomStatus, s.Version)
}

// sameDatabases stops all nodes at the same place of the log, and compares their
// databases.
func (c *cluster) sameDatabases(ctx context.Context) error {
	c.crew.leave()
	release, err := c.holdLog()
	if err != nil {
		return err
	}
	defer release()
	last, err := c.engine.SQL("postgres", "SELECT last FROM presence.head")
	if err != nil {
		return err
	}
	for _, n := range c.nodes {
		var place string
		err := until(ctx, func() (bool, error) {
			var err error
			place, err = n.place(ctx)
			return place == last, err
		})
		if err != nil {
			c.r.lose("%s stays at the entry %s of %s: %v", n.name, place, last, err)
			return nil
		}
	}
	for _, n := range c.nodes {
		n.Kill()
	}
	http.DefaultClient.CloseIdleConnections()
	return c.compareDatabases(ctx)
}

// holdLog makes all appends wait until release is called, which returns when they no
// longer do.
func (c *cluster) holdLog() (release func(), err error) {
	const hold = "BEGIN; SELECT FROM presence.head FOR UPDATE; SELECT pg_advisory_lock(1); SELECT pg_sleep(60)"
	var running sync.WaitGroup
	running.Go(func() { c.engine.SQL("postgres", hold) })
	release = func() {
		c.engine.SQL("postgres", "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = 1")
		running.Wait()
	}
	err = until(context.Background(), func() (bool, error) {
		held, err := c.engine.SQL("postgres", "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 1 AND granted")
		return held == "1", err
	})
	if err != nil {
		release()
	}
	return release, err
}

// open opens the database of a node to read it.
func (n *node) openDatabase() (*sql.DB, error) {
	return sql.Open("sqlite", "file:"+n.database()+"?mode=ro&_pragma=busy_timeout(5000)")
}

// place returns how far a node has applied the log.
func (n *node) place(ctx context.Context) (place string, err error) {
	db, err := n.openDatabase()
	if err != nil {
		return "", err
	}
	defer db.Close()
	err = db.QueryRowContext(ctx, "SELECT place FROM node").Scan(&place)
	return place, err
}

// compareDatabases compares all tables but the one with what is each node's own.
func (c *cluster) compareDatabases(ctx context.Context) error {
	first, err := c.nodes[0].tables(ctx)
	if err != nil {
		return err
	}
	for _, n := range c.nodes[1:] {
		other, err := n.tables(ctx)
		if err != nil {
			return err
		}
		for _, table := range slices.Sorted(maps.Keys(first)) {
			if first[table] != other[table] {
				c.r.lose("the table %s differs between %s and %s", table, c.nodes[0].name, n.name)
			}
		}
	}
	return nil
}

// tables returns a hash of each table of a node, and its digest.
func (n *node) tables(ctx context.Context) (hashes map[string]string, err error) {
	db, err := n.openDatabase()
	if err != nil {
		return nil, err
	}
	defer db.Close()
	var names string
	if err := db.QueryRowContext(ctx, "SELECT group_concat(name) FROM sqlite_schema WHERE type = 'table' AND name != 'node'").Scan(&names); err != nil {
		return nil, err
	}
	hashes = make(map[string]string)
	for name := range strings.SplitSeq(names, ",") {
		hash, err := hashOf(ctx, db, fmt.Sprintf("SELECT * FROM %q", name))
		if err != nil {
			return nil, fmt.Errorf("the table %s: %w", name, err)
		}
		hashes[name] = hash
	}
	hashes["node (digest)"], err = hashOf(ctx, db, "SELECT place, entry, digest FROM node")
	return hashes, err
}

// hashOf returns a hash of the rows of a query, whatever their order.
func hashOf(ctx context.Context, db *sql.DB, query string) (string, error) {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return "", err
	}
	values := make([]any, len(columns))
	to := make([]any, len(columns))
	for i := range values {
		to[i] = &values[i]
	}
	var lines []string
	for rows.Next() {
		if err := rows.Scan(to...); err != nil {
			return "", err
		}
		lines = append(lines, fmt.Sprintf("%#v\n", values))
	}
	slices.Sort(lines)
	return fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(lines, "")))), errors.Join(rows.Err(), rows.Close())
}
