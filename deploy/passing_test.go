package deploy_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	server "github.com/presence-server/presence/deploy/testserver"
)

// What must pass through a proxy, and what must not.

func (p *proxy) keepsEveryPromise() {
	for what, holds := range map[string]func(*proxy){
		"events come one by one":     (*proxy).eventsComeOneByOne,
		"a cut stream resumes":       (*proxy).resumes,
		"a kill is not a proper end": (*proxy).breaks,
		"a kicked device gives up":   (*proxy).kicked,
		"a client that left is gone": (*proxy).leaves,
		"a body has 1 MiB":           (*proxy).bodies,
		"only the backend is admin":  (*proxy).admin,
		"a client is named":          (*proxy).namesClient,
		"answers are compressed":     (*proxy).compressed,
	} {
		p.t.Run(what, func(t *testing.T) {
			one := *p
			one.t = t
			holds(&one)
		})
	}
	p.t.Run("no token is logged", func(t *testing.T) { // must be last, because it ends the server
		one := *p
		one.t = t
		one.logsNoToken()
	})
}

// eventsComeOneByOne checks that each event arrives before the next one is sent, over
// both versions of HTTP, and for a browser that accepts compression.
func (p *proxy) eventsComeOneByOne() {
	for version, b := range map[int]*browser{1: p.oldBrowser(), 2: p.browser()} {
		token := p.server.TokenOf("alice")
		s := b.follow("?access_token="+token, nil)
		if got := s.response.ProtoMajor; got != version {
			p.t.Errorf("the stream is HTTP/%d, want HTTP/%d", got, version)
		}
		for name, want := range map[string]string{
			"Content-Type": "text/event-stream; charset=utf-8", "Content-Encoding": "", "Strict-Transport-Security": "max-age=31536000",
		} {
			if got := s.response.Header.Get(name); got != want {
				p.t.Errorf("the stream has %s %q, want %q", name, got, want)
			}
		}
		s.is("event: READY", "the first event")
		for i := range 5 {
			text := fmt.Sprint("HTTP/", version, " change ", i)
			p.server.Set("alice", text)
			s.is(`"`+text+`"`, "each change by itself")
		}
		s.cancel()
	}
}

func (p *proxy) resumes() {
	b, token := p.browser(), p.server.TokenOf("bob")
	s := b.follow("?deviceID=tab&access_token="+token, nil)
	s.is("event: READY", "the first event")
	p.server.Set("bob", "seen")
	seen := s.is(`"seen"`, "a change")
	s.cancel()
	p.server.Set("bob", "missed")
	again := b.follow("?deviceID=tab&access_token="+token, http.Header{"Last-Event-ID": {seen.ID}})
	again.is("id: "+seen.ID+"\n", "READY has the id that the stream resumes from")
	again.is(`"missed"`, "what was missed comes first")
	again.cancel()
}

// breaks kills the server. Several clients never reconnect after what looks like a
// proper end.
func (p *proxy) breaks() {
	for version, b := range map[int]*browser{1: p.oldBrowser(), 2: p.browser()} {
		s := b.follow("?access_token="+p.server.TokenOf("carol"), nil)
		s.is("event: READY", "the first event")
		p.server.Kill()
		if _, err := s.Next(); err == nil || (err == io.EOF) != slices.Contains(p.hidesBreaks, version) {
			p.t.Errorf("when the server is killed, a stream of HTTP/%d ends with %v, want that it breaks (hidden by this proxy over HTTP/%v)",
				version, err, p.hidesBreaks)
		}
		p.server.Start()
	}
}

func (p *proxy) kicked() {
	b, token := p.browser(), p.server.TokenOf("carol")
	s := b.follow("?deviceID=tab&access_token="+token, nil)
	s.is("event: READY", "the first event")
	p.server.Admin("kick", map[string]any{"userID": "carol"}, nil)
	s.is("REST_API_Kick", "the reason")
	if event, err := s.Next(); err != io.EOF {
		p.t.Errorf("after KICKED_OUT there is %q, %v, want the end", event.Raw, err)
	}
	response, err := b.get("/v1/events?deviceID=tab&access_token="+token, http.Header{"Last-Event-ID": {"1"}})
	if err != nil || response.StatusCode != http.StatusNoContent {
		p.t.Errorf("a kicked device that only reconnects gets %v %v, want 204", response, err)
	}
}

