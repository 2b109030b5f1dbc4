package browser_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/r3labs/sse/v2"
	"gopkg.in/cenkalti/backoff.v1"

	child "github.com/presence-server/presence/deploy/testserver"
)

// visit is what a client is started with.
type visit struct {
	name       string // name of the kind
	url, token string
	site       *site
}

// startR3labs runs the Go client of r3labs/sse in this process.
func startR3labs(t *testing.T, v visit) <-chan received {
	reports := make(chan received, 1000)
	c := sse.NewClient(v.url)
	c.Headers["Authorization"] = "Bearer " + v.token
	strategy := backoff.NewExponentialBackOff()
	strategy.MaxElapsedTime = 0 // by default the client gives up when a connection breaks after more than 15 minutes
	c.ReconnectStrategy = untilDone{strategy, t.Context()}
	c.ReconnectNotify = func(err error, _ time.Duration) { reports <- received{Failed: err.Error()} }
	t.Cleanup(func() { drain(reports) })
	go func() {
		defer close(reports)
		err := c.SubscribeRawWithContext(t.Context(), func(e *sse.Event) {
			reports <- received{Event: string(e.Event), Data: string(e.Data), ID: string(e.ID)}
		})
		reports <- received{Ended: fmt.Sprint("returned ", err)}
	}()
	return reports
}

// untilDone is a backoff that ends with a context, which the client's own doesn't.
type untilDone struct {
	backoff.BackOff
	ctx context.Context
}

func (u untilDone) NextBackOff() time.Duration {
	if u.ctx.Err() != nil {
		return backoff.Stop
	}
	return u.BackOff.NextBackOff()
}

// drain waits until the client has ended.
func drain(reports <-chan received) {
	for range reports {
	}
}

func startNode(t *testing.T, v visit) <-chan received {
	t.Helper()
	node := child.Require(t, "node", "Node runs the clients of other projects")
	return startLines(t, exec.CommandContext(t.Context(), node, "clients/node.js", v.name, v.url, v.token))
}

func startPython(t *testing.T, v visit) <-chan received {
	t.Helper()
	python := child.Require(t, "python3", "this client has its own way to split lines")
	return startLines(t, exec.CommandContext(t.Context(), python, "clients/lines.py", v.url, v.token))
}

// startLines starts a program that prints its reports as lines of JSON, and returns
// them.
func startLines(t *testing.T, command *exec.Cmd) <-chan received {
	t.Helper()
	out, wait := start(t, command)
	reports := make(chan received, 1000)
	t.Cleanup(func() { drain(reports) })
	go func() {
		defer close(reports)
		lines := json.NewDecoder(out)
		for {
			var r received
			if err := lines.Decode(&r); err != nil {
				reports <- received{Ended: wait()}
				return
			}
			reports <- r
		}
	}()
	return reports
}

// start starts a program that ends with the test. wait waits for its end, and
// describes it.
func start(t *testing.T, command *exec.Cmd) (out io.Reader, wait func() string) {
	t.Helper()
	var problems bytes.Buffer
	command.Stderr = &problems
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	return out, func() string {
		command.Wait()
		return fmt.Sprintf("%s: %s%s", filepath.Base(command.Path), command.ProcessState, problems.String())
	}
}

// startCurl opens one connection, because curl doesn't reconnect.
func startCurl(t *testing.T, v visit) <-chan received {
	t.Helper()
	curl := child.Require(t, "curl", "curl is the client of a terminal")
	out, wait := start(t, exec.CommandContext(t.Context(), curl, "-sN", v.url, "-H", "Authorization: Bearer "+v.token))
	reports := make(chan received, 1000)
	t.Cleanup(func() { drain(reports) })
	go func() {
		defer close(reports)
		stream := child.Read(out)
		for {
			e, err := stream.Next()
			if err != nil {
				reports <- received{Ended: wait()}
				return
			}
			reports <- received{Event: e.Type, Data: e.Data, ID: e.ID}
		}
	}()
	return reports
}

func startChromium(t *testing.T, v visit) <-chan received {
	t.Helper()
	startBrowser(t).profile().tab(v.site.page(v))
	return v.site.reports
}

func startFirefox(t *testing.T, v visit) <-chan received {
	t.Helper()
	path := child.Require(t, "firefox-esr", "Firefox is another browser")
	command := exec.CommandContext(t.Context(), path, "--headless", "--no-remote", "--profile", t.TempDir(), v.site.page(v))
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { command.Wait() })
	return v.site.reports
}

// site serves the page of a client, and receives its reports.
type site struct {
	*httptest.Server
	reports chan received
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{reports: make(chan received, 1000)}
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir("clients")))
	mux.HandleFunc("/node_modules/", serveModule)
	mux.HandleFunc("POST /report", func(_ http.ResponseWriter, r *http.Request) {
		var one received
		if err := json.NewDecoder(r.Body).Decode(&one); err == nil {
			s.reports <- one
		}
	})
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func serveModule(w http.ResponseWriter, r *http.Request) {
	file := filepath.Join("..", filepath.FromSlash(r.URL.Path))
	if filepath.Ext(file) == "" { // in fetch-event-source, whose imports are written for bundlers
		file += ".js"
	}
	http.ServeFile(w, r, file)
}

// page returns the address of a client's page. The name of its kind has the form
// "EventSource in Chromium".
func (s *site) page(v visit) string {
	name, _, _ := strings.Cut(v.name, " in ")
	return s.URL + "/page.html?" + url.Values{"name": {name}, "url": {v.url}, "token": {v.token}}.Encode()
}
