package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"

	"github.com/presence-server/presence/httpapi"
)

// check reads the key files, and reports every key that can't be used to must, which
// turns it into a problem unless ok is true.
func (a *authConfig) check(must func(ok bool, key string, value any, reason string)) {
	for _, k := range []struct {
		name        string
		value, file *string
	}{
		{"auth.secret", &a.Secret, &a.SecretFile},
		{"auth.admin_key", &a.AdminKey, &a.AdminKeyFile},
	} {
		reason := checkKey(*k.value)
		must(*k.value == "" || reason == "", k.name, *k.value, reason)
		must(*k.value == "" || *k.file == "", k.name+"_file", *k.file, "excludes "+k.name)
		if *k.value == "" && *k.file != "" {
			key, err := keyFile(*k.file)
			must(err == nil, k.name+"_file", *k.file, fmt.Sprint(err))
			*k.value = key
		}
	}
	must(a.JWKSURL == "" || a.providerConfig(nil).Validate() == nil, "auth.jwks_url", a.JWKSURL, "must be a URL of http or https with a host")
	must(a.UserClaim != "", "auth.user_claim", a.UserClaim, "must not be empty")
	must(a.SDKAppID >= 0, "auth.sdk_app_id", a.SDKAppID, "must not be negative")
	for name, keys := range map[string][]string{"auth.previous_secrets": a.PreviousSecrets, "auth.previous_admin_keys": a.PreviousAdminKeys} {
		for _, key := range keys {
			must(checkKey(key) == "", name, key, "of each key: "+checkKey(key))
		}
	}
}

// provider returns the identity provider whose tokens are accepted, or nil if there is
// none. The caller closes it.
func (a *authConfig) provider(log *slog.Logger) (*httpapi.Provider, error) {
	if a.JWKSURL == "" {
		return nil, nil
	}
	if strings.HasPrefix(strings.ToLower(a.JWKSURL), "http:") {
		log.Warn("auth.jwks_url is not https: whoever controls the network can replace the keys, and act as any user")
	}
	if a.Audience == "" {
		log.Warn("auth.audience is empty: the tokens that the identity provider issues for any other program are accepted too")
	}
	return httpapi.NewProvider(a.providerConfig(log))
}

func (a *authConfig) providerConfig(log *slog.Logger) httpapi.ProviderConfig {
	return httpapi.ProviderConfig{URL: a.JWKSURL, Issuer: a.Issuer, Audience: a.Audience, UserClaim: a.UserClaim, Logger: log}
}

// checkKey returns why a key can't be used, or "" if it can.
func checkKey(key string) (reason string) {
	switch {
	case len(key) < httpapi.MinSecret:
		return fmt.Sprintf("must have at least %d bytes", httpapi.MinSecret)
	case strings.TrimSpace(key) != key:
		return "must not begin or end with white space, which no client sends"
	}
	return ""
}

// keyFile returns the key in a file, without the white space around it.
func keyFile(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		if e, ok := errors.AsType[*fs.PathError](err); ok {
			err = e.Err // without the path, which is shown already, unless it could be a key
		}
		return "", fmt.Errorf("can't be read: %w", err)
	}
	key := strings.TrimSpace(string(text))
	if reason := checkKey(key); reason != "" {
		return "", fmt.Errorf("what is in the file %s", reason)
	}
	return key, nil
}

// previousSecrets returns the secrets that are accepted besides the one in use.
func (a *authConfig) previousSecrets() (all [][]byte) {
	for _, secret := range a.PreviousSecrets {
		all = append(all, []byte(secret))
	}
	return all
}

// adminKeys returns all keys of the server API.
func (a *authConfig) adminKeys() []string {
	return append([]string{a.AdminKey}, a.PreviousAdminKeys...)
}
