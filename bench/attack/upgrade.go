//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"syscall"
)

// nextRelease makes the next release of this one: it has a new kind of operation, sets
// statuses with it once all nodes know it, and sets them as before until then.
var nextRelease = []edit{
	{"operation.go", "const opLevel = 1\n", "const opLevel = 2\n"},
	{"operation.go", "	31: (*setAgreement)(nil),\n", "	31: (*setAgreement)(nil),\n	32: (*setEntryNext)(nil),\n"},
	{"operation.go", "level: opLevel}\n", "level: opLevel, levels: map[uint64]int{32: 2}}\n"},
	{"entries.go", "	err = s.writer.do(ctx, op)\n	return op.result, err\n}\n", `	err = s.writer.do(ctx, &setEntryNext{op, "next"})
	if err != nil && strings.Contains(err.Error(), "has an earlier release") {
		err = s.writer.do(ctx, op)
	}
	return op.result, err
}

type setEntryNext struct {
	Set     *setEntry ` + "`cbor:\"1,keyasint,omitempty\"`" + `
	Release string    ` + "`cbor:\"2,keyasint,omitempty\"`" + `
}

func (op *setEntryNext) apply(b *batch) error { return op.Set.apply(b) }
`},
}

// upgradeCluster replaces one node after the other by the next release, and then tries to
// bring one back.
func upgradeCluster(ctx context.Context, c *cluster) error {
	present := c.a.Binary
	c.crew.desert()
	for _, n := range c.nodes {
		if used, err := c.entriesOfNextLevel(); err != nil {
			return err
		} else if used > 0 {
			c.r.lose("%d entries have the level of the next release, although %s has an earlier one", used, n.name)
		}
		n.Signal(syscall.SIGTERM)
		if code := n.Wait(); code != 0 {
			c.r.lose("%s ended with %d", n.name, code)
		}
		http.DefaultClient.CloseIdleConnections()
		n.Binary = c.next
		if err := errors.Join(n.Start(), c.writes.more(ctx, 100)); err != nil {
			return err
		}
	}
	used, err := c.entriesOfNextLevel()
	if err != nil {
		return err
	}
	if used == 0 {
		c.r.lose("all nodes have the next release, and none uses its level")
	}
	c.r.try("%d nodes were upgraded; %d entries have the level of the next release since the last one", len(c.nodes), used)
	for _, n := range c.nodes {
		if text := n.Log(); strings.Contains(text, "another state") || strings.Contains(text, "can't go on") {
			c.r.lose("%s reports while releases are mixed:\n%s", n.name, lastLines(text, 5))
		}
	}
	n := c.nodes[1]
	err = c.downgrade(ctx, n, present, false)
	if !c.a.Short {
		err = errors.Join(err, c.downgrade(ctx, n, present, true))
	}
	return err
}

// downgrade tries to start a node with the earlier release again, with its database or
// without one. That must be refused, and the others must go on.
func (c *cluster) downgrade(ctx context.Context, n *node, earlier string, anew bool) error {
	n.Signal(syscall.SIGTERM)
	n.Wait()
	http.DefaultClient.CloseIdleConnections()
	if anew {
		if err := n.removeDatabase(); err != nil {
			return err
		}
	}
	if err := c.writes.more(ctx, 30); err != nil {
		return err
	}
	used, err := c.entriesOfNextLevel()
	if err != nil {
		return err
	}
	n.Binary = earlier
	before := len(n.Log())
	err = n.Start()
	lines := strings.Split(strings.TrimSpace(n.Log()[before:]), "\n")
	const reason = "the log has operations of level 2, and this release knows level 1: upgrade this node"
	if err == nil || len(lines) != 1 || !strings.Contains(lines[0], reason) {
		c.r.lose("an earlier release should have refused to start, in one line: %v", err)
		n.Kill()
	}
	n.Binary = c.next
	err = c.writes.more(ctx, 100)
	if more, errMore := c.entriesOfNextLevel(); errMore != nil || more <= used {
		c.r.lose("after an earlier release was refused, %d entries have the level of the next release, and %d had it before: %v", more, used, errMore)
	}
	c.r.try("an earlier release was refused (without a database: %t)", anew)
	return errors.Join(err, n.Start())
}

// entriesOfNextLevel returns how many entries of the log have a level above 1. It is the
// first number of an entry.
func (c *cluster) entriesOfNextLevel() (int, error) {
	text, err := c.engine.SQL("postgres", "SELECT count(*) FROM presence.entries WHERE get_byte(data, 1) > 1")
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(text)
}

// buildNext builds the next release.
func buildNext(c *cluster) error {
	folder, err := goPrints("list", "-f", "{{.Dir}}", "github.com/presence-server/presence/presence")
	if err != nil {
		return fmt.Errorf("go list: %w", err)
	}
	c.next, err = c.a.build("next", folder, nextRelease...)
	return err
}