// leaves checks that a user who left isn't shown as ONLINE because the proxy keeps the
// stream open.
func (p *proxy) leaves() {
	for _, b := range []*browser{p.oldBrowser(), p.browser()} {
		s := b.follow("?access_token="+p.server.TokenOf("dave"), nil)
		s.is("event: READY", "the first event")
		s.cancel()
		explained := struct{ Streams int }{-1}
		for ctx := bounded(p.t); explained.Streams != 0; {
			if err := p.server.Must(ctx, "/v1/admin/explain?userID=dave", server.AdminKey, nil, &explained); err != nil {
				p.t.Fatalf("the server still has a stream of a user who left: %v", err)
			}
		}
	}
}

func (p *proxy) bodies() {
	const most = 1 << 20
	for size, want := range map[int]int{most: http.StatusOK, most + 1: http.StatusRequestEntityTooLarge} {
		body := `{"customStatus":"x"`
		body += strings.Repeat(" ", size-len(body)-1) + "}"
		response, err := p.browser().do(http.MethodPost, "/v1/setSelfStatus", http.Header{"Authorization": {"Bearer " + p.server.TokenOf("erin")}}, body)
		if err != nil || response.StatusCode != want {
			p.t.Errorf("a body of %d bytes was answered %v, %v, want %d", size, response, err, want)
		}
	}
}

func (p *proxy) admin() {
	key := http.Header{"Authorization": {"Bearer " + server.AdminKey}}
	elsewhere := p.browser()
	elsewhere.from("127.0.0.2")
	for b, want := range map[*browser]int{p.browser(): http.StatusOK, elsewhere: http.StatusForbidden} {
		response, err := b.get("/v1/admin/stats", key)
		if err != nil || response.StatusCode != want {
			p.t.Errorf("the server API from %s was answered %v %v, want %d", b.address, response, err, want)
		}
	}
}

// namesClient: wrong tokens are counted by the address of the client that the proxy reports,
// whatever the client itself writes into X-Forwarded-For.
func (p *proxy) namesClient() {
	guesser, other := p.browser(), p.browser()
	guesser.from("127.0.0.3")
	other.from("127.0.0.4")
	const failures = 30 // limits.failures
	for i := range failures {
		p.guesses(guesser, i, http.StatusUnauthorized)
	}
	p.guesses(guesser, failures, http.StatusTooManyRequests)
	p.guesses(other, 0, http.StatusUnauthorized)
}

// guesses sends a wrong token with a forged X-Forwarded-For.
func (p *proxy) guesses(b *browser, i, want int) {
	p.t.Helper()
	from := http.Header{"Authorization": {"Bearer wrong"}, "X-Forwarded-For": {fmt.Sprint("203.0.113.", i)}}
	response, err := b.get("/v1/friends", from)
	if err != nil || response.StatusCode != want {
		p.t.Fatalf("wrong token %d from %s is answered %v %v, want %d", i, b.address, response, err, want)
	}
}

func (p *proxy) compressed() {
	response, err := p.browser().get("/sdk/presence.js", http.Header{"Accept-Encoding": {"gzip"}})
	if err != nil || response.Header.Get("Content-Encoding") != "gzip" {
		p.t.Errorf("the SDK is served as %v, %v", response, err)
	}
}

// logsNoToken checks this for requests that were served, that failed, and that the
// proxy couldn't pass on.
func (p *proxy) logsNoToken() {
	token := p.server.TokenOf("frank")
	b, target := p.browser(), "/v1/events?x=1&access_token="+token+"&y=2"
	from := http.Header{"Referer": {"https://" + name + target}}
	s := b.follow(strings.TrimPrefix(target, "/v1/events"), from)
	s.is("event: READY", "the first event")
	b.get("/v1/subscriptions?access_token="+token, from)
	p.server.Kill() // in the middle of a stream
	s.Next()
	response, err := b.get(target, from)
	if err != nil || response.StatusCode != http.StatusBadGateway && response.StatusCode != http.StatusServiceUnavailable {
		p.t.Errorf("without a server the proxy answers %v, %v", response, err)
	}
	p.stop() // stopping makes the proxy write its logs
	logs := p.logs()
	if !strings.Contains(logs, "/v1/events") {
		p.t.Errorf("the requests are not logged:\n%s", logs)
	}
	for part := range strings.SplitSeq(token, ".") {
		if at := strings.Index(logs, part); at >= 0 {
			p.t.Errorf("a token is logged:\n%s", logs[max(0, at-600):at])
			return
		}
	}
}
