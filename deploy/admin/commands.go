package admin

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/presence-server/presence/deploy/doctor"
	"github.com/presence-server/presence/httpapi"
	"github.com/presence-server/presence/presence"
)

const helpToken = `Prints a token for USER, signed with the secret of the server on this machine:
auth.secret, or the file beside the database that ends in .secret. The server
may run. For example:

  curl -H "Authorization: Bearer $(presence token alice)" localhost:8080/v1/subscriptions

Exit code: 0 printed, 1 there is no secret yet, or the configuration has faults, 2 misused.`

func startToken(set *flag.FlagSet) action {
	lifetime := set.Duration("expires", 24*time.Hour, "valid for this `TIME`, such as 720h")
	return func(_ context.Context, read func() (Setting, error), userID string) error {
		if err := presence.CheckID(userID); err != nil || *lifetime <= 0 {
			return Misused(set, cmp.Or(err, errors.New("-expires must be more than 0")))
		}
		s, err := read()
		if err != nil {
			return err
		}
		token, err := s.issue(userID, *lifetime)
		if err != nil {
			return err
		}
		fmt.Println(token)
		return nil
	}
}

const helpCheck = `Checks the configuration, and reads all of the database to see that it is whole
and what this release works with. It changes nothing. The server may run.

Exit code: 0 all is good, 1 there are faults, each told with what to do, 2 misused.`

func startCheck(*flag.FlagSet) action {
	return func(ctx context.Context, read func() (Setting, error), _ string) error {
		s, faults := read()
		if s.Database == "" {
			return faults
		}
		if faults == nil {
			fmt.Println("the configuration is good")
		}
		return errors.Join(faults, checkDatabase(ctx, s), checkSecret(s))
	}
}

func checkDatabase(ctx context.Context, s Setting) error {
	found, err := presence.Check(ctx, s.Database)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		fmt.Println("the next start makes", s.Database)
		return nil
	case err != nil:
		return err
	}
	fmt.Printf("%s is good: schema %d, %d users\n", s.Database, found.Schema, found.Users)
	if found.Schema < found.Newest {
		fmt.Printf("the next start brings it to schema %d, and keeps a backup of it beside it\n", found.Newest)
	}
	return nil
}

func checkSecret(s Setting) error {
	if s.lacksSecret() {
		fmt.Println("the next start makes", s.SecretFile+": tokens made with another secret are refused then")
		return nil
	}
	_, err := s.secret()
	return err
}

const helpBackup = `Copies the database, as it is at one moment, into FILE, and reads all of it to
see that it is whole. FILE is there when it is complete, or not at all; a file
that is there is never replaced. The server may run, under any load.

The secret that tokens are signed with is not in it. Keep that too: auth.secret,
or the file beside the database that ends in .secret.

Exit code: 0 backed up, 1 failed, 2 misused.`

func startBackup(*flag.FlagSet) action {
	return func(ctx context.Context, read func() (Setting, error), file string) error {
		s, err := read()
		if err != nil {
			return err
		}
		if err := presence.Backup(ctx, s.Database, file); err != nil {
			return err
		}
		fmt.Printf("%s is backed up to %s\n", s.Database, file)
		fmt.Printf("the secret is not in it: keep %s too\n", cmp.Or(s.where(), "auth.secret"))
		return nil
	}
}

const helpRestore = `Puts the backup FILE in the place of the database, after reading all of it. What
was there before is kept beside it, under a name that is told. The server must
be stopped. Clients come back by themselves and miss nothing.

Exit code: 0 restored, 1 failed, and the database is as it was, 2 misused.`

func startRestore(*flag.FlagSet) action {
	return func(ctx context.Context, read func() (Setting, error), file string) error {
		s, err := read()
		if err != nil {
			return err
		}
		kept, err := presence.Restore(ctx, s.Database, file)
		if err != nil {
			return err
		}
		fmt.Printf("%s is restored from %s\n", s.Database, file)
		if kept != "" {
			fmt.Println("what was there before is now", kept)
		}
		if s.lacksSecret() {
			fmt.Printf("put %s back too, or the next start makes another, which refuses all tokens\n", s.SecretFile)
		}
		return nil
	}
}

const helpDoctor = `Measures what lies between browsers and the server, as one of them would: URL is
the address that they use. For each fault it prints the lines that mend it.

It needs a token. By default it makes one for the user presence-doctor, if the
secret of the server is on this machine (see presence token -h). That user stays
registered; nobody watches it. With -token it is online as that user for about
20 seconds, with one more web device at a time, and logs out again.

Exit code: 0 all is good, 1 there are faults, 2 something could not be measured, or misused.`

func startDoctor(set *flag.FlagSet) action {
	var o doctor.Options
	set.StringVar(&o.Token, "token", "", "measure with this `TOKEN`")
	set.StringVar(&o.Origin, "origin", "", "measure whether pages of this `ORIGIN` may use the server, such as https://www.example.com")
	set.DurationVar(&o.Patience, "patience", 3*time.Second, "how long what should come at once may take: a `TIME`")
	set.DurationVar(&o.Watch, "watch", 0, "watch a stream for this `TIME` (default until the server has broken the silence, at most 1m)")
	return func(ctx context.Context, read func() (Setting, error), address string) error {
		if o.Patience <= 0 || o.Watch < 0 {
			return Misused(set, errors.New("-patience and -watch must be more than 0"))
		}
		if o.Token == "" {
			s, err := read()
			if err != nil {
				return failure{err, misuse}
			}
			o.Token, err = s.issue("presence-doctor", o.Watch+10*time.Minute)
			o.Own = err == nil
		}
		o.URL = address
		report, err := doctor.Examine(ctx, o)
		if err != nil {
			return failure{err, misuse}
		}
		if err := report.Print(os.Stdout); err != nil {
			return err
		}
		switch report.Worst() {
		case doctor.Fault:
			return errors.New("there are faults")
		case doctor.Unmeasured:
			return failure{errors.New("not everything could be measured"), misuse}
		}
		return nil
	}
}

// issue makes a token.
func (s Setting) issue(userID string, lifetime time.Duration) (string, error) {
	secret, err := s.secret()
	if err != nil {
		return "", err
	}
	token, _, err := (&httpapi.Tokens{Secret: secret}).Issue(userID, lifetime)
	return token, err
}

// where returns the file of the secret, or "" if it is in the configuration.
func (s Setting) where() string {
	if s.Secret != "" {
		return ""
	}
	return s.SecretFile
}

// lacksSecret reports whether the server has yet to make one.
func (s Setting) lacksSecret() bool {
	if s.Secret != "" {
		return false
	}
	_, err := os.Stat(s.SecretFile)
	return errors.Is(err, fs.ErrNotExist)
}

// secret returns it. It makes none, unlike the server: who may run the server
// could perhaps not read it.
func (s Setting) secret() ([]byte, error) {
	switch {
	case s.Secret != "":
		return []byte(s.Secret), nil
	case s.lacksSecret():
		return nil, fmt.Errorf("there is no secret: start the server once, which makes %s, or set auth.secret", s.SecretFile)
	}
	return httpapi.SecretFile(s.SecretFile)
}
