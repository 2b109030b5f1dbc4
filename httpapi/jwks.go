package httpapi

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
)

// providerKey is one public key of a provider.
type providerKey struct {
	name   string // kid; may be empty
	alg    string // the only algorithm it is for; may be empty
	public any
}

// parseKeys returns those keys of a JSON Web Key Set that can verify tokens, and the
// number of the others.
func parseKeys(text []byte) (keys []providerKey, ignored int, err error) {
	if len(text) > maxKeySet {
		return nil, 0, fmt.Errorf("the response has more than %d bytes", maxKeySet)
	}
	var set struct{ Keys []json.RawMessage }
	if json.Unmarshal(bytes.TrimSpace(text), &set) != nil || set.Keys == nil {
		return nil, 0, errors.New("the response is not a JSON Web Key Set")
	}
	for _, one := range set.Keys {
		key, err := jwkset.NewJWKFromRawJSON(one, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{SkipKeyOps: true, SkipUse: true})
		if err != nil || key.Marshal().USE == jwkset.UseEnc || methodsFor(key.Key()) == nil || len(key.Marshal().KID) > maxKeyName {
			ignored++
			continue
		}
		keys = append(keys, providerKey{key.Marshal().KID, string(key.Marshal().ALG), key.Key()})
	}
	if len(keys) == 0 {
		return nil, ignored, errors.New("the response has no key that can verify RS256, PS256, ES256 or EdDSA")
	}
	return keys, ignored, nil
}

// methodsFor returns the methods that a public key can verify.
func methodsFor(public any) []jwt.SigningMethod {
	const leastBits = 2048 // RFC 7518, section 3.3
	switch key := public.(type) {
	case *rsa.PublicKey:
		if key.N.BitLen() >= leastBits {
			return []jwt.SigningMethod{jwt.SigningMethodRS256, jwt.SigningMethodPS256}
		}
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P256() {
			return []jwt.SigningMethod{jwt.SigningMethodES256}
		}
	case ed25519.PublicKey:
		return []jwt.SigningMethod{jwt.SigningMethodEdDSA}
	}
	return nil
}

// isPublic reports whether an algorithm is one that the keys of a provider verify.
func isPublic(alg string) bool {
	return alg == "RS256" || alg == "PS256" || alg == "ES256" || alg == "EdDSA"
}

// methodFor returns the method of an algorithm that the key can verify, or nil.
func (k *providerKey) methodFor(alg string) jwt.SigningMethod {
	if k.alg != "" && k.alg != alg {
		return nil
	}
	for _, method := range methodsFor(k.public) {
		if method.Alg() == alg {
			return method
		}
	}
	return nil
}
