package httpapi

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
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

// Tokens are the built-in credentials, made and checked with one secret.
//
// A token is either a JWT (HS256; sub is the user ID, exp is required, iat is
// when it was issued, and without one it is older than any kick) or a UserSig
// of the original.
type Tokens struct {
	Secret   []byte           // of HMAC-SHA256. Never empty
	SDKAppID int64            // that UserSigs must be for
	Now      func() time.Time // by which tokens expire; nil: time.Now

	// ServiceNow is Service.Now. After the machine's clock was set back the
	// service's is ahead of it, and kicks are dated by the later of the two: so
	// are the tokens that are issued. Nil: Now alone counts.
	ServiceNow func() time.Time

	mu       sync.Mutex
	verified map[string]Credentials // by token: a client sends the same one with each call
}

// maxSkew is how far the clock of who issues a token may be ahead. One issued
// later than that would outlive a kick.
const maxSkew = time.Minute

// maxVerified bounds the tokens that are remembered: a few MiB.
const maxVerified = 10_000

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
// CodeExpired, CodeInvalidToken or CodeWrongApp.
func (t *Tokens) Verify(token string) (Credentials, error) {
	t.mu.Lock()
	c, ok := t.verified[token]
	t.mu.Unlock()
	if ok && t.now().Before(c.ExpiresAt) {
		return c, nil
	}
	c, err := t.verify(token)
	if err != nil {
		return Credentials{}, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.verified == nil || len(t.verified) >= maxVerified {
		t.verified = make(map[string]Credentials)
	}
	t.verified[token] = c
	return c, nil
}

func (t *Tokens) verify(token string) (Credentials, error) {
	verify := t.verifyUserSig
	if strings.Count(token, ".") == 2 { // the alphabet of a UserSig has none
		verify = t.verifyJWT
	}
	c, err := verify(token)
	if err != nil {
		return Credentials{}, err
	}
	if presence.CheckID(c.UserID) != nil {
		return Credentials{}, fail(CodeInvalidToken, "the token is not for a user ID")
	}
	return c, nil
}

func (t *Tokens) verifyJWT(token string) (Credentials, error) {
	var c claims
	_, err := jwt.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return t.Secret, nil },
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
		jwt.WithExpirationRequired(), jwt.WithTimeFunc(t.now))
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return Credentials{}, fail(CodeExpired, "the token has expired")
	case err != nil:
		return Credentials{}, fail(CodeInvalidToken, "the token is not valid")
	}
	if c.issuedAt.After(t.latest().Add(maxSkew)) {
		return Credentials{}, fail(CodeInvalidToken, "the token is issued in the future")
	}
	return Credentials{UserID: c.Subject, IssuedAt: c.issuedAt, ExpiresAt: c.ExpiresAt.Time}, nil
}

// claims are those that matter here. They are read by themselves, because the
// library cuts times to seconds, and a token issued right after a kick has to
// be told from one issued before; and because it takes names in any case, and
// twice, of which a proxy in front could take another one.
type claims struct {
	jwt.RegisteredClaims
	issuedAt time.Time // 1970 when there is none: older than any kick
}

// UnmarshalJSON reads the claims.
func (c *claims) UnmarshalJSON(text []byte) error {
	var in struct {
		Subject   string   `json:"sub"`
		ExpiresAt *float64 `json:"exp"`
		NotBefore *float64 `json:"nbf"`
		IssuedAt  float64  `json:"iat"`
	}
	if err := json.Unmarshal(text, &in); err != nil {
		return err
	}
	c.Subject = in.Subject
	var err error
	if in.ExpiresAt != nil {
		c.ExpiresAt, err = numericDate(*in.ExpiresAt)
	}
	if in.NotBefore != nil && err == nil {
		c.NotBefore, err = numericDate(*in.NotBefore)
	}
	c.issuedAt = time.UnixMicro(int64(math.Round(in.IssuedAt * 1e6)))
	if math.Abs(in.IssuedAt) > maxNumericDate {
		err = errDate
	}
	return err
}

// maxNumericDate is the year 36812: what is behind it can't be a date.
const maxNumericDate = 1 << 40

var errDate = errors.New("not a date")

// numericDate is a NumericDate of RFC 7519, cut to seconds.
func numericDate(seconds float64) (*jwt.NumericDate, error) {
	if math.Abs(seconds) > maxNumericDate {
		return nil, errDate
	}
	return jwt.NewNumericDate(time.Unix(int64(seconds), 0)), nil
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

// SecretFile returns the secret that a file holds, without white space around
// it. If there is no such file, it makes one with a random secret, which only
// its owner can read; it is there as a whole or not at all.
func SecretFile(path string) ([]byte, error) {
	secret, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makeSecret(path)
	}
	if secret = bytes.TrimSpace(secret); err == nil && len(secret) < MinSecret {
		return nil, fmt.Errorf("%s must have at least %d bytes", path, MinSecret)
	}
	return secret, err
}

func makeSecret(path string) ([]byte, error) {
	secret := rand.Text() + rand.Text()
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)) // mode 0600
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(secret + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, err
	}
	return []byte(secret), os.Rename(f.Name(), path)
}
