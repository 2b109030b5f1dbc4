package browser_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	child "github.com/presence-server/presence/deploy/testserver"
)

// TestIdentityProvider signs in at a real identity provider in Chromium, and opens a
// stream with the token that it issues. Then the provider goes down, which affects
// nobody, and comes back with other keys.
func TestIdentityProvider(t *testing.T) {
	if _, err := os.Stat("../node_modules/oidc-provider"); err != nil {
		child.Missing(t, "oidc-provider is not installed: run npm install in sdk/")
	}
	address, err := child.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	issuer := "http://" + address
	s := startServer(t, false, "AUTH__JWKS_URL="+issuer+"/jwks", "AUTH__ISSUER="+issuer, "AUTH__AUDIENCE=presence", "AUTH__USER_CLAIM=nickname")
	stop := startProvider(t, address, s.URL+"/livez")
	s.Befriend("alice", "bob")
	b := startBrowser(t)

	token := b.profile().signIn(t, issuer, s.URL+"/livez", "alice")
	alice := b.profile().bare(s)
	alice.loginWith("alice", token)
	s.Set("bob", "one")
	alice.sees("bob 3 one")

	stop()
	s.Set("bob", "two")
	alice.sees("bob 3 two")
	s.Do("/v1/friends", token, nil, nil) // verified with the known key

	startProvider(t, address, s.URL+"/livez")
	bob := b.profile().bare(s)
	bob.loginWith("bob", b.profile().signIn(t, issuer, s.URL+"/livez", "bob")) // signed with a key that the server has not fetched yet
	alice.await(`[...document.querySelectorAll("li")].some((li) => li.textContent.includes("two") && li.textContent.includes('"statusType":1'))`)
	for _, forged := range []string{token + "x", token[:strings.LastIndex(token, ".")] + ".AAAA"} {
		if answer, err := s.Call(s.Ctx, "/v1/friends", forged, nil); err != nil || answer.Code != 70003 {
			t.Errorf("a forged token was answered %+v, %v", answer, err)
		}
	}
	alice.isFine()
	bob.isFine()
}

// startProvider starts the identity provider. stop ends it.
func startProvider(t *testing.T, address, callback string) (stop func()) {
	t.Helper()
	node := child.Require(t, "node", "Node runs an identity provider")
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), node, "clients/provider.mjs", port, callback)
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	stop = func() {
		if !ended {
			ended = true
			command.Process.Kill()
			command.Wait()
		}
	}
	t.Cleanup(stop)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if lines.Text() == "ready" {
			return stop
		}
	}
	t.Fatal("the identity provider ended before it was ready")
	return nil
}

// signIn follows the authorization code flow with PKCE (RFC 7636), as a page does, and returns the access token.
func (p *profile) signIn(t *testing.T, issuer, callback, userID string) string {
	t.Helper()
	const verifier = "a-verifier-of-the-test-which-has-at-least-43-characters"
	digest := sha256.Sum256([]byte(verifier))
	query := url.Values{
		"client_id": {"chat"}, "response_type": {"code"}, "redirect_uri": {callback}, "scope": {"openid"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(digest[:])}, "code_challenge_method": {"S256"},
	}
	tab := p.tab(issuer + "/auth?" + query.Encode())
	tab.do(
		chromedp.SendKeys("input[name=login]", userID), chromedp.SendKeys("input[name=password]", "any"), chromedp.Click("button[type=submit]"),
		chromedp.WaitNotPresent("input[name=login]"), chromedp.Click("button[type=submit]"), // the consent form
		chromedp.WaitNotPresent("button[type=submit]"),
	)
	var code string
	if err := json.Unmarshal([]byte(tab.eval(`new URLSearchParams(location.search).get("code")`)), &code); err != nil {
		t.Fatal(err)
	}
	response, err := http.PostForm(issuer+"/token", url.Values{
		"grant_type": {"authorization_code"}, "client_id": {"chat"}, "code": {code}, "redirect_uri": {callback},
		"code_verifier": {verifier},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var issued struct {
		AccessToken string `json:"access_token"`
		Error       string `json:"error_description"`
	}
	if err := json.NewDecoder(response.Body).Decode(&issued); err != nil || issued.AccessToken == "" {
		t.Fatalf("the identity provider issues no token: %+v, %v", issued, err)
	}
	return issued.AccessToken
}
