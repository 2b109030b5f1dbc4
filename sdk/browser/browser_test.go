package browser_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/inspector"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	child "github.com/presence-server/presence/deploy/testserver"
)

// browser is one headless Chromium.
type browser struct {
	t   *testing.T
	ctx context.Context
}

func startBrowser(t *testing.T) *browser {
	t.Helper()
	path := child.Require(t, "chromium", "Chromium runs the SDK and the demo page")
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))
	allocator, cancel := chromedp.NewExecAllocator(withPatience(t, context.Background()), options...)
	t.Cleanup(cancel)
	return &browser{t, newContext(t, allocator)}
}

// newContext creates a target of its own that ends with the test, and starts it.
func newContext(t *testing.T, parent context.Context, options ...chromedp.ContextOption) context.Context {
	t.Helper()
	ctx, cancel := chromedp.NewContext(parent, options...)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("starting Chromium: %v", err)
	}
	return ctx
}

// profile is as separate from another profile as the browsers of two people. Its tabs
// share storage, locks and connections.
type profile struct {
	t   *testing.T
	ctx context.Context
}

func (b *browser) profile() *profile {
	b.t.Helper()
	return &profile{b.t, newContext(b.t, b.ctx, chromedp.WithNewBrowserContext())}
}

// tab is one page. problems are the uncaught errors of the page.
type tab struct {
	t        *testing.T
	ctx      context.Context
	problems chan string
}

func (p *profile) tab(url string) *tab {
	p.t.Helper()
	tab := &tab{p.t, newContext(p.t, p.ctx), make(chan string, 100)}
	err := chromedp.Listen(tab.ctx, func(event any) {
		if thrown, ok := event.(*runtime.EventExceptionThrown); ok {
			tab.problems <- (&chromedp.ExceptionError{ExceptionDetails: thrown.ExceptionDetails}).Error()
		}
	})
	if err != nil {
		p.t.Fatal(err)
	}
	tab.do(chromedp.Navigate(url))
	return tab
}

// demo opens the demo page as a user, and waits until it is ready.
func (p *profile) demo(url, userID string) *tab {
	p.t.Helper()
	tab := p.tab(url + "/person.html#" + userID)
	tab.await("window.chat?.isReady()")
	tab.record()
	return tab
}

// login opens an empty page of a server that isn't in -dev mode, and logs in there.
func (p *profile) login(s *server, userID string, seconds int) *tab {
	p.t.Helper()
	tab := p.bare(s)
	tab.login(s, userID, seconds)
	return tab
}

// bare opens an empty page at the server's origin, to which the
// Content-Security-Policy of the server's responses doesn't apply.
func (p *profile) bare(s *server) *tab {
	p.t.Helper()
	tab := p.tab("about:blank")
	if _, err := chromedp.Call(tab.ctx, page.SetBypassCSP, page.SetBypassCSPParams{Enabled: true}); err != nil {
		p.t.Fatal(err)
	}
	tab.do(chromedp.Navigate(s.URL + "/sdk/package.json"))
	return tab
}

// login loads the SDK from the origin of the page, which is the default, and logs in
// with a token that is valid for some seconds. Each event adds a line to the page's
// #log.
func (p *tab) login(s *server, userID string, seconds int) {
	p.t.Helper()
	token, err := s.Token(p.ctx, userID, seconds)
	if err != nil {
		p.t.Fatal(err)
	}
	p.loginWith(userID, token)
}

// loginWith is login with a token.
func (p *tab) loginWith(userID, token string) {
	p.t.Helper()
	p.eval(`import("/sdk/presence.js").then(async ({ default: sdk }) => {
		window.TencentCloudChat = sdk;
		window.chat = sdk.create({ SDKAppID: 1 });
		document.body.innerHTML = "<ol id=log></ol>";
		for (const name of Object.values(sdk.EVENT)) chat.on(name, ({ data }) => {
			const text = data?.state ?? data?.type ?? JSON.stringify(data ?? name);
			document.querySelector("#log").append(Object.assign(document.createElement("li"), { textContent: text }));
		});
		await chat.login({ userID: %q, userSig: %q });
	})`, userID, token)
	p.await("chat.isReady()")
	p.record()
}

func (p *tab) close() {
	p.t.Helper()
	if err := chromedp.Cancel(p.ctx); err != nil {
		p.t.Fatal(err)
	}
}

