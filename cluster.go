package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"unicode"

	"github.com/presence-server/presence/pglog"
	"github.com/presence-server/presence/presence"
)

// clusterConfig is the table cluster. Once it is checked, Log is what the file holds.
type clusterConfig struct{ Log, LogFile, Name string }

// check reads the file, and reports every key that can't be used to must, which turns it
// into a problem unless ok is true.
func (c *clusterConfig) check(auth *authConfig, dev bool, must func(ok bool, key string, value any, reason string)) {
	must(c.Log == "" || c.LogFile == "", "cluster.log_file", c.LogFile, "excludes cluster.log")
	if c.Log == "" && c.LogFile != "" {
		text, err := os.ReadFile(c.LogFile)
		must(err == nil, "cluster.log_file", c.LogFile, fmt.Sprint(err))
		c.Log = strings.TrimSpace(string(text))
		must(err != nil || c.Log != "", "cluster.log_file", c.LogFile, "the file is empty")
	}
	if c.Log == "" {
		return
	}
	must(isPostgres(c.Log) && !strings.ContainsFunc(c.Log, unicode.IsControl), "cluster.log", c.Log, `must be a URL of PostgreSQL in one line, such as "postgres://presence:password@db.internal/presence"`)
	must(!dev, "cluster.log", c.Log, "must be empty with -dev")
	must(auth.Secret != "" || auth.JWKSURL != "", "auth.secret", auth.Secret,
		"must be set, to the same value on every node, because cluster.log is set; or set auth.jwks_url")
}

func isPostgres(url string) bool {
	return strings.HasPrefix(url, "postgres://") || strings.HasPrefix(url, "postgresql://")
}

// open adds the log to the configuration of a service, unless the server is alone. The
// caller calls closeLog after it has closed the service.
func (c *clusterConfig) open(ctx context.Context, auth *authConfig, to *presence.Config, log *slog.Logger) (closeLog func(), err error) {
	if c.Log == "" {
		return func() {}, nil
	}
	shared, err := pglog.Open(ctx, c.Log, log)
	if err != nil {
		return nil, explainLog(err)
	}
	to.Log, to.Node, to.Agreement = shared, c.name(), auth.agreement()
	return func() { logError(log, "closing the log", shared.Close()) }, nil
}

// name returns the name of the node.
func (c *clusterConfig) name() string {
	if c.Name != "" {
		return c.Name
	}
	host, err := os.Hostname()
	if err != nil {
		return "unnamed"
	}
	return host
}

// agreement returns hashes of the secrets with which tokens are verified, or of the URL of
// the identity provider if there are none. All nodes must have one in common.
func (a *authConfig) agreement() (hashes []string) {
	keys := a.previousSecrets()
	if a.Secret != "" {
		keys = append(keys, []byte(a.Secret))
	}
	if len(keys) == 0 {
		keys = append(keys, []byte(a.JWKSURL))
	}
	for _, key := range keys {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte("the secret of a node of a cluster"))
		hashes = append(hashes, hex.EncodeToString(mac.Sum(nil)))
	}
	return hashes
}

// explainOpen makes the error of a service that can't be opened name the key to change.
func explainOpen(err error) error {
	if other, ok := errors.AsType[*presence.DisagreementError](err); ok {
		return fmt.Errorf("auth.secret (or auth.jwks_url, if there is none) is not the same here and on the node %q: set it to the same value on every node", other.Node)
	}
	return explainLog(err)
}

// explainLog makes the error of a log that can't be used name the key to change.
func explainLog(err error) error {
	if !errors.Is(err, presence.ErrLogUnusable) {
		return err
	}
	return fmt.Errorf("cluster.log can't be used: %s", strings.TrimPrefix(err.Error(), presence.ErrLogUnusable.Error()+": "))
}

const helpClusterLeave = `Makes the database that of a single server again. Remove [cluster] from the
configuration then, and start the server. It has all users and all statuses up to the
moment when this node was stopped, so first stop all other nodes, and this one last.
The server must be stopped.

Exit code: 0 the database belongs to no log any more, 1 failed, 2 misused.`

func startClusterLeave(*flag.FlagSet) action {
	return func(ctx context.Context, read reader, _ []string) error {
		c, err := read("database.path")
		if err != nil {
			return err
		}
		if err := presence.LeaveLog(ctx, c.Database.Path); err != nil {
			return err
		}
		fmt.Printf("%s belongs to no log any more: remove [cluster] from the configuration, and start the server\n", c.Database.Path)
		return nil
	}
}

const helpClusterAccept = `Makes the log go on from the state of this node. Use it if the log has lost its end,
for example because PostgreSQL was restored from a backup or a replica took over that
had not received everything: nodes then stop, and say so. Choose the node that has
applied the most; its log says how far it is.

The log in PostgreSQL is emptied, and the next start of this node begins a new one with
its users. All nodes must be stopped. Move the databases of the other nodes away before
they are started: they copy the state from the log.

Exit code: 0 the next start begins the log, 1 failed, 2 misused.`

func startClusterAccept(*flag.FlagSet) action {
	return func(ctx context.Context, read reader, _ []string) error {
		c, err := read("database.path", "cluster.log", "cluster.log_file")
		if err != nil {
			return err
		}
		if c.Cluster.Log == "" {
			return errors.New("cluster.log is empty: this server has no log")
		}
		if err := reach(ctx, c.Cluster.Log); err != nil {
			return explainLog(err)
		}
		if err := presence.LeaveLog(ctx, c.Database.Path); err != nil {
			return err
		}
		if err := pglog.Remove(ctx, c.Cluster.Log); err != nil {
			return fmt.Errorf("run this command again before the node is started: %w", explainLog(err))
		}
		fmt.Printf("the log is empty: the next start begins it with the users of %s\n", c.Database.Path)
		return nil
	}
}

// reach reports why a log can't be used now. Without the log, a database that has left it
// couldn't return.
func reach(ctx context.Context, url string) error {
	log, err := pglog.Open(ctx, url, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	_, err = log.State(ctx)
	return errors.Join(err, log.Close())
}
