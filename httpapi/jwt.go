package httpapi

import (
	"encoding/base64"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/golang-jwt/jwt/v5"
)

func (t *Tokens) verifyJWT(trust *trust, token string) (Credentials, error) {
	if header, ok := headerOf(token); ok && trust.provider != nil && isPublic(header.alg) {
		payload, err := trust.provider.verify(token, header)
		if err != nil {
			return Credentials{}, err
		}
		return t.credentialsOf(token, payload, trust.provider.name(), &trust.provider.config)
	}
	for _, secret := range trust.secrets {
		if payload, ok := payloadOf(token, jwt.SigningMethodHS256, secret.key); ok {
			return t.credentialsOf(token, payload, secret.name, &ProviderConfig{UserClaim: "sub"})
		}
	}
	return Credentials{}, trust.errNotSigned(func(key []byte) bool {
		_, ok := payloadOf(token, jwt.SigningMethodHS256, key)
		return ok
	})
}

// jwtHeader has those members of the header of a JWT that select its key.
type jwtHeader struct {
	alg, kid  string
	bringsKey bool // it has jwk, jku or x5u, by which a token would choose its own key
}

// headerOf returns the header of a JWT, which is not verified yet.
func headerOf(token string) (header jwtHeader, ok bool) {
	encoded, _, _ := strings.Cut(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(encoded)
	in := membersOf(text, "the header")
	if err != nil || in.err != nil {
		return header, false
	}
	header = jwtHeader{alg: in.text("alg"), kid: in.someText("kid"), bringsKey: in.has("jwk") || in.has("jku") || in.has("x5u")}
	return header, in.err == nil
}

// payloadOf returns the payload of a JWT, if that is signed with a key by a method.
func payloadOf(token string, method jwt.SigningMethod, key any) (payload []byte, ok bool) {
	var all claims
	_, err := jwt.ParseWithClaims(token, &all, func(*jwt.Token) (any, error) { return key, nil },
		jwt.WithValidMethods([]string{method.Alg()}), jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation())
	return all.text, err == nil
}

// credentialsOf returns the credentials in the payload of a JWT whose signature is
// valid. key names what has verified it.
func (t *Tokens) credentialsOf(token string, payload []byte, key string, want *ProviderConfig) (Credentials, error) {
	in := membersOf(payload, "the claims")
	checkHeader(in, token)
	c := Credentials{
		key:       key,
		UserID:    in.claim(want.UserClaim),
		IssuedAt:  in.date("iat", noIssue),
		ExpiresAt: in.date("exp", time.Time{}),
	}
	if in.err == nil && c.ExpiresAt.IsZero() {
		in.err = malformed("exp is missing")
	}
	if in.date("nbf", noIssue).After(t.latest().Add(maxSkew)) && in.err == nil {
		in.err = malformed("nbf is in the future")
	}
	if in.err != nil {
		return Credentials{}, t.refuse(in.err.Error(), c.UserID)
	}
	if reason := want.check(in); reason != "" {
		return Credentials{}, t.refuse(reason, c.UserID)
	}
	return c, nil
}

// claims stores the payload of a JWT unparsed. It is parsed here, after the
// signature is verified, for two reasons. The library accepts names in any letter
// case, and repeated names, so a proxy could read a token differently. And it
// truncates times to seconds, although a token issued right after a kick must be
// distinguished from one issued right before it.
type claims struct {
	jwt.RegisteredClaims
	text []byte
}

// UnmarshalJSON stores the text.
func (c *claims) UnmarshalJSON(text []byte) error {
	c.text = append(c.text, text...)
	return nil
}

// membersOf returns the members of a JSON object. A repeated name is an error.
// what names the object in that error.
func membersOf(text []byte, what string) *fields {
	in := new(fields)
	if json.Unmarshal(text, &in.values) != nil || in.values == nil {
		in.err = malformed("%s must be one JSON object with each name once", what)
	}
	return in
}

// checkHeader rejects the header of a JWT if it requires extensions (crit, b64),
// or if a proxy could read it differently. Other members, such as kid, are
// ignored. The error is stored in claims.
func checkHeader(claims *fields, token string) {
	encoded, _, _ := strings.Cut(token, ".")
	text, _ := base64.RawURLEncoding.DecodeString(encoded) // the signature is verified
	header := membersOf(text, "the header")
	for _, name := range []string{"crit", "b64"} {
		if header.has(name) && header.err == nil {
			header.err = malformed("the header has %s, which is not supported", name)
		}
	}
	if header.has("typ") {
		header.text("typ")
	}
	if claims.err == nil {
		claims.err = header.err
	}
}

// claim returns the claim with a user ID, which is required.
func (f *fields) claim(name string) string {
	if !f.has(name) && f.err == nil {
		f.err = malformed("%s is missing", name)
	}
	return f.text(name)
}

// maxDate is the largest date in a token, in seconds since 1970: the year 36812.
const maxDate = 1 << 40

// date returns a NumericDate of RFC 7519, or the value of absent if the claim is
// absent or null.
func (f *fields) date(name string, absent time.Time) time.Time {
	if !f.has(name) || f.isNull(name) {
		return absent
	}
	seconds, err := strconv.ParseFloat(string(f.values[name]), 64)
	if err != nil || math.Abs(seconds) > maxDate {
		f.wrong(name, "a number of seconds since 1970")
		return absent
	}
	return time.UnixMicro(int64(math.Round(seconds * 1e6)))
}