// crash kills the tab's process, as running out of memory does.
func (p *tab) crash() {
	p.t.Helper()
	crashed := chromedp.Events(p.ctx, inspector.TargetCrashed)
	go chromedp.Call(p.ctx, page.Crash, cdp.Empty{}) // a crashed tab sends no response
	for _, err := range crashed {
		if err != nil {
			p.t.Fatal(err)
		}
		return
	}
}

// reload does what the reload button does, and waits until the demo page is ready
// again.
func (p *tab) reload() {
	p.t.Helper()
	p.do(chromedp.Reload())
	p.await("window.chat?.isReady()")
	p.record()
}

func (p *tab) goOffline(offline bool) {
	p.t.Helper()
	none := -1.0
	p.do(func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, byRule := cdp.Call(ctx, t, network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{
			MatchedNetworkConditions: []*network.Conditions{
				{Offline: offline, DownloadThroughput: none, UploadThroughput: none},
			},
		})
		_, state := cdp.Call(ctx, t, network.OverrideNetworkState, network.OverrideNetworkStateParams{
			Offline: offline, DownloadThroughput: none, UploadThroughput: none,
		})
		return chromedp.Void{}, errors.Join(byRule, state)
	})
}

// media makes the page see a preference of its user, such as "prefers-color-scheme"
// and "dark".
func (p *tab) media(name, value string) {
	p.t.Helper()
	p.do(func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: name, Value: value}},
		})
		return chromedp.Void{}, err
	})
}

func (p *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, actions...); err != nil {
		p.t.Fatalf("%v\n%s", err, p.text())
	}
}

// eval runs JavaScript in the page, waits for the promise that it may return, and
// returns the value as JSON.
func (p *tab) eval(script string, args ...any) string {
	p.t.Helper()
	script = fmt.Sprintf(script, args...)
	value, err := chromedp.Run(p.ctx, chromedp.Evaluate[[]byte](script, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%s: %v\n%s", script, err, p.text())
	}
	return string(value)
}

// console does what typing into the browser's console does, where let may declare a
// name again.
func (p *tab) console(text string) {
	p.t.Helper()
	repl := func(params *runtime.EvaluateParams) { params.ReplMode = new(true) }
	if err := chromedp.Do(p.ctx, chromedp.Evaluate[chromedp.Void](text, repl)); err != nil {
		p.t.Fatalf("%s: %v", text, err)
	}
}

// await waits until an expression is true. It is evaluated whenever the page changes,
// which every event causes.
func (p *tab) await(condition string, args ...any) {
	p.t.Helper()
	p.eval(`new Promise((resolve) => {
		const look = () => (%s) && (observer.disconnect(), resolve(true));
		const observer = new MutationObserver(look);
		observer.observe(document, { subtree: true, childList: true, characterData: true, attributes: true });
		look();
	})`, fmt.Sprintf(condition, args...))
}

// record stores each status that the page receives in seen, as "bob 1 In a call".
func (p *tab) record() {
	p.t.Helper()
	p.eval(`window.seen = [];
		chat.on(TencentCloudChat.EVENT.USER_STATUS_UPDATED, ({ data }) =>
			seen.push(...data.map((s) => [s.userID, s.statusType, s.customStatus].join(" ").trim())));
		undefined`)
}

// sees waits until the page has received this status.
func (p *tab) sees(status string) {
	p.t.Helper()
	p.await("seen.includes(%q)", status)
}

// received returns all statuses of a user that the page has received, in order.
func (p *tab) received(userID string) string {
	p.t.Helper()
	return p.eval(`seen.filter((s) => s.split(" ")[0] === %q)`, userID)
}

func (p *tab) set(customStatus string) {
	p.t.Helper()
	p.eval(`chat.setSelfStatus({ customStatus: %q }).then(() => 0)`, customStatus)
}

// text returns the text of the page, for failure messages.
func (p *tab) text() string {
	ctx, cancel := context.WithTimeout(p.ctx, child.Patience/6)
	defer cancel()
	text, _ := chromedp.Run(ctx, chromedp.Evaluate[string]("document.body.innerText"))
	return text
}

// isFine fails the test if the page had an error.
func (p *tab) isFine() {
	p.t.Helper()
	for len(p.problems) > 0 {
		p.t.Errorf("error in the page: %s", <-p.problems)
	}
}
