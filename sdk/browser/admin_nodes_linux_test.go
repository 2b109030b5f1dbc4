package browser_test

import (
	"testing"

	"github.com/chromedp/chromedp"

	child "github.com/presence-server/presence/deploy/testserver"
)

// TestAdminNodes shows two nodes that share a log, and the end of one. The page of a single
// server shows nothing of nodes.
func TestAdminNodes(t *testing.T) {
	postgres := child.StartPostgres(t)
	var nodes []*server
	for _, name := range []string{"berlin", "<b>paris"} {
		nodes = append(nodes, startServer(t, false, "CLUSTER__LOG="+postgres.URL("postgres"), "CLUSTER__NAME="+name,
			"WEBHOOKS__URLS=http://127.0.0.1:1/hook", "WEBHOOKS__SECRET=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
	}
	berlin, paris := nodes[0], nodes[1]
	paris.importUsers("alice")
	profile := startBrowser(t).profile()
	single := profile.admin(startServer(t, false).URL, "")
	admin := profile.admin(paris.URL, "")
	admin.await(`document.querySelectorAll("#nodes .node").length === 2`)
	admin.reads("#nodes .node:first-child", "berlinUp for ")
	admin.reads("#nodes .node:first-child", "leads")
	admin.reads("#nodes .node:last-child", "<b>parisUp for ")
	admin.reads("#nodes .node:last-child", "this page is connected to it")
	admin.reads("#webhooks .progress", "Sent by the node berlin")

	berlin.device("alice", "platform=ios&deviceID=phone")
	admin.do(chromedp.Evaluate[chromedp.Void](`location.hash = "#user=alice"`))
	admin.reads("#devices", "at the node berlin")
	berlin.Kill()
	admin.reads("#why", "the last was connected to the node berlin, which stopped at")
	admin.do(chromedp.Evaluate[chromedp.Void](`location.hash = ""`))
	admin.await(`document.querySelectorAll("#nodes .node").length === 1`)
	admin.reads("#nodes", "leads")

	single.reads("#counts", "Online0")
	if single.eval(`document.querySelector("#nodes-box").checkVisibility()`) != "false" {
		t.Error("the page of a single server shows nodes")
	}
	admin.isFine()
	single.isFine()
}
