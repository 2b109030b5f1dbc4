package httpapi

import (
	"crypto/sha256"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/presence-server/presence/presence"
)

// Credentials identify the user who makes a request.
type Credentials struct {
	// UserID is the user's ID. An empty UserID means that the request has no
	// credentials; it is rejected with CodeNoToken.
	UserID string

	// IssuedAt is when the credentials were issued. A kick revokes credentials
	// that were issued before it. The zero time means that kicks don't affect
	// them.
	IssuedAt time.Time

	// DeviceID is the device that the request belongs to, such as the program's own
	// session of a browser. It replaces any deviceID that the request names: the
	// event stream is that of this device, and logout ends no other. Empty, which is
	// what Tokens returns, means that the request names the device.
	//
	// It must be an ID as for [presence.CheckID]; otherwise the request fails with
	// CodeInternal, and the log has the reason. The user's client receives it, and
	// the log and the server API show it. It must therefore not be the secret of the
	// session, such as the value of its cookie.
	DeviceID string

	// ExpiresAt is when an event stream that was opened with these credentials
	// ends. The zero time means never.
	ExpiresAt time.Time

	by  *Tokens // has verified them; nil if a program returns credentials of its own
	key string  // names what by has verified them with
}

// Tokens issues and verifies tokens, the built-in credentials. Its fields must not
// change after its first use; see [Handler.SetKeys]. Its methods are safe for
// concurrent use.
//
// A token is one of two kinds. A JWT is signed with HS256: its claim sub is the
// user ID, exp is required, and iat is when the token was issued; a JWT without
// iat counts as older than any kick. A UserSig is the token of the original
// service. A token has at most 8 KiB, a UserSig at most 4 KiB. Of several
// encodings of the same token only the canonical one is valid.
type Tokens struct {
	// Secret is the key of HMAC-SHA256. It must not be empty, and should have at
	// least MinSecret bytes.
	Secret []byte

	// PreviousSecrets are accepted too, but don't sign new tokens, so that the secret
	// can be changed while tokens of the previous one are in use. Nil means none.
	PreviousSecrets [][]byte

	// Provider verifies the tokens of an identity provider, which are accepted too. Nil
	// means that there is none. The caller closes it.
	Provider *Provider

	// SDKAppID is the application for which a UserSig must be issued. Others are
	// rejected with CodeWrongApp. It doesn't concern JWTs.
	SDKAppID int64

	// Now returns the time by which tokens expire. Nil means time.Now.
	Now func() time.Time

	// ServiceNow must be the method Now of the Service, or nil. After the
	// machine's clock was set back, the clock of the service is ahead of it. A
	// kick takes the later of the two times, so new tokens must do so too.
	// Nil means that only Now counts.
	ServiceNow func() time.Time

	// Logger receives a warning when a token with a valid signature is rejected
	// for a reason other than its age, or has no iat. Each reason is logged at
	// most once an hour. Nil means the Logger of the Handler.
	Logger *slog.Logger

	once  sync.Once
	trust atomic.Pointer[trust] // use load

	mu     sync.Mutex
	warned map[string]time.Time // when a reason was last logged
}

// maxSkew is how far the clock of a token's issuer may be ahead. A token whose
// iat or nbf is later than that is rejected: it would outlive a kick.
const maxSkew = time.Minute

// maxToken is the maximum size of a token in bytes.
const maxToken = 8 << 10

// Authenticate verifies the token of a request. It reads the token from the
// Authorization header or, for the event stream only, from the query parameter
// access_token. Without a token it returns an error with CodeNoToken; otherwise
// it returns the result of Verify. It can be used as Config.Authenticate.
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

// bearer returns the bearer token of the Authorization header, or "" if there is
// none.
func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// Verify returns the credentials that a token contains, or an
// [*presence.Error] with CodeExpired, CodeInvalidToken or CodeWrongApp. The
// error gives the reason why a token is invalid only if its signature is valid.
// Verify doesn't check whether the user exists or was kicked.
func (t *Tokens) Verify(token string) (Credentials, error) {
	if len(token) > maxToken || strings.ContainsFunc(token, isForeign) {
		return Credentials{}, errForged()
	}
	trust := t.load()
	digest := sha256.Sum256([]byte(token))
	c, ok := trust.verified.get(digest) // clients send the same token with each call
	if !ok || !t.now().Before(c.ExpiresAt) {
		var err error
		if c, err = t.verify(trust, token); err != nil {
			return Credentials{}, err
		}
		if trust.provider == nil || c.key != trust.provider.name() { // a provider may withdraw a key
			trust.verified.put(digest, c)
		}
	}
	if c.IssuedAt.Equal(noIssue) {
		t.warn("a token without iat is accepted: once its user is kicked, it and all others without iat are refused", c.UserID)
	}
	return c, nil
}

// load returns what tokens are verified with now.
func (t *Tokens) load() *trust {
	t.once.Do(func() { t.trust.CompareAndSwap(nil, newTrust(t.Secret, t.PreviousSecrets, t.Provider)) })
	return t.trust.Load()
}

// isForeign reports whether a character occurs neither in JWTs nor in UserSigs.
// Go's base64 decoder skips line breaks, so without this check each token would
// have any number of valid spellings.
func isForeign(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.*", r)
}

// errForged returns the error for all tokens without a valid signature. It is the
// same for all, so that it reveals nothing.
func errForged() *presence.Error {
	return fail(CodeInvalidToken, "the token is not valid: it must be a JWT or a UserSig, signed with a key that this server accepts")
}

// noIssue is the time at which a token without iat counts as issued. It is before
// any kick.
var noIssue = time.Unix(0, 0)

func (t *Tokens) verify(trust *trust, token string) (Credentials, error) {
	verify := t.verifyUserSig
	if strings.Count(token, ".") == 2 { // a UserSig contains no dots
		verify = t.verifyJWT
	}
	c, err := verify(trust, token)
	if err != nil {
		return Credentials{}, err
	}
	c.by = t
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

// refuse logs the reason why a token with a valid signature is rejected, and
// returns the error. Only the operator of the issuer can correct such tokens, so
// the reason must be in the log.
func (t *Tokens) refuse(reason, userID string) error {
	t.warn("a token is refused although its signature is valid: "+reason, userID)
	return fail(CodeInvalidToken, "the token is not valid: %s", reason)
}

// warn logs a reason at most once an hour. There are few different reasons, and
// none of them contains anything from a request.
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
		userID = "" // an invalid ID can be of any length
	}
	t.Logger.Warn(reason, "user", userID)
}

// Issue returns a new JWT for the user, and the time at which it expires. The
// token is valid for at least lifetime, and less than a second longer.
func (t *Tokens) Issue(userID string, lifetime time.Duration) (token string, expires time.Time, err error) {
	now := t.now()
	expires = now.Add(lifetime + time.Second - time.Nanosecond).Truncate(time.Second)
	token, err = jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"sub": userID,
		"iat": float64(t.latest().UnixMicro()) / 1e6,
		"exp": expires.Unix(),
	}).SignedString(t.load().secrets[0].key)
	return token, expires, err
}

func (t *Tokens) now() time.Time {
	if t.Now != nil {
		return t.Now()
	}
	return time.Now()
}

// latest returns the time that a kick would have if it happened now.
func (t *Tokens) latest() time.Time {
	now := t.now()
	if t.ServiceNow != nil {
		if service := t.ServiceNow(); service.After(now) {
			return service
		}
	}
	return now
}

// MinSecret is the minimum size of a secret, in bytes. Shorter ones can be
// guessed.
const MinSecret = 16
