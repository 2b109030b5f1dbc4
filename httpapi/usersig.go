package httpapi

import (
	"bytes"
	"compress/zlib"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// userSig is a UserSig of version 2.0, the token of the original service: a JSON
// object, compressed (RFC 1950), in base64 with three of the characters replaced.
// Its signature is an HMAC-SHA256 over lines of its fields. The format is
// documented by the generators that the original publishes, tls-sig-api-v2.
type userSig struct {
	Version    string  `json:"TLS.ver"`
	Identifier string  `json:"TLS.identifier"`
	SDKAppID   int64   `json:"TLS.sdkappid"`
	Time       int64   `json:"TLS.time"`   // when it was issued, seconds since 1970
	Expire     int64   `json:"TLS.expire"` // how many seconds after Time it expires
	UserBuf    *string `json:"TLS.userbuf"`
	Sig        []byte  `json:"TLS.sig"`
}

const (
	maxUserSig = 4096    // bytes, as sent
	maxSigJSON = 8 << 10 // bytes, decompressed; a few hundred are usual
	maxSigTime = 1 << 33 // seconds, limit of Time and of Expire: the year 2242
)

func (t *Tokens) verifyUserSig(trust *trust, token string) (Credentials, error) {
	sig, err := parseUserSig(token)
	if err != nil {
		return Credentials{}, errForged()
	}
	if sig.SDKAppID != t.SDKAppID {
		return Credentials{}, fail(CodeWrongApp, "the UserSig is for another SDKAppID")
	}
	for _, secret := range trust.secrets {
		if sig.isSignedWith(secret.key) {
			issued, expires := time.Unix(sig.Time, 0), time.Unix(sig.Time+sig.Expire, 0)
			return Credentials{UserID: sig.Identifier, IssuedAt: issued, ExpiresAt: expires, key: secret.name}, nil
		}
	}
	return Credentials{}, trust.errNotSigned(sig.isSignedWith)
}

var base64Signs = strings.NewReplacer("*", "+", "-", "/", "_", "=")

func parseUserSig(token string) (userSig, error) {
	var sig userSig
	if len(token) > maxUserSig {
		return sig, fmt.Errorf("over %d bytes", maxUserSig)
	}
	deflated, err := base64.StdEncoding.Strict().DecodeString(base64Signs.Replace(token))
	if err != nil {
		return sig, err
	}
	text, err := inflate(deflated)
	if err != nil {
		return sig, err
	}
	if err := json.Unmarshal(text, &sig); err != nil {
		return sig, err
	}
	if sig.Version != "2.0" || sig.Time < 0 || sig.Time > maxSigTime || sig.Expire < 0 || sig.Expire > maxSigTime {
		return sig, fmt.Errorf("version %q, time %d, expire %d", sig.Version, sig.Time, sig.Expire)
	}
	return sig, nil
}

// inflate decompresses at most maxSigJSON bytes, because a few bytes can
// decompress to gigabytes. Bytes after the compressed data are an error.
func inflate(deflated []byte) ([]byte, error) {
	from := bytes.NewReader(deflated)
	z, err := zlib.NewReader(from)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(z, maxSigJSON+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxSigJSON || from.Len() > 0 {
		return nil, fmt.Errorf("inflates to over %d bytes, or is followed by others", maxSigJSON)
	}
	return text, nil
}

func (s *userSig) isSignedWith(key []byte) bool { return hmac.Equal(s.Sig, s.sign(key)) }

// sign returns the valid signature, which TLS.sig must equal.
func (s *userSig) sign(secret []byte) []byte {
	mac := hmac.New(sha256.New, secret)
	fmt.Fprintf(mac, "TLS.identifier:%s\nTLS.sdkappid:%d\nTLS.time:%d\nTLS.expire:%d\n",
		s.Identifier, s.SDKAppID, s.Time, s.Expire)
	if s.UserBuf != nil {
		fmt.Fprintf(mac, "TLS.userbuf:%s\n", *s.UserBuf)
	}
	return mac.Sum(nil)
}
