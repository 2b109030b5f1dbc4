package main

import (
	"bytes"
	"cmp"
	"crypto/tls"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/parsers/toml/v2"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"
	"github.com/presence-server/presence/httpapi"
	"github.com/presence-server/presence/httpapi/webhook"
	"github.com/presence-server/presence/presence"
)

// sample is the shipped configuration: it holds the defaults.
//
//go:embed presence.toml
var sample []byte

// config is presence.toml: its keys are the names of the fields.
type config struct {
	Listen     []string
	ListenMode string
	Database   struct{ Path string }
	Auth       authConfig
	TLS        struct {
		Cert, Key                      string
		ACMEDomains                    []string
		ACMEEmail, ACMEURL, ACMEListen string
	}
	CORS     struct{ Origins []string }
	Proxy    struct{ Trusted []string }
	Webhooks webhook.Config
	Cluster  clusterConfig
	Ops      struct{ Listen string }
	Log      struct{ Level, Format string }

	// Of the tables features, limits and timing.
	settings presence.Settings
	limits   httpapi.Limits

	level   slog.Level     // Log.Level
	proxies []netip.Prefix // Proxy.Trusted
	shown   *shownConfig
	keys    []string // of presence.toml
}

// authConfig is the table auth. Once it is checked, Secret and AdminKey are set to what
// the files hold.
type authConfig struct {
	Secret, SecretFile     string
	PreviousSecrets        []string
	SDKAppID               int64
	AdminKey, AdminKeyFile string
	PreviousAdminKeys      []string

	JWKSURL, Issuer, Audience, UserClaim string
}

// config returns the configuration for serving.
func (f flags) config() (config, error) {
	c, found, err := readConfig(f)
	if err != nil {
		return c, err
	}
	return c, found.err()
}

// readConfig reads the defaults, the file, the environment and the flags, each
// over what comes before. A value that can't be used is among the problems, and
// leaves the one before it in place. The error is for a file that can't be read.
func readConfig(f flags) (c config, found problems, err error) {
	k := koanf.New(".")
	if err := k.Load(rawbytes.Provider(sample), toml.Parser()); err != nil {
		return c, nil, err
	}
	file, err := readFile(f.file)
	if err != nil {
		return c, nil, err
	}
	if err := k.Set("listen", asList(k.Get("listen"))); err != nil {
		return c, nil, err
	}
	names := make(map[string]string)
	found = append(takeOver(k, fromFile(file, k), names), takeOver(k, fromEnvironment(os.Environ(), k), names)...)
	if err := c.decode(k); err != nil {
		return c, found, err
	}
	c.shown, c.keys = newShownConfig(k), k.Keys()
	if _, given := names["listen"]; !given && len(c.TLS.ACMEDomains) > 0 {
		c.Listen = []string{":443"} // where clients look for a public server
		c.shown.set("listen", ":443")
	}
	return c, append(found, c.check(f.dev, names)...), nil
}

// readFile reads the file that a flag names, or presence.toml if there is one.
func readFile(name string) (*koanf.Koanf, error) {
	k := koanf.New(".")
	text, err := os.ReadFile(orDefault(name))
	if name == "" && errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	if err != nil {
		return nil, err
	}
	text, err = withoutBOM(text)
	if err != nil {
		return nil, fmt.Errorf("%s %w", orDefault(name), err)
	}
	if err := k.Load(rawbytes.Provider(text), toml.Parser()); err != nil {
		return nil, fmt.Errorf("%s is not TOML%s", orDefault(name), place(err))
	}
	return k, nil
}

func orDefault(name string) string {
	if name == "" {
		return "presence.toml"
	}
	return name
}

// withoutBOM returns a text without the byte order mark that some editors write.
func withoutBOM(text []byte) ([]byte, error) {
	if bytes.IndexByte(text, 0) >= 0 {
		return nil, errors.New("is in UTF-16: save it in UTF-8")
	}
	return bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")), nil
}

