// Command presence keeps the status of users, and sends each change to those who
// watch them.
//
// It reads presence.toml (see there), opens the database, serves package
// httpapi, and stops on SIGINT and SIGTERM. SIGHUP re-reads the configuration.
//
// Besides serving it has commands for who runs it; see package
// presence -h lists them, and presence COMMAND -h says more.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/presence-server/presence/httpapi"
	"github.com/presence-server/presence/presence"
)

const version = "0.1.0"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "presence:", err)
		os.Exit(exitCode(err))
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
		printUsage(set)
		return nil
	case err != nil:
		return misused(set, err)
	case set.NArg() > 0 && (f.check || f.dev || f.print):
		return misused(set, errors.New("-check, -dev and -version go with no command"))
	case set.NArg() > 0:
		return runCommand(ctx, f.file, set.Args())
	case f.print:
		fmt.Println("presence", version)
		return nil
	}
	c, err := f.config()
	if err != nil {
		return err
	}
	if f.check {
		fmt.Println("the configuration is good")
		return nil
	}
	return serve(ctx, f, c)
}

// serve starts in the order written here, and stops in the reverse.
func serve(ctx context.Context, f flags, c config) error {
	hangup := make(chan os.Signal, 1) // one that comes while it starts counts, and doesn't end it
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	log, level := newLogger(os.Stderr, c.Log.Format, c.level)
	devKey, remove, err := c.prepareDev(f.dev)
	if err != nil {
		return err
	}
	defer remove()
	web, err := c.listen(f.dev, log)
	if err != nil {
		return err
	}
	defer web.close()
	ops, err := listenOps(c.Ops.Listen, log)
	if err != nil {
		return err
	}
	if ops != nil {
		defer ops.close()
	}
	domain := presence.Config{Path: c.Database.Path, Settings: &c.settings, Logger: log}
	closeLog, err := c.Cluster.open(ctx, &c.Auth, &domain, log)
	if err != nil {
		return err
	}
	defer closeLog()
	svc, err := presence.Open(ctx, domain)
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil // it was stopped during the start
	}
	if err != nil {
		return explainOpen(err)
	}
	defer func() { logError(log, "closing the database", svc.Close()) }()
	provider, err := c.Auth.provider(log)
	if err != nil {
		return err
	}
	r := reloader{flags: f, config: c, svc: svc, provider: provider, trusted: c.Auth.providerConfig(nil), certs: web.certs, level: level, log: log}
	defer r.closeProvider()
	api, err := newAPI(ctx, f, c, svc, provider, web.certs, log)
	if err != nil {
		return err
	}
	r.api = api
	web.show(api)
	if ops != nil {
		ops.show(metricsAndProfiles(api.Metrics()))
		log.Info("metrics and profiles", "url", ops.url())
	}
	reportReady(web.urls(), log)
	if f.dev {
		greetDev(os.Stdout, web.url(), devKey)
	}
	err = r.until(ctx, hangup, web.failed)
	stop(api, web, c.limits, log)
	return err
}

func reportReady(urls string, log *slog.Logger) {
	log.Info("ready", "url", urls, "version", version)
	notifySystemd(log, daemon.SdNotifyReady, "STATUS=ready at "+urls)
}

// stop ends all event streams, and waits for them and for the requests in progress,
// for at most timing.drain and timing.write_timeout together.
func stop(api *httpapi.Handler, web *webServer, limits httpapi.Limits, log *slog.Logger) {
	log.Info("stopping")
	notifySystemd(log, daemon.SdNotifyStopping, "STATUS=stopping")
	ctx, cancel := context.WithTimeout(context.Background(), limits.Drain+limits.WriteTimeout)
	defer cancel()
	web.stopListening() // first, so that a new connection waits for the next run, if it can
	if err := api.Shutdown(ctx, &web.http); err != nil {
		log.Info("some requests or event streams were cut off", "error", err)
	}
}

func newAPI(ctx context.Context, f flags, c config, svc *presence.Service, provider *httpapi.Provider, certs certificates, log *slog.Logger) (*httpapi.Handler, error) {
	if f.dev {
		if err := addDemoUsers(ctx, svc); err != nil {
			return nil, err
		}
	}
	secret, err := c.secret()
	if err != nil {
		return nil, err
	}
	var expires func() time.Time
	if certs != nil {
		expires = certs.expires
	}
	return httpapi.New(httpapi.Config{
		Service: svc,
		Tokens: &httpapi.Tokens{
			Secret: secret, PreviousSecrets: c.Auth.previousSecrets(), Provider: provider,
			SDKAppID: c.Auth.SDKAppID, ServiceNow: svc.Now,
		},
		AdminKey:       c.Auth.AdminKey,
		ShownConfig:    c.shown.tables,
		Origins:        c.CORS.Origins,
		Dev:            f.dev,
		Version:        version,
		Limits:         c.limits,
		TrustedProxies: c.proxies,
		Webhooks:       c.Webhooks,
		Logger:         log,

		PreviousAdminKeys:  c.Auth.PreviousAdminKeys,
		CertificateExpires: expires,
	})
}

// newLogger returns a logger, and its level, which can be changed.
func newLogger(w io.Writer, format string, from slog.Level) (*slog.Logger, *slog.LevelVar) {
	level := new(slog.LevelVar)
	level.Set(from)
	options := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, options)), level
	}
	return slog.New(slog.NewTextHandler(w, options)), level
}

func logError(log *slog.Logger, what string, err error) {
	if err != nil {
		log.Error(what, "error", err)
	}
}

// notifySystemd reports a state to systemd, if that started the program.
func notifySystemd(log *slog.Logger, states ...string) {
	_, err := daemon.SdNotify(false, strings.Join(states, "\n"))
	logError(log, "notifying systemd", err)
}
