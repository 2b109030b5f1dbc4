package browser_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestPlainEventSource uses the stream without the SDK. An EventSource must reconnect
// by itself after the server was killed, and miss no change, whenever it was made.
func TestPlainEventSource(t *testing.T) {
	s := startServer(t, false)
	s.Befriend("alice", "bob")
	page := startBrowser(t).profile().bare(s)
	page.eval(`(() => {
		document.body.innerHTML = "<p id=opened>0</p><ol id=log></ol>";
		window.seen = [];
		window.stream = new EventSource("/v1/events?deviceID=page&access_token=%s");
		stream.addEventListener("READY", () => opened.textContent++);
		stream.addEventListener("USER_STATUS_UPDATED", ({ data }) => JSON.parse(data).forEach((s) => {
			seen.push([s.userID, s.statusType, s.customStatus].join(" ").trim());
			log.append(Object.assign(document.createElement("li"), { textContent: data }));
		}));
		stream.addEventListener("KICKED_OUT", ({ data }) => log.append(JSON.parse(data).type));
	})()`, s.TokenOf("alice"))
	page.await(`opened.textContent === "1"`)
	bob := func(text string) {
		s.Do("/v1/setSelfStatus", s.TokenOf("bob"), map[string]any{"customStatus": text}, nil)
	}

	bob("before")
	page.sees("bob 3 before")
	for i := range 2 {
		s.Kill()
		s.Start()
		bob(fmt.Sprint("missed ", i)) // mostly before the browser reconnects
		bob(fmt.Sprint("after ", i))
		page.sees(fmt.Sprint("bob 3 after ", i))
	}
	page.await(`opened.textContent === "3"`)
	if got := page.received("alice"); strings.Contains(got, "alice 3") {
		t.Errorf("alice was shown as logged out, although her page came back within the grace: %s", got)
	}

	// A kicked EventSource receives the reason, reconnects once, and gives up at the
	// 204.
	s.Admin("kick", map[string]any{"userID": "alice"}, nil)
	page.await(`document.body.textContent.includes("REST_API_Kick")`)
	page.eval(`new Promise((resolve) => stream.addEventListener("error", () => stream.readyState === EventSource.CLOSED && resolve(0)))`)
}
