package pglog

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/presence-server/presence/deploy/testserver"
	"github.com/presence-server/presence/presence"
)

const password = "s3cr3t"

func TestMalformedURL(t *testing.T) {
	for _, url := range []string{
		"", password, "postgres:" + password, "mysql://user:" + password + "@host/db",
		"postgres://user:" + password + "@host:port/db",
		"postgres://user:" + password + "@ho%zzst/db",
		"postgres://user:x@" + password + "@host/db",
		"postgres://user:1/" + password + "@host/db",
		"postgres://user:1?" + password + "@host/db",
		"postgres://host/db?sslmode=" + password,
		"user=user password=" + password + " host=host",
	} {
		_, err := Open(ctxOf(t), url, slog.New(slog.DiscardHandler))
		if !errors.Is(err, presence.ErrLogUnusable) || !strings.Contains(err.Error(), "postgres://user:password@host") {
			t.Errorf("Open(%q) returned %v", url, err)
		}
		if err != nil && strings.Contains(err.Error(), password) {
			t.Errorf("the error contains the password: %v", err)
		}
	}
}

// TestUnusable checks the errors that trying again doesn't end.
func TestUnusable(t *testing.T) {
	postgres := testserver.StartPostgres(t)
	sql := func(database, statements string) {
		t.Helper()
		if _, err := postgres.SQL(database, statements); err != nil {
			t.Fatal(err)
		}
	}
	sql("postgres", "CREATE ROLE node LOGIN PASSWORD '"+password+"'; CREATE ROLE asleep PASSWORD '"+password+"'")
	sql("postgres", "CREATE DATABASE newer OWNER node")
	sql("postgres", "CREATE DATABASE foreigner")
	sql("postgres", "CREATE DATABASE owned")
	sql("owned", "CREATE SCHEMA presence AUTHORIZATION node")

	var logged bytes.Buffer
	at := func(user, database string) error {
		url := "postgres://" + user + "@" + postgres.Address + "/" + database
		log, err := Open(ctxOf(t), url, slog.New(slog.NewTextHandler(&logged, nil)))
		if err == nil {
			_, err = log.State(ctxOf(t))
			log.Close()
		}
		return err
	}
	if err := at("node:"+password, "newer"); err != nil {
		t.Fatal(err)
	}
	sql("newer", "UPDATE presence.head SET version = 2")
	for _, test := range []struct{ user, database, want string }{
		{"node:wrong" + password, "newer", `password authentication failed for user "node"): correct the URL`},
		{"stranger:" + password, "newer", `password authentication failed for user "stranger"): correct the URL`},
		{"asleep:" + password, "newer", `"asleep" is not permitted to log in): correct the URL`},
		{"node:" + password, "missing", `database "missing" does not exist: create it`},
		{"node:" + password, "newer", "the version 2, and this release knows 1: install the newer release"},
		{"node:" + password, "foreigner", "permission denied for database foreigner: grant the role CREATE"},
	} {
		err := at(test.user, test.database)
		if !errors.Is(err, presence.ErrLogUnusable) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s in %s: the error is %v, want %q", test.user, test.database, err, test.want)
		}
		if err != nil && strings.ContainsAny(err.Error(), "\n") {
			t.Errorf("the error has several lines: %v", err)
		}
		if err != nil && strings.Contains(err.Error(), password) {
			t.Errorf("the error contains the password: %v", err)
		}
	}
	if err := at("node:"+password, "owned"); err != nil {
		t.Errorf("a role that owns the schema but may not create one: %v", err)
	}
	if strings.Contains(logged.String(), password) {
		t.Errorf("the log lines contain the password: %s", &logged)
	}
}

// TestUnreachable checks that no error of a connection contains the password.
func TestUnreachable(t *testing.T) {
	address, err := testserver.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{
		"postgres://user:" + password + "@" + address + "/db",
		"postgres://user@" + address + "/db?password=" + password,
		"postgres://user:" + password + "@" + address + "," + address + "/db",
		"postgres://user:" + password + "@a.invalid/db",
		"postgres://user:" + password + "@/db?host=/nowhere",
	} {
		log := open(t, url)
		err := log.Append(ctxOf(t), []byte("entry"))
		if err == nil || errors.Is(err, presence.ErrLogUnusable) {
			t.Errorf("Append returned %v", err)
		} else if text := err.Error(); strings.Contains(text, password) || strings.Contains(text, "\n") {
			t.Errorf("the error contains the password, or several lines: %v", err)
		}
		t.Log(err)
	}
}

// TestTooLate checks that the error of a call whose caller has waited for too long says who
// hasn't answered.
func TestTooLate(t *testing.T) {
	log := open(t, testserver.StartPostgres(t).URL("postgres"))
	ctx, cancel := context.WithDeadline(ctxOf(t), time.Now())
	defer cancel()
	_, err := log.Next(ctx, 0)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "PostgreSQL hasn't answered in time") {
		t.Errorf("Next returned %v", err)
	}
}

func TestWarnings(t *testing.T) {
	postgres := testserver.StartPostgres(t, "fsync=off", "full_page_writes=off")
	warnings := strings.Join(stateOf(t, open(t, postgres.URL("postgres"))).Warnings, "\n")
	if strings.Count(warnings, "\n") != 1 || !strings.Contains(warnings, "fsync is off") || !strings.Contains(warnings, "full_page_writes is off") {
		t.Errorf("the warnings are %q", warnings)
	}
}
