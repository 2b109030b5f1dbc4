package httpapi

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/presence-server/presence/presence"
)

// trust is what tokens are verified with. It is replaced as a whole, and with it the
// tokens that it has verified.
type trust struct {
	secrets  []secret  // the first one signs new tokens
	removed  []secret  // those that were accepted before, the last removed first
	provider *Provider // nil means that there is none
	verified remembered
}

// maxRemoved is the maximum number of removed secrets that are remembered.
const maxRemoved = 4

// secret is a key of HMAC-SHA256.
type secret struct {
	key  []byte
	name string // Credentials.key of what it verifies
}

// newTrust returns the trust in a secret, in those that it has replaced, and in a
// provider, which may be nil.
func newTrust(current []byte, previous [][]byte, provider *Provider) *trust {
	t := &trust{provider: provider}
	for _, key := range append([][]byte{current}, previous...) {
		digest := sha256.Sum256(key)
		t.secrets = append(t.secrets, secret{bytes.Clone(key), hex.EncodeToString(digest[:])})
	}
	return t
}

// remember remembers the secrets that t doesn't accept any more, but that before accepted
// or remembered.
func (t *trust) remember(before *trust) {
	for _, s := range slices.Concat(before.secrets, before.removed) {
		if !t.trusts(s.name) && len(t.removed) < maxRemoved {
			t.removed = append(t.removed, s)
		}
	}
}

// errKeyRemoved is the cause of the error for a token of a removed secret. Such a token was
// right once, so it is no attempt to guess.
var errKeyRemoved = errors.New("it is signed with a secret that was removed")

// errNotSigned returns the error for a token that no secret has signed. isSigned reports
// whether one has.
func (t *trust) errNotSigned(isSigned func(key []byte) bool) error {
	err := errForged()
	for _, s := range t.removed {
		if isSigned(s.key) {
			err.Cause = errKeyRemoved
		}
	}
	return err
}

// trusts reports whether the key with a name is one of them.
func (t *trust) trusts(name string) bool {
	for i := range t.secrets {
		if t.secrets[i].name == name {
			return true
		}
	}
	return t.provider != nil && t.provider.name() == name
}

// name returns the Credentials.key of the tokens that the provider verifies.
func (p *Provider) name() string {
	return fmt.Sprintf("%q %q %q %q", p.config.URL, p.config.Issuer, p.config.Audience, p.config.UserClaim)
}

// SetKeys replaces the Secret, the PreviousSecrets and the Provider of Config.Tokens.
// secret signs new tokens, and must not be empty. The caller closes the earlier Provider.
// If the token of an event stream is no longer accepted, the stream ends as if the token
// had expired. Streams whose tokens were not verified by Config.Tokens continue.
//
// SetKeys panics if Config.Tokens is nil.
func (h *Handler) SetKeys(secret []byte, previous [][]byte, provider *Provider) {
	next := newTrust(secret, previous, provider)
	next.remember(h.tokens.load())
	replaced := h.tokens.trust.Swap(next)
	h.service.Expire(func(key string) bool { return !replaced.trusts(key) || h.tokens.load().trusts(key) })
}

// stillTrusted returns an error if what verified c was replaced since.
func stillTrusted(c Credentials) error {
	if c.by == nil || c.by.load().trusts(c.key) {
		return nil
	}
	return errForged()
}

// adminKeys are the keys of the server API, and the feeds that were opened with them.
type adminKeys struct {
	mu      sync.Mutex
	digests [][sha256.Size]byte
	feeds   map[*presence.Feed][sha256.Size]byte // those that are open
}

// SetAdminKeys replaces the keys of the server API. The event streams of the server API
// that were opened with a key that is no longer accepted end. Empty keys don't count;
// without any key, the server API is off.
func (h *Handler) SetAdminKeys(keys ...string) {
	a := &h.adminKeys
	a.mu.Lock()
	defer a.mu.Unlock()
	a.digests = nil
	for _, key := range keys {
		if key != "" {
			a.digests = append(a.digests, sha256.Sum256([]byte(key)))
		}
	}
	for feed, digest := range a.feeds {
		if !a.has(digest) {
			feed.Close()
		}
	}
}

// any reports whether there is a key.
func (a *adminKeys) any() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.digests) > 0
}

// accept reports whether key is one of the keys.
func (a *adminKeys) accept(key string) bool {
	digest := sha256.Sum256([]byte(key))
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.has(digest)
}

// has compares in constant time. a.mu must be held.
func (a *adminKeys) has(digest [sha256.Size]byte) bool {
	found := 0
	for i := range a.digests {
		found |= subtle.ConstantTimeCompare(a.digests[i][:], digest[:])
	}
	return found == 1
}

// opened stores a feed that was opened with key, so that it ends with the key. It
// reports false if the key is no longer accepted.
func (a *adminKeys) opened(feed *presence.Feed, key string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	digest := sha256.Sum256([]byte(key))
	if !a.has(digest) {
		return false
	}
	if a.feeds == nil {
		a.feeds = make(map[*presence.Feed][sha256.Size]byte)
	}
	a.feeds[feed] = digest
	return true
}

// closed forgets a feed.
func (a *adminKeys) closed(feed *presence.Feed) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.feeds, feed)
}