// place returns where a file is not TOML. The parser's own words may repeat a
// part of the line, which may be a secret.
func place(err error) string {
	var at interface{ Position() (row, column int) }
	if !errors.As(err, &at) {
		return ""
	}
	row, column := at.Position()
	return fmt.Sprintf(": see line %d, column %d; a string needs quotation marks, and a key may be given once", row, column)
}

// given is one value from the file or the environment.
type given struct {
	key   string
	name  string // as it was written: the key, or the environment variable
	value any
}

// fromFile returns the values of a file. A table of ours without a key, such as one
// whose keys are all commented out, gives none.
func fromFile(k, defaults *koanf.Koanf) (all []given) {
	for _, key := range k.Keys() {
		value := k.Get(key)
		_, isTable := value.(map[string]any)
		if _, isOurs := defaults.Get(key).(map[string]any); !isTable || !isOurs {
			all = append(all, given{key, key, value})
		}
	}
	return all
}

// takeOver sets in k the values given, and notes under which names in names. Those
// of unknown keys and of the wrong type are problems. The value of an unknown key is never shown: it
// may be a secret behind a mistyped name.
func takeOver(k *koanf.Koanf, all []given, names map[string]string) (found problems) {
	known := k.Keys()
	for _, g := range all {
		if table, ok := g.value.(map[string]any); ok && len(table) == 0 && k.Exists(g.key) && !slices.Contains(known, g.key) {
			continue // a table in which every key is a comment
		}
		if !slices.Contains(known, g.key) {
			found = append(found, problem{"", g.name + ": there is no such key" + g.hint(known)})
			continue
		}
		if g.key == "listen" {
			g.value = asList(g.value)
		}
		reason := mismatch(g.value, k.Get(g.key))
		if reason == "" {
			names[g.key] = g.name
			if err := k.Set(g.key, g.value); err != nil {
				reason = err.Error()
			}
		}
		if reason != "" {
			found = append(found, problem{g.key, fmt.Sprintf("%s = %s: %s", g.name, shown(g.key, g.value), reason)})
		}
	}
	return found
}

// asList returns a string as a list of one, and any other value as it is: listen is
// either.
func asList(value any) any {
	if text, ok := value.(string); ok {
		return []any{text}
	}
	return value
}

// hint returns the name of the key that is meant, where only the separator of an
// environment variable is wrong.
func (g given) hint(known []string) string {
	if g.name == g.key {
		return ""
	}
	for _, key := range known {
		if strings.ReplaceAll(key, ".", "_") == strings.ReplaceAll(g.key, ".", "_") {
			return "; write " + variableOf(key)
		}
	}
	return ""
}

// mismatch returns why a value can't replace a default, or "" if it can.
func mismatch(value, standard any) string {
	text, isString := value.(string)
	switch standard := standard.(type) {
	case string:
		_, err := time.ParseDuration(standard)
		if _, wrong := time.ParseDuration(text); err == nil && wrong != nil {
			return `must be a duration, such as "90s" or "1h30m"`
		}
		if !isString {
			return "must be a string"
		}
	case bool:
		if _, ok := value.(bool); !ok {
			return "must be true or false"
		}
	case int64:
		if _, ok := value.(int64); !ok {
			return "must be a whole number"
		}
	case []any:
		list, ok := value.([]any)
		if !ok || slices.ContainsFunc(list, func(one any) bool { _, ok := one.(string); return !ok }) {
			return "must be a list of strings"
		}
	}
	return ""
}

// decode fills the configuration from the keys.
func (c *config) decode(k *koanf.Koanf) error {
	tables := []struct {
		name string
		into any
	}{
		{"", c}, {"features", &c.settings}, {"limits", &c.settings}, {"timing", &c.settings}, {"limits", &c.limits}, {"timing", &c.limits},
	}
	for _, table := range tables {
		err := k.UnmarshalWithConf(table.name, table.into, koanf.UnmarshalConf{DecoderConfig: &mapstructure.DecoderConfig{
			MatchName: isNameOf,
			DecodeHook: mapstructure.ComposeDecodeHookFunc(
				mapstructure.StringToTimeDurationHookFunc(), mapstructure.TextUnmarshallerHookFunc()),
		}})
		if err != nil {
			return err
		}
	}
	return nil
}

