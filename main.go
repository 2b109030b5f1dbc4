// Command presence keeps the status of users and tells those who watch them.
//
// It reads presence.toml (see there), opens the database, serves package
// httpapi, and stops on SIGINT and SIGTERM. SIGHUP re-reads the configuration.
//
// Besides serving it has commands for who runs it; see package admin.
// presence -h lists them, and presence COMMAND -h says more.
package main

import (
	"context"
	"crypto/tls"
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/parsers/toml/v2"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"
	"github.com/presence-server/presence/deploy/admin"
	"github.com/presence-server/presence/httpapi"
	"github.com/presence-server/presence/presence"
)

const version = "0.1.0"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "presence:", err)
		os.Exit(admin.ExitCode(err))
	}
}

type flags struct {
	file              string
	check, dev, print bool
}

func run(ctx context.Context, args []string) error {
	var f flags
	set := flag.NewFlagSet("presence", flag.ContinueOnError)
	set.StringVar(&f.file, "config", "", "read the configuration from `FILE` (default presence.toml, if there is one)")
	set.BoolVar(&f.check, "check", false, "check the configuration and exit")
	set.BoolVar(&f.dev, "dev", false, "try it out: loopback, a throw-away database, demo users, tokens for anyone")
	set.BoolVar(&f.print, "version", false, "print the version and exit")
	set.SetOutput(io.Discard)
	switch err := set.Parse(args); {
	case err == flag.ErrHelp:
		admin.Help(set)
		return nil
	case err != nil:
		return admin.Misused(set, err)
	case set.NArg() > 0 && (f.check || f.dev || f.print):
		return admin.Misused(set, errors.New("-check, -dev and -version go with no command"))
	case set.NArg() > 0:
		return admin.Run(ctx, f.file, set.Args(), readSetting)
	case f.print:
		fmt.Println("presence", version)
		return nil
	}
	c, err := readConfig(f)
	if err != nil {
		return err
	}
	if f.check {
		fmt.Println("the configuration is good")
		return nil
	}
	return serve(ctx, f, c)
}

// Configuration

// sample is the shipped configuration: it holds the defaults.
//
//go:embed presence.toml
var sample []byte

// config is presence.toml: its keys are the names of the fields.
type config struct {
	Listen   string
	Database struct{ Path string }
	Auth     struct {
		Secret   string
		SDKAppID int64
		AdminKey string
	}
	TLS  struct{ Cert, Key string }
	CORS struct{ Origins []string }
	Ops  struct{ Listen string }
	Log  struct{ Level, Format string }

	// Of the tables features, limits and timing.
	settings presence.Settings
	limits   httpapi.Limits

	level slog.Level // Log.Level
}

// readConfig reads the defaults, the file, the environment and the flags, each
// over what comes before, and tells all faults at once.
func readConfig(f flags) (c config, err error) {
	k := koanf.New(".")
	if err := k.Load(rawbytes.Provider(sample), toml.Parser()); err != nil {
		return c, err
	}
	given, err := readGiven(f.file, k)
	if err != nil {
		return c, err
	}
	faults := takeOver(k, given)
	if err := c.decode(k); err != nil {
		return c, err
	}
	if faults = append(faults, c.faults(f.dev)...); len(faults) > 0 {
		return c, fmt.Errorf("the configuration has faults:\n  %s", strings.Join(faults, "\n  "))
	}
	return c, nil
}

const envPrefix = "PRESENCE_"

// readGiven reads the file, and the environment over it.
func readGiven(file string, defaults *koanf.Koanf) (*koanf.Koanf, error) {
	text, err := readFile(file)
	if err != nil {
		return nil, err
	}
	given := koanf.New(".")
	if err := given.Load(rawbytes.Provider(text), toml.Parser()); err != nil {
		return nil, fmt.Errorf("the configuration is not TOML: %w", err)
	}
	return given, given.Load(env.Provider(".", env.Opt{Prefix: envPrefix, TransformFunc: func(name, text string) (string, any) {
		key := strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(name, envPrefix)), "__", ".")
		return key, fromText(text, defaults.Get(key))
	}}), nil)
}

// readFile reads the file that a flag names, or presence.toml if there is one.
func readFile(file string) ([]byte, error) {
	if file != "" {
		return os.ReadFile(file)
	}
	text, err := os.ReadFile("presence.toml")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return text, err
}

// fromText makes of an environment variable what TOML would give for a key with
// this default, or leaves it as it is.
func fromText(text string, standard any) any {
	switch standard.(type) {
	case bool:
		if value, err := strconv.ParseBool(text); err == nil {
			return value
		}
	case int64:
		if value, err := strconv.ParseInt(text, 10, 64); err == nil {
			return value
		}
	case []any:
		list := []any{}
		for part := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || r == ' ' }) {
			list = append(list, part)
		}
		return list
	}
	return text
}

