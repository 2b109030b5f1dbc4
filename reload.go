package main

import (
	"context"
	"log/slog"
	"os"
	"reflect"
	"slices"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/presence-server/presence/httpapi"
	"github.com/presence-server/presence/presence"
)

// reloader re-reads the configuration on SIGHUP, and applies what can change while
// the service runs.
type reloader struct {
	flags    flags
	config   config
	svc      *presence.Service
	api      *httpapi.Handler
	provider *httpapi.Provider      // nil if there is none
	trusted  httpapi.ProviderConfig // that of provider
	certs    certificates           // nil without TLS
	level    *slog.LevelVar
	log      *slog.Logger
}

// until re-reads at each hangup, until ctx is done or serving has failed; it
// returns the error of the latter.
func (r *reloader) until(ctx context.Context, hangup <-chan os.Signal, failed <-chan error) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return err
		case <-r.svc.Stopped():
			return r.svc.StopCause()
		case <-hangup:
			if r.flags.dev { // its terminal was closed
				return nil
			}
			notifySystemd(r.log, daemon.SdNotifyReloading, daemon.SdNotifyMonotonicUsec())
			state := "STATUS=configuration changed"
			if err := r.reload(ctx); err != nil {
				r.log.Error("configuration not changed", "error", err)
				state = "STATUS=configuration not changed: see the log for the reason"
			}
			notifySystemd(r.log, daemon.SdNotifyReady, state)
		}
	}
}

// reload applies what can change while the service runs, and logs what can't.
func (r *reloader) reload(ctx context.Context) error {
	c, err := r.flags.config()
	if err != nil {
		return err
	}
	running := c
	running.Database = r.config.Database // next to which the secret may be
	secret, err := running.secret()
	if err != nil {
		return err
	}
	if r.certs != nil && c.TLS.Cert != "" && len(r.config.TLS.ACMEDomains) == 0 {
		if err := r.certs.use(c.TLS.Cert, c.TLS.Key); err != nil {
			return err
		}
	}
	if err := r.svc.Configure(ctx, c.settings); err != nil {
		return err
	}
	if err := r.api.SetOrigins(c.CORS.Origins); err != nil {
		return err
	}
	if err := r.setKeys(c, secret); err != nil {
		return err
	}
	if err := r.svc.SetAgreement(ctx, c.Auth.agreement()); err != nil {
		return err
	}
	r.api.SetAdminKeys(c.Auth.adminKeys()...)
	r.api.SetLimits(c.limits)
	r.api.SetWebhooks(c.Webhooks)
	r.level.Set(c.level)
	fixed := r.fixed(c)
	for _, key := range fixed {
		r.log.Warn("change takes effect at the next start", "key", key)
	}
	r.config.shown.replace(c.shown, fixed)
	r.log.Info("configuration changed")
	return nil
}

// setKeys replaces what tokens are verified with. An identity provider that stays the same
// keeps the keys that it has fetched.
func (r *reloader) setKeys(c config, secret []byte) error {
	was := r.provider
	if now := c.Auth.providerConfig(nil); now != r.trusted {
		provider, err := c.Auth.provider(r.log)
		if err != nil {
			return err
		}
		r.provider, r.trusted = provider, now
	}
	r.api.SetKeys(secret, c.Auth.previousSecrets(), r.provider)
	if was != nil && was != r.provider {
		was.Close()
	}
	return nil
}

// closeProvider closes the identity provider, if there is one.
func (r *reloader) closeProvider() {
	if r.provider != nil {
		r.provider.Close()
	}
}

// fixed names what differs in c and stays as it was until the next start.
func (r *reloader) fixed(c config) (keys []string) {
	was := r.config
	for key, same := range map[string]bool{
		"listen":          slices.Equal(was.Listen, c.Listen),
		"listen_mode":     was.ListenMode == c.ListenMode,
		"database":        was.Database == c.Database || r.flags.dev,
		"auth.sdk_app_id": was.Auth.SDKAppID == c.Auth.SDKAppID,
		"tls":             reflect.DeepEqual(was.TLS, c.TLS) || was.TLS.Cert != "" && c.TLS.Cert != "", // other files are read
		"cluster":         was.Cluster == c.Cluster,
		"proxy":           slices.Equal(was.proxies, c.proxies),
		"ops":             was.Ops == c.Ops,
		"log.format":      was.Log.Format == c.Log.Format,
	} {
		if !same {
			keys = append(keys, key)
		}
	}
	return slices.Sorted(slices.Values(keys))
}
