package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/presence-server/presence/presence"
)

// prepareDev changes the configuration if the server runs with -dev: the database is
// in a folder that remove removes, and the server API has a key. adminKey is how
// greetDev shows it: a key that was configured is not shown.
func (c *config) prepareDev(dev bool) (adminKey string, remove func(), err error) {
	if !dev {
		return "", func() {}, nil
	}
	folder, err := os.MkdirTemp("", "presence-dev-")
	if err != nil {
		return "", nil, err
	}
	c.Database.Path = filepath.Join(folder, "presence.db")
	adminKey = "$PRESENCE_AUTH__ADMIN_KEY"
	if c.Auth.AdminKey == "" {
		c.Auth.AdminKey = rand.Text()
		adminKey = c.Auth.AdminKey
	}
	c.shown.set("database.path", c.Database.Path)
	c.shown.set("auth.admin_key", hidden)
	return adminKey, func() { os.RemoveAll(folder) }, nil
}

// addDemoUsers registers three friends, and a user who knows nobody.
func addDemoUsers(ctx context.Context, svc *presence.Service) error {
	if _, err := svc.Import(ctx, []string{"alice", "bob", "carol", "dave"}); err != nil {
		return err
	}
	if _, err := svc.AddFriends(ctx, "alice", []string{"bob", "carol"}, true); err != nil {
		return err
	}
	_, err := svc.AddFriends(ctx, "bob", []string{"carol"}, true)
	return err
}

// greetDev prints what to try. url ends in a slash.
func greetDev(w io.Writer, url, adminKey string) {
	fmt.Fprintf(w, `
Open this page, which shows two people side by side:

    %[1]s

and these, to be one person in each of two windows:

    %[1]sperson.html#alice
    %[1]sperson.html#bob

alice, bob and carol are friends; dave knows nobody. Anyone gets a token at
POST %[1]sv1/dev/token. The server API has a key of its own for this run:

    curl -H "Authorization: Bearer %[2]s" %[1]sv1/admin/stats

Everything is deleted at the end. Press Ctrl+C to stop.

`, url, adminKey)
}