// takeOver sets in k what is given, but for unknown keys and values of the
// wrong type, which are returned as faults.
func takeOver(k, given *koanf.Koanf) (faults []string) {
	for _, key := range given.Keys() {
		value := given.Get(key)
		reason := mismatch(value, k.Get(key))
		if reason == "" {
			if err := k.Set(key, value); err != nil {
				reason = err.Error()
			}
		}
		if reason != "" {
			faults = append(faults, fmt.Sprintf("%s = %s: %s", key, shown(key, value), reason))
		}
	}
	return faults
}

// mismatch says why a value can't replace a default, or "" if it can.
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
	default:
		return "there is no such key"
	}
	return ""
}

// shown is a value as a fault tells it: not if it is secret.
func shown(key string, value any) string {
	if key == "auth.secret" || key == "auth.admin_key" {
		return "…"
	}
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	return string(text)
}

// decode takes the tables apart.
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

// faults returns every value that can't be, each with its key and the reason.
func (c *config) faults(dev bool) (faults []string) {
	must := func(ok bool, key string, value any, reason string) {
		if !ok {
			faults = append(faults, fmt.Sprintf("%s = %s: %s", key, shown(key, value), reason))
		}
	}
	must(isAddress(c.Listen), "listen", c.Listen, `must be host:port, such as "127.0.0.1:8080" or ":8080"`)
	must(!dev || isLoopback(c.Listen), "listen", c.Listen, "must be on loopback with -dev")
	must(c.Ops.Listen == "" || isAddress(c.Ops.Listen), "ops.listen", c.Ops.Listen, "must be host:port, or empty")
	must(!dev || c.Ops.Listen == "" || isLoopback(c.Ops.Listen), "ops.listen", c.Ops.Listen, "must be on loopback with -dev")
	must(c.Database.Path != "", "database.path", c.Database.Path, "must not be empty")
	must(isSecret(c.Auth.Secret), "auth.secret", c.Auth.Secret, tooShort)
	must(isSecret(c.Auth.AdminKey), "auth.admin_key", c.Auth.AdminKey, tooShort)
	must(c.Auth.SDKAppID >= 0, "auth.sdk_app_id", c.Auth.SDKAppID, "must not be negative")
	if c.TLS.Cert != "" || c.TLS.Key != "" {
		_, err := tls.LoadX509KeyPair(c.TLS.Cert, c.TLS.Key)
		must(err == nil, "tls.cert", c.TLS.Cert, fmt.Sprint("must go with tls.key: ", err))
	}
	for _, origin := range c.CORS.Origins {
		must(isOrigin(origin), "cors.origins", origin, `must be "*" or like "https://chat.example.com"`)
	}
	must(c.level.UnmarshalText([]byte(c.Log.Level)) == nil, "log.level", c.Log.Level, "must be debug, info, warn or error")
	must(c.Log.Format == "text" || c.Log.Format == "json", "log.format", c.Log.Format, "must be text or json")
	for _, err := range []error{c.settings.Validate(), c.limits.Validate()} {
		if all, ok := err.(interface{ Unwrap() []error }); ok {
			for _, err := range all.Unwrap() {
				faults = append(faults, err.Error())
			}
		}
	}
	return faults
}

var tooShort = fmt.Sprintf("must be empty or have at least %d bytes", httpapi.MinSecret)

func isSecret(s string) bool { return s == "" || len(s) >= httpapi.MinSecret }

func isAddress(address string) bool {
	_, port, err := net.SplitHostPort(address)
	_, number := strconv.ParseUint(port, 10, 16)
	return err == nil && number == nil
}

