package main

import (
	"testing"

	"github.com/presence-server/presence/deploy/testserver"
)

// TestExplainPrintsTheNode checks that explain prints at which node a device is connected.
func TestExplainPrintsTheNode(t *testing.T) {
	c := newChild(t, "CLUSTER__LOG="+testserver.StartPostgres(t).URL("postgres"), "CLUSTER__NAME=a\x1b\u202e")
	c.Start()
	stream := c.Open("alice", "")
	defer stream.Close()
	out, _ := c.calls(0, "explain", "alice")
	c.mentions(out, "device ", ` "d", web, connected since 20`, ` at the node "a\x1b\u202e": ONLINE`)
}
