package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"time"

	"github.com/presence-server/presence/presence"
)

const helpToken = `Prints a token for USER, signed with the secret of the server on this machine:
auth.secret, the file that auth.secret_file names, or the file next to the
database that ends in .secret. The server may be running. For example:

  curl -H "Authorization: Bearer $(presence token alice)" localhost:8080/v1/subscriptions

Exit code: 0 printed, 1 there is no secret yet, or the configuration has errors, 2 misused.`

func startToken(set *flag.FlagSet) action {
	lifetime := set.Duration("expires", 24*time.Hour, "valid for this `TIME`, such as 720h")
	return func(_ context.Context, read reader, operands []string) error {
		userID := operands[0]
		if err := presence.CheckID(userID); err != nil || *lifetime <= 0 {
			return misused(set, cmp.Or(err, errors.New("-expires must be more than 0")))
		}
		c, err := read("auth.secret", "auth.secret_file", "database.path")
		if err != nil {
			return err
		}
		token, err := c.issue(userID, *lifetime)
		if err != nil {
			return err
		}
		fmt.Println(token)
		return nil
	}
}

const helpCheck = `Checks the configuration, and reads all of the database to verify that it is
whole and that this release can use it. It changes nothing. The server may be
running.

Exit code: 0 all is good, 1 there are errors, each with what to do, 2 misused.`

func startCheck(*flag.FlagSet) action {
	return func(ctx context.Context, read reader, _ []string) error {
		c, wrong := read(allKeys)
		if c.Database.Path == "" {
			return wrong
		}
		if wrong == nil {
			fmt.Println("the configuration is good")
		}
		return errors.Join(wrong, checkDatabase(ctx, c.Database.Path), c.checkSecret())
	}
}

func checkDatabase(ctx context.Context, path string) error {
	found, err := presence.Check(ctx, path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		fmt.Println("the next start creates", path)
		return nil
	case err != nil:
		return err
	}
	fmt.Printf("%s is good: schema %d, %d users\n", path, found.Schema, found.Users)
	if found.Schema < found.Newest {
		fmt.Printf("the next start upgrades it to schema %d, and keeps a backup next to it\n", found.Newest)
	}
	return nil
}

const helpBackup = `Copies the database, as it is at one moment, into FILE, and reads all of the copy
to verify that it is whole. FILE appears only once it is complete; an existing
file is never replaced. The server may be running, under any load.

The copy doesn't contain the secret that tokens are signed with. Keep that too:
auth.secret, the file that auth.secret_file names, or the file next to the
database that ends in .secret.

Exit code: 0 backed up, 1 failed, 2 misused.`

func startBackup(*flag.FlagSet) action {
	return func(ctx context.Context, read reader, operands []string) error {
		file := operands[0]
		c, err := read("database.path")
		if err != nil {
			return err
		}
		if err := presence.Backup(ctx, c.Database.Path, file); err != nil {
			return err
		}
		fmt.Printf("%s is backed up to %s\n", c.Database.Path, file)
		fmt.Printf("the secret is not in it: keep %s too\n", c.secretPlace())
		return nil
	}
}

const helpRestore = `Puts the backup FILE in the place of the database, after reading all of it. The
database that was there is kept next to it, under a name that is printed. The
server must be stopped. Clients come back by themselves and miss nothing.

Exit code: 0 restored, 1 failed, and the database is as it was, 2 misused.`

func startRestore(*flag.FlagSet) action {
	return func(ctx context.Context, read reader, operands []string) error {
		file := operands[0]
		c, err := read("database.path")
		if err != nil {
			return err
		}
		kept, err := presence.Restore(ctx, c.Database.Path, file)
		if err != nil {
			return err
		}
		fmt.Printf("%s is restored from %s\n", c.Database.Path, file)
		if kept != "" {
			fmt.Println("the database that was there is now", kept)
		}
		if c.Cluster.Log != "" {
			fmt.Println("run presence cluster accept before the next start, unless the log is empty: the node can't have two states")
		}
		if c.lacksSecret() {
			fmt.Printf("put %s back too, or the next start creates another, which refuses all tokens\n", c.secretFile())
		}
		return nil
	}
}