func isLoopback(address string) bool {
	host, _, _ := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func isOrigin(origin string) bool {
	if origin == "*" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.Scheme+"://"+u.Host == origin
}

// secret returns what tokens are signed with.
func (c *config) secret() ([]byte, error) {
	if c.Auth.Secret != "" {
		return []byte(c.Auth.Secret), nil
	}
	return httpapi.SecretFile(c.secretFile())
}

func (c *config) secretFile() string { return c.Database.Path + ".secret" }

// localURL returns where this machine reaches the server, without a slash at
// the end.
func (c *config) localURL() string {
	host, port, _ := net.SplitHostPort(c.Listen)
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	scheme := "http"
	if c.TLS.Cert != "" {
		scheme = "https"
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

// readSetting reads what commands need.
func readSetting(file string) (admin.Setting, error) {
	c, err := readConfig(flags{file: file})
	return admin.Setting{Database: c.Database.Path, Secret: c.Auth.Secret, SecretFile: c.secretFile(), URL: c.localURL()}, err
}

// Serving

// serve starts in the order written here, and stops in the reverse.
func serve(ctx context.Context, f flags, c config) error {
	hangup := make(chan os.Signal, 1) // one that comes while it starts counts, and doesn't end it
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	level := new(slog.LevelVar)
	level.Set(c.level)
	log := newLogger(os.Stderr, c.Log.Format, level)
	if f.dev {
		folder, err := os.MkdirTemp("", "presence-dev-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(folder)
		c.Database.Path = filepath.Join(folder, "presence.db")
	}
	web, err := httpapi.Listen(c.Listen, c.TLS.Cert, c.TLS.Key, log)
	if err != nil {
		return err
	}
	defer web.Close(c.limits.Drain)
	var ops *httpapi.Server
	if c.Ops.Listen != "" {
		if ops, err = httpapi.Listen(c.Ops.Listen, "", "", log); err != nil {
			return err
		}
		defer ops.Close(0)
		ops.Show(httpapi.Profiles()) // also of the start
	}
	svc, err := presence.Open(presence.Config{Path: c.Database.Path, Settings: &c.settings, Logger: log})
	if err != nil {
		return err
	}
	defer func() { logError(log, "closing the database", svc.Close()) }()
	api, err := newAPI(ctx, f, c, svc, log)
	if err != nil {
		return err
	}
	web.Show(api)
	if ops != nil {
		ops.Show(httpapi.Ops(api))
		log.Info("metrics and profiles", "url", ops.URL())
	}
	log.Info("ready", "url", web.URL(), "version", version)
	tell(log, daemon.SdNotifyReady, "STATUS=ready at "+web.URL())

	r := reloader{flags: f, config: c, svc: svc, api: api, level: level, log: log}
	err = r.until(ctx, hangup, web.Failed())
	log.Info("stopping")
	tell(log, daemon.SdNotifyStopping, "STATUS=stopping")
	svc.Drain()
	web.Close(c.limits.Drain)
	api.Wait()
	return err
}

func newAPI(ctx context.Context, f flags, c config, svc *presence.Service, log *slog.Logger) (*httpapi.Handler, error) {
	if f.dev {
		if err := httpapi.AddDemoUsers(ctx, svc); err != nil {
			return nil, err
		}
	}
	secret, err := c.secret()
	if err != nil {
		return nil, err
	}
	return httpapi.New(httpapi.Config{
		Service:  svc,
		Tokens:   &httpapi.Tokens{Secret: secret, SDKAppID: c.Auth.SDKAppID, ServiceNow: svc.Now},
		AdminKey: c.Auth.AdminKey,
		Origins:  c.CORS.Origins,
		Dev:      f.dev,
		Version:  version,
		Limits:   c.limits,
		Logger:   log,
	})
}

func newLogger(w io.Writer, format string, level slog.Leveler) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

func logError(log *slog.Logger, what string, err error) {
	if err != nil {
		log.Error(what, "error", err)
	}
}

// tell tells systemd, if that started the program, what it is about to do.
func tell(log *slog.Logger, states ...string) {
	_, err := daemon.SdNotify(false, strings.Join(states, "\n"))
	logError(log, "telling systemd", err)
}

// reloader re-reads the configuration on SIGHUP.
type reloader struct {
	flags  flags
	config config
	svc    *presence.Service
	api    *httpapi.Handler
	level  *slog.LevelVar
	log    *slog.Logger
}

// until re-reads at each hangup, until ctx is done or serving has failed.
func (r *reloader) until(ctx context.Context, hangup <-chan os.Signal, failed <-chan error) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return err
		case <-hangup:
			if r.flags.dev { // its terminal was closed
				return nil
			}
			tell(r.log, daemon.SdNotifyReloading, daemon.SdNotifyMonotonicUsec())
			state := "STATUS=configuration changed"
			if err := r.reload(ctx); err != nil {
				r.log.Error("configuration not changed", "error", err)
				state = "STATUS=configuration not changed: the log tells why"
			}
			tell(r.log, daemon.SdNotifyReady, state)
		}
	}
}

// reload applies what can change while the service runs, and says what can't.
func (r *reloader) reload(ctx context.Context) error {
	c, err := readConfig(r.flags)
	if err != nil {
		return err
	}
	if err := r.svc.Configure(ctx, c.settings); err != nil {
		return err
	}
	r.api.SetLimits(c.limits)
	r.level.Set(c.level)
	for _, key := range r.fixed(c) {
		r.log.Warn("change takes effect at the next start", "key", key)
	}
	r.log.Info("configuration changed")
	return nil
}

// fixed names what differs in c and stays as it was until the next start.
func (r *reloader) fixed(c config) (keys []string) {
	was := r.config
	for key, same := range map[string]bool{
		"listen":     was.Listen == c.Listen,
		"database":   was.Database == c.Database || r.flags.dev,
		"auth":       was.Auth == c.Auth,
		"tls":        was.TLS == c.TLS,
		"cors":       slices.Equal(was.CORS.Origins, c.CORS.Origins),
		"ops":        was.Ops == c.Ops,
		"log.format": was.Log.Format == c.Log.Format,
	} {
		if !same {
			keys = append(keys, key)
		}
	}
	return slices.Sorted(slices.Values(keys))
}
