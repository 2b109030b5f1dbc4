//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// wireNode puts a node into a network namespace of its own.
func wireNode(c *cluster) (err error) {
	n, unique := c.nodes[1], os.Getpid()
	// These addresses are for tests between two networks (RFC 2544).
	here := netip.AddrFrom4([4]byte{198, 18, byte(unique >> 7), byte(unique << 1)})
	if n.wire, err = newWire(fmt.Sprint("presence-", unique), here, here.Next()); err != nil {
		return err
	}
	n.Through = []string{"ip", "netns", "exec", n.wire.space}
	n.Address = netip.AddrPortFrom(n.wire.node, 8080).String()
	n.URL = "http://" + n.Address
	return nil
}

// admitWired makes PostgreSQL accept the connections of the nodes that have a network of
// their own. It isn't started yet.
func (c *cluster) admitWired() error {
	host, _, err := net.SplitHostPort(c.engine.Address)
	for _, n := range c.nodes {
		if n.wire == nil {
			continue
		}
		c.engine.Settings = append(c.engine.Settings, fmt.Sprintf("listen_addresses=%s,%s", host, n.wire.here))
		file, errOpen := os.OpenFile(filepath.Join(c.engine.Folder, "data", "pg_hba.conf"), os.O_APPEND|os.O_WRONLY, 0)
		if errOpen != nil {
			return errOpen
		}
		_, errWrite := fmt.Fprintf(file, "host all all %s/32 scram-sha-256\n", n.wire.node)
		err = errors.Join(err, errWrite, file.Close())
	}
	return err
}

// logURL returns the URL by which a node reaches PostgreSQL.
func (c *cluster) logURL(n *node) (string, error) {
	to, err := url.Parse(c.engine.URL("postgres"))
	if err != nil {
		return "", err
	}
	if n.wire == nil {
		if n.link, err = newLink(c.engine.Address); err != nil {
			return "", err
		}
		to.Host = n.link.Address
	} else {
		to.Host = net.JoinHostPort(n.wire.here.String(), to.Port())
	}
	return to.String(), nil
}

// enginePort returns the port of PostgreSQL.
func (c *cluster) enginePort() uint16 {
	_, port, _ := net.SplitHostPort(c.engine.Address)
	number, _ := strconv.ParseUint(port, 10, 16)
	return uint16(number)
}

// disturbance is what happens to the network of a node.
type disturbance struct {
	name   string
	out    way
	in     way
	onlyTo func(c *cluster) uint16 // the port that is cut off; nil means all
	dead   bool                    // the others consider the node dead
}

// harm disturbs the network of a node, for longer than until it moves its streams away.
func (d disturbance) harm(ctx context.Context, c *cluster) error {
	n := c.nodes[1]
	if d.onlyTo != nil {
		d.out.port, d.in.port = d.onlyTo(c), d.onlyTo(c)
	}
	n.wire.set(d.out, d.in)
	c.crew.desert()
	pause(ctx, time.Duration(c.a.Scale(20, 11))*time.Second)
	isDead := func(other *node) bool { return strings.Contains(other.Log(), "node is dead") }
	if dead := slices.ContainsFunc(c.others(n), isDead); dead != d.dead {
		c.r.lose("the others consider the node dead: %t", dead)
	}
	if d.onlyTo != nil {
		c.says(ctx, n, "can't be reached")
	}
	n.wire.set(way{}, way{})
	return c.writes.more(ctx, 100)
}

// networks returns the attacks on the network of a node. The node and its peers learn of a
// loss only by silence.
func networks() (ordeals []ordeal) {
	gone, slow := way{lost: true}, way{delay: 200 * time.Millisecond}
	for i, d := range []disturbance{
		{name: "cut a node off", out: gone, in: gone, dead: true},
		{name: "cut the way from a node", out: gone, dead: true},
		{name: "cut the way to a node", in: gone, dead: true},
		{name: "cut a node off the log", out: gone, in: gone, onlyTo: (*cluster).enginePort, dead: true},
		{name: "cut the way back from the log", in: gone, onlyTo: (*cluster).enginePort, dead: true},
		{name: "slow network", out: slow, in: slow},
	} {
		ordeals = append(ordeals, ordeal{name: d.name, short: i == 0, grace: patiently, needs: wireNode, harm: d.harm})
	}
	return ordeals
}
