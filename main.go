// Command presence keeps the status of users and tells those who watch them.
//
// It reads presence.toml (see there), opens the database, serves package
// httpapi, and stops on SIGINT and SIGTERM. SIGHUP re-reads the configuration.
package main

import (
	"context"
	"crypto/tls"
	_ "embed"
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
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/knadh/koanf/parsers/toml/v2"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"
	"github.com/presence-server/presence/httpapi"
	"github.com/presence-server/presence/presence"
)

const version = "0.1.0"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "presence:", err)
		os.Exit(1)
	}
}

type flags struct {
	file              string
	check, dev, print bool
}

func run(ctx context.Context, args []string) error {
	var f flags
	set := flag.NewFlagSet("presence", flag.ExitOnError)
	set.StringVar(&f.file, "config", "", "read the configuration from `FILE` (default presence.toml, if there is one)")
	set.BoolVar(&f.check, "check", false, "check the configuration and exit")
	set.BoolVar(&f.dev, "dev", false, "try it out: loopback, a throw-away database, demo users, tokens for anyone")
	set.BoolVar(&f.print, "version", false, "print the version and exit")
	set.Parse(args)
	if set.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", set.Arg(0))
	}
	if f.print {
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

// config is presence.toml, key by key.
type config struct {
	Listen   string `koanf:"listen"`
	Database struct {
		Path string `koanf:"path"`
	} `koanf:"database"`
	Auth struct {
		Secret   string `koanf:"secret"`
		SDKAppID int64  `koanf:"sdk_app_id"`
		AdminKey string `koanf:"admin_key"`
	} `koanf:"auth"`
	Features struct {
		UserStatus          bool `koanf:"user_status"`
		FriendNotifications bool `koanf:"friend_notifications"`
	} `koanf:"features"`
	Limits struct {
		QueryUsers         int           `koanf:"query_users"`
		SubscribeUsers     int           `koanf:"subscribe_users"`
		Subscriptions      int           `koanf:"subscriptions"`
		CallsPerWindow     int           `koanf:"calls_per_window"`
		Window             time.Duration `koanf:"window"`
		CustomStatusBytes  int           `koanf:"custom_status_bytes"`
		DevicesPerPlatform int           `koanf:"devices_per_platform"`
		Friends            int           `koanf:"friends"`
		Streams            int           `koanf:"streams"`
	} `koanf:"limits"`
	Timing struct {
		ReconnectGrace   time.Duration `koanf:"reconnect_grace"`
		RestartGrace     time.Duration `koanf:"restart_grace"`
		OfflineRetention time.Duration `koanf:"offline_retention"`
		CustomStatusTTL  time.Duration `koanf:"custom_status_ttl"`
		Keepalive        time.Duration `koanf:"keepalive"`
		BatchWindow      time.Duration `koanf:"batch_window"`
		WriteTimeout     time.Duration `koanf:"write_timeout"`
		Drain            time.Duration `koanf:"drain"`
	} `koanf:"timing"`
	TLS struct {
		Cert string `koanf:"cert"`
		Key  string `koanf:"key"`
	} `koanf:"tls"`
	CORS struct {
		Origins []string `koanf:"origins"`
	} `koanf:"cors"`
	Ops struct {
		Listen string `koanf:"listen"`
	} `koanf:"ops"`
	Log struct {
		Level  slog.Level `koanf:"level"`
		Format string     `koanf:"format"`
	} `koanf:"log"`
}

const envPrefix = "PRESENCE_"

// readConfig reads the defaults, the file, the environment and the flags, each
// over what comes before, and tells all faults at once.
func readConfig(f flags) (config, error) {
	var c config
	types := keyTypes("", reflect.TypeOf(c))
	good := koanf.New(".")
	if err := good.Load(rawbytes.Provider(sample), toml.Parser()); err != nil {
		return c, err
	}
	given, err := readGiven(f.file, types)
	if err != nil {
		return c, err
	}
	faults := takeOver(good, given, types)
	if err := good.Unmarshal("", &c); err != nil {
		return c, err
	}
	if faults = append(faults, c.faults(f.dev)...); len(faults) > 0 {
		return c, fmt.Errorf("the configuration has faults:\n  %s", strings.Join(faults, "\n  "))
	}
	return c, nil
}

// keyTypes returns the type of every key below a struct.
func keyTypes(prefix string, t reflect.Type) map[string]reflect.Type {
	types := make(map[string]reflect.Type)
	for field := range t.Fields() {
		key := prefix + field.Tag.Get("koanf")
		if field.Type.Kind() != reflect.Struct {
			types[key] = field.Type
			continue
		}
		for key, t := range keyTypes(key+".", field.Type) {
			types[key] = t
		}
	}
	return types
}

// readGiven reads the file, and the environment over it.
func readGiven(file string, types map[string]reflect.Type) (*koanf.Koanf, error) {
	k := koanf.New(".")
	text, err := readFile(file)
	if err != nil {
		return nil, err
	}
	if err := k.Load(rawbytes.Provider(text), toml.Parser()); err != nil {
		return nil, fmt.Errorf("the configuration is not TOML: %w", err)
	}
	return k, k.Load(env.Provider(".", env.Opt{Prefix: envPrefix, TransformFunc: func(name, value string) (string, any) {
		key := strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(name, envPrefix)), "__", ".")
		return key, fromText(value, types[key])
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

// fromText makes of an environment variable what TOML would give for a type,
// or leaves it as it is.
func fromText(text string, t reflect.Type) any {
	var value any
	var err error
	switch t {
	case reflect.TypeFor[bool]():
		value, err = strconv.ParseBool(text)
	case reflect.TypeFor[int](), reflect.TypeFor[int64]():
		value, err = strconv.ParseInt(text, 10, 64)
	case reflect.TypeFor[[]string]():
		list := []any{}
		for part := range strings.SplitSeq(text, ",") {
			if part = strings.TrimSpace(part); part != "" {
				list = append(list, part)
			}
		}
		value = list
	default:
		return text
	}
	if err != nil {
		return text
	}
	return value
}

// takeOver sets in good what is given, but for unknown keys and values of the
// wrong type, which are returned as faults.
func takeOver(good, given *koanf.Koanf, types map[string]reflect.Type) (faults []string) {
	for _, key := range given.Keys() {
		value := given.Get(key)
		if want := mismatch(value, types[key]); want != "" {
			faults = append(faults, fmt.Sprintf("%s = %s: %s", key, shown(key, value), want))
			continue
		}
		if err := good.Set(key, value); err != nil {
			faults = append(faults, fmt.Sprintf("%s: %s", key, err))
		}
	}
	return faults
}

// mismatch says why a value can't be of a type, or "" if it can.
func mismatch(value any, t reflect.Type) string {
	text, isString := value.(string)
	switch t {
	case nil:
		return "there is no such key"
	case reflect.TypeFor[time.Duration]():
		if _, err := time.ParseDuration(text); err != nil {
			return `must be a duration, such as "90s" or "1h30m"`
		}
	case reflect.TypeFor[slog.Level]():
		if new(slog.Level).UnmarshalText([]byte(text)) != nil {
			return "must be debug, info, warn or error"
		}
	case reflect.TypeFor[[]string]():
		list, ok := value.([]any)
		if !ok || slices.ContainsFunc(list, func(one any) bool { _, ok := one.(string); return !ok }) {
			return "must be a list of strings"
		}
	case reflect.TypeFor[bool]():
		if _, ok := value.(bool); !ok {
			return "must be true or false"
		}
	case reflect.TypeFor[string]():
		if !isString {
			return "must be a string"
		}
	default:
		if _, ok := value.(int64); !ok {
			return "must be a whole number"
		}
	}
	return ""
}

// shown is a value as a fault tells it: not if it is secret.
func shown(key string, value any) string {
	if strings.HasPrefix(key, "auth.") && key != "auth.sdk_app_id" {
		return "…"
	}
	return fmt.Sprintf("%#v", value)
}

// faults returns every value that can't be, each with its key and the reason.
func (c *config) faults(dev bool) (faults []string) {
	fault := func(key string, value any, reason string) {
		faults = append(faults, fmt.Sprintf("%s = %s: %s", key, shown(key, value), reason))
	}
	if host, _, err := net.SplitHostPort(c.Listen); err != nil {
		fault("listen", c.Listen, `must be host:port, such as "127.0.0.1:8080" or ":8080"`)
	} else if dev && !isLoopback(host) {
		fault("listen", c.Listen, "must be on loopback with -dev")
	}
	if _, _, err := net.SplitHostPort(c.Ops.Listen); c.Ops.Listen != "" && err != nil {
		fault("ops.listen", c.Ops.Listen, "must be host:port, or empty")
	}
	if c.Database.Path == "" {
		fault("database.path", c.Database.Path, "must not be empty")
	}
	for key, secret := range map[string]string{"auth.secret": c.Auth.Secret, "auth.admin_key": c.Auth.AdminKey} {
		if secret != "" && len(secret) < httpapi.MinSecret {
			fault(key, secret, fmt.Sprintf("must have at least %d bytes", httpapi.MinSecret))
		}
	}
	if c.Auth.SDKAppID < 0 {
		fault("auth.sdk_app_id", c.Auth.SDKAppID, "must not be negative")
	}
	if (c.TLS.Cert == "") != (c.TLS.Key == "") {
		fault("tls", c.TLS, "set both cert and key, or neither")
	} else if _, err := tls.LoadX509KeyPair(c.TLS.Cert, c.TLS.Key); c.TLS.Cert != "" && err != nil {
		fault("tls.cert", c.TLS.Cert, err.Error())
	}
	for _, origin := range c.CORS.Origins {
		if !isOrigin(origin) {
			fault("cors.origins", origin, `must be "*" or like "https://chat.example.com"`)
		}
	}
	if c.Log.Format != "text" && c.Log.Format != "json" {
		fault("log.format", c.Log.Format, "must be text or json")
	}
	for _, err := range []error{c.settings().Validate(), c.limits().Validate()} {
		if all, ok := err.(interface{ Unwrap() []error }); ok {
			for _, err := range all.Unwrap() {
				faults = append(faults, err.Error())
			}
		}
	}
	return faults
}

func isLoopback(host string) bool {
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

// settings are what the configuration says to package presence.
func (c *config) settings() presence.Settings {
	return presence.Settings{
		UserStatus:          c.Features.UserStatus,
		FriendNotifications: c.Features.FriendNotifications,
		Subscriptions:       c.Limits.Subscriptions,
		CustomStatusBytes:   c.Limits.CustomStatusBytes,
		DevicesPerPlatform:  c.Limits.DevicesPerPlatform,
		Friends:             c.Limits.Friends,
		ReconnectGrace:      c.Timing.ReconnectGrace,
		RestartGrace:        c.Timing.RestartGrace,
		OfflineRetention:    c.Timing.OfflineRetention,
		CustomStatusTTL:     c.Timing.CustomStatusTTL,
		Keepalive:           c.Timing.Keepalive,
		BatchWindow:         c.Timing.BatchWindow,
	}
}

// limits are what the configuration says to package httpapi.
func (c *config) limits() httpapi.Limits {
	return httpapi.Limits{
		QueryUsers:     c.Limits.QueryUsers,
		SubscribeUsers: c.Limits.SubscribeUsers,
		CallsPerWindow: c.Limits.CallsPerWindow,
		Window:         c.Limits.Window,
		Streams:        c.Limits.Streams,
		WriteTimeout:   c.Timing.WriteTimeout,
		Drain:          c.Timing.Drain,
	}
}

// secret returns what tokens are signed with.
func (c *config) secret() ([]byte, error) {
	if c.Auth.Secret != "" {
		return []byte(c.Auth.Secret), nil
	}
	return httpapi.SecretFile(c.Database.Path + ".secret")
}

// Serving

// serve starts in the order written here, and stops in the reverse.
func serve(ctx context.Context, f flags, c config) error {
	level := new(slog.LevelVar)
	level.Set(c.Log.Level)
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
	defer web.Close(c.Timing.Drain)
	if c.Ops.Listen != "" {
		ops, err := httpapi.Listen(c.Ops.Listen, "", "", log)
		if err != nil {
			return err
		}
		defer ops.Close(0)
		ops.Show(httpapi.Profiles())
	}

	secret, err := c.secret()
	if err != nil {
		return err
	}
	settings := c.settings()
	svc, err := presence.Open(presence.Config{Path: c.Database.Path, Settings: &settings, Logger: log})
	if err != nil {
		return err
	}
	defer func() { logError(log, "closing the database", svc.Close()) }()
	if f.dev {
		if err := httpapi.AddDemoUsers(ctx, svc); err != nil {
			return err
		}
	}
	api, err := httpapi.New(httpapi.Config{
		Service:  svc,
		Tokens:   &httpapi.Tokens{Secret: secret, SDKAppID: c.Auth.SDKAppID, Now: svc.Now},
		AdminKey: c.Auth.AdminKey,
		Origins:  c.CORS.Origins,
		Dev:      f.dev,
		Limits:   c.limits(),
		Logger:   log,
	})
	if err != nil {
		return err
	}
	web.Show(api)
	log.Info("ready", "url", web.URL(), "version", version)

	r := reloader{flags: f, config: c, svc: svc, api: api, level: level, log: log}
	err = r.until(ctx, web.Failed())
	log.Info("stopping")
	svc.Drain()
	return err
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

// reloader re-reads the configuration on SIGHUP.
type reloader struct {
	flags  flags
	config config
	svc    *presence.Service
	api    *httpapi.Handler
	level  *slog.LevelVar
	log    *slog.Logger
}

// until re-reads until ctx is done or serving has failed.
func (r *reloader) until(ctx context.Context, failed <-chan error) error {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return err
		case <-hangup:
			logError(r.log, "configuration not changed", r.reload(ctx))
		}
	}
}

// reload applies what can change while the service runs, and says what can't.
func (r *reloader) reload(ctx context.Context) error {
	c, err := readConfig(r.flags)
	if err != nil {
		return err
	}
	if err := r.svc.Configure(ctx, c.settings()); err != nil {
		return err
	}
	r.api.SetLimits(c.limits())
	r.level.Set(c.Log.Level)
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