// isNameOf reports whether a key such as query_users is that of a field.
func isNameOf(key, field string) bool {
	return strings.EqualFold(strings.ReplaceAll(key, "_", ""), field)
}

// keyOf returns the key of a field of presence.Settings, httpapi.Limits or, with its
// table, httpapi.Config.
func (c *config) keyOf(field string) string {
	for _, key := range c.keys {
		if _, name, _ := strings.Cut(key, "."); isNameOf(name, field) || strings.EqualFold(key, field) {
			return key
		}
	}
	return field
}

// check returns a problem for every value that is impossible, and brings those
// that have several spellings into one. names are those that keys were given
// under.
func (c *config) check(dev bool, names map[string]string) (found problems) {
	must := func(ok bool, key string, value any, reason string) {
		if !ok {
			found = append(found, problem{key, fmt.Sprintf("%s = %s: %s", cmp.Or(names[key], key), shown(key, value), reason)})
		}
	}
	value, reason := c.checkListen(dev)
	must(reason == "", "listen", value, reason)
	_, ok := c.socketMode()
	must(ok, "listen_mode", c.ListenMode, `must be permissions in octal digits, such as "0660"`)
	must(c.Ops.Listen == "" || isAddress(c.Ops.Listen), "ops.listen", c.Ops.Listen, "must be host:port, or empty")
	must(!dev || c.Ops.Listen == "" || isLoopback(c.Ops.Listen), "ops.listen", c.Ops.Listen, "must be on loopback with -dev")
	must(c.Database.Path != "", "database.path", c.Database.Path, "must not be empty")
	c.Auth.check(must)
	c.Cluster.check(&c.Auth, dev, must)
	key, value, reason := c.checkACME(dev)
	must(reason == "", key, value, reason)
	if len(c.TLS.ACMEDomains) == 0 && (c.TLS.Cert != "" || c.TLS.Key != "") {
		_, err := tls.LoadX509KeyPair(c.TLS.Cert, c.TLS.Key)
		must(err == nil, "tls.cert", c.TLS.Cert, fmt.Sprint("must go with tls.key: ", err))
	}
	for i, origin := range c.CORS.Origins {
		canonical, err := httpapi.CanonicalOrigin(origin)
		must(err == nil, "cors.origins", origin, fmt.Sprint(err))
		if err == nil {
			c.CORS.Origins[i] = canonical
		}
	}
	for _, text := range c.Proxy.Trusted {
		network, err := networkOf(text)
		must(err == nil, "proxy.trusted", text, `must be a network or an address, such as "10.0.0.0/8" or "::1"`)
		c.proxies = append(c.proxies, network)
	}
	must(c.level.UnmarshalText([]byte(c.Log.Level)) == nil, "log.level", c.Log.Level, "must be debug, info, warn or error")
	must(c.Log.Format == "text" || c.Log.Format == "json", "log.format", c.Log.Format, "must be text or json")
	for _, err := range []error{c.settings.Validate(), c.limits.Validate(), c.Webhooks.Validate()} {
		if all, ok := err.(interface{ Unwrap() []error }); ok {
			for _, err := range all.Unwrap() {
				field, reason, _ := strings.Cut(err.Error(), " = ")
				key := c.keyOf(field)
				found = append(found, problem{key, cmp.Or(names[key], key) + " = " + reason})
			}
		}
	}
	return found
}

// networkOf returns the network that a text names. An address is a network of its own.
func networkOf(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" && !addr.Is4In6() {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	network, err := netip.ParsePrefix(text)
	if err == nil && network.Addr().Is4In6() {
		err = errors.New("an IPv4 network is written as one")
	}
	return network.Masked(), err
}
