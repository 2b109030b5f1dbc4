package httpapi

import (
	"crypto/sha256"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/presence-server/presence/presence"
)

// Credentials are what a request proves.
type Credentials struct {
	UserID string

	// IssuedAt is when the proof was made: a kick refuses what was issued up
	// to then. Zero: kicks don't matter to it.
	IssuedAt time.Time

	// ExpiresAt is when an event stream opened with it ends. Zero: never.
	ExpiresAt time.Time
}

// Tokens are the built-in credentials, issued and verified with one secret.
//
// A token is either a JWT (HS256; sub is the user ID, exp is required, iat is
// when it was issued, and without one it is older than any kick) or a UserSig
// of the original. It has at most 8 KiB, a UserSig 4 KiB, and only the
// characters and the one spelling that its encoding has.
type Tokens struct {
	Secret   []byte           // of HMAC-SHA256. Never empty
	SDKAppID int64            // that UserSigs must be for
	Now      func() time.Time // by which tokens expire; nil: time.Now

	// ServiceNow is Service.Now. After the machine's clock was set back the
	// service's is ahead of it, and kicks are dated by the later of the two: so
	// are the tokens that are issued. Nil: Now alone counts.
	ServiceNow func() time.Time

	// Logger receives a warning, at most once an hour for each reason, when a
	// token with the right signature is refused for another reason than its
	// age, or has no iat. Nil means the Logger of the Handler.
	Logger *slog.Logger

	verified remembered // a client sends the same one with each call

	mu     sync.Mutex
	warned map[string]time.Time // when, by reason
}

// maxSkew is how far the clock of a token's issuer may be ahead: iat and nbf
// are accepted up to so much later. A token issued after that would outlive a
// kick.
const maxSkew = time.Minute

// maxToken is the most bytes of a token.
const maxToken = 8 << 10

// Authenticate is a value for Config.Authenticate: it takes the token of the
// Authorization header or, for the event stream, of the query.
func (t *Tokens) Authenticate(r *http.Request) (Credentials, error) {
	token := bearer(r)
	if token == "" && isStream(r) {
		token = r.URL.Query().Get("access_token")
	}
	if token == "" {
		return Credentials{}, fail(CodeNoToken, "no token: send Authorization: Bearer TOKEN")
	}
	return t.Verify(token)
}

// bearer returns the token of the Authorization header, or "".
func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// Verify returns what a token proves, or an [*presence.Error] with
// CodeExpired, CodeInvalidToken or CodeWrongApp. The reason why a token isn't
// valid is given only once its signature is verified.
func (t *Tokens) Verify(token string) (Credentials, error) {
	if len(token) > maxToken || strings.ContainsFunc(token, isForeign) {
		return Credentials{}, errForged()
	}
	digest := sha256.Sum256([]byte(token))
	c, ok := t.verified.get(digest)
	if !ok || !t.now().Before(c.ExpiresAt) {
		var err error
		if c, err = t.verify(token); err != nil {
			return Credentials{}, err
		}
		t.verified.put(digest, c)
	}
	if c.IssuedAt.Equal(noIssue) {
		t.warn("a token without iat is accepted: once its user is kicked, it and all others without iat are refused", c.UserID)
	}
	return c, nil
}

// isForeign reports whether a character is in neither the alphabet of a JWT nor
// that of a UserSig. Go's base64 skips line breaks, so each token would have
// any number of spellings.
func isForeign(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.*", r)
}

// errForged is the one answer for every token whose signature isn't verified.
func errForged() *presence.Error {
	return fail(CodeInvalidToken, "the token is not valid: it must be a JWT (HS256) or a UserSig, signed with the secret of this server")
}

// noIssue is when a token without iat counts as issued: it is older than any
// kick.
var noIssue = time.Unix(0, 0)

func (t *Tokens) verify(token string) (Credentials, error) {
	verify := t.verifyUserSig
	if strings.Count(token, ".") == 2 { // the alphabet of a UserSig has none
		verify = t.verifyJWT
	}
	c, err := verify(token)
	if err != nil {
		return Credentials{}, err
	}
	switch {
	case c.IssuedAt.After(t.latest().Add(maxSkew)):
		return Credentials{}, t.refuse("it is issued in the future", c.UserID)
	case presence.CheckID(c.UserID) != nil:
		return Credentials{}, t.refuse("sub: "+presence.CheckID(c.UserID).Error(), "")
	case !t.now().Before(c.ExpiresAt):
		return Credentials{}, fail(CodeExpired, "the token has expired")
	}
	return c, nil
}

// refuse returns the error for a token whose signature is verified: its issuer
// has to change something, so the reason is in the log too.
func (t *Tokens) refuse(reason, userID string) error {
	t.warn("a token is refused although its signature is valid: "+reason, userID)
	return fail(CodeInvalidToken, "the token is not valid: %s", reason)
}

// warn logs a reason at most once an hour. There are a few reasons, none of
// which holds anything that was sent.
func (t *Tokens) warn(reason, userID string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	if last, ok := t.warned[reason]; t.Logger == nil || ok && now.Before(last.Add(time.Hour)) {
		return
	}
	if t.warned == nil {
		t.warned = make(map[string]time.Time)
	}
	t.warned[reason] = now
	if presence.CheckID(userID) != nil {
		userID = "" // as long and as strange as its issuer likes
	}
	t.Logger.Warn(reason, "user", userID)
}

// Issue makes a JWT for the user that is valid for at least lifetime, and less
// than a second longer.
func (t *Tokens) Issue(userID string, lifetime time.Duration) (token string, expires time.Time, err error) {
	now := t.now()
	expires = now.Add(lifetime + time.Second - time.Nanosecond).Truncate(time.Second)
	token, err = jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"sub": userID,
		"iat": float64(t.latest().UnixMicro()) / 1e6,
		"exp": expires.Unix(),
	}).SignedString(t.Secret)
	return token, expires, err
}

func (t *Tokens) now() time.Time {
	if t.Now != nil {
		return t.Now()
	}
	return time.Now()
}

// latest returns the time at which the service would date a kick.
func (t *Tokens) latest() time.Time {
	now := t.now()
	if t.ServiceNow != nil {
		if service := t.ServiceNow(); service.After(now) {
			return service
		}
	}
	return now
}

// MinSecret is the fewest bytes of a secret that can't be guessed.
const MinSecret = 16
