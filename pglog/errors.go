package pglog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/presence-server/presence/presence"
)

var (
	errClosed   = errors.New("pglog: the log is closed")
	errNoAnswer = fmt.Errorf("pglog: PostgreSQL hasn't answered for %v", timeout)
	errStandby  = errors.New("PostgreSQL is read-only: it is a standby, or default_transaction_read_only is on")
	errNoCancel = errors.New("cancel requests are not sent")
)

// unusable returns an error that matches presence.ErrLogUnusable.
func unusable(format string, args ...any) error {
	return fmt.Errorf("%w: %s", presence.ErrLogUnusable, fmt.Sprintf(format, args...))
}

// describe returns an error in one line that says what is wrong with PostgreSQL, and what
// to do if it has to be done before it works again.
func describe(err error) error {
	for _, plain := range []error{nil, presence.ErrLogUnusable, presence.ErrTrimmed, presence.ErrFounded, presence.ErrNoSnapshot} {
		if errors.Is(err, plain) {
			return err
		}
	}
	var server *pgconn.PgError
	if !errors.As(err, &server) {
		return errors.New("pglog: " + reason(err))
	}
	switch server.Code {
	case "28P01", "28000":
		return unusable("PostgreSQL refuses the login (%s): correct the URL of the log, or pg_hba.conf", server.Message)
	case "3D000":
		return unusable("PostgreSQL has no such database (%s): create it, or correct the URL of the log", server.Message)
	case "42501":
		return unusable("the role lacks a privilege (%s): GRANT CREATE ON DATABASE to it, or make it the owner of the schema presence", server.Message)
	case "53100":
		return errors.New("pglog: PostgreSQL's disk is full: " + server.Message)
	case "53300":
		return errors.New("pglog: PostgreSQL has no connection left (max_connections): " + server.Message)
	case "55P03":
		return errors.New("pglog: another session of PostgreSQL has locked the log for too long")
	case "57P01", "57P02", "57P03":
		return errors.New("pglog: PostgreSQL starts or stops: " + server.Message)
	case "25006":
		return fmt.Errorf("pglog: %w", errStandby)
	}
	return fmt.Errorf("pglog: PostgreSQL reports: %s (SQLSTATE %s)", server.Message, server.Code)
}

// reason returns the text of an error of pgx in one line, without the user and the database.
func reason(err error) string {
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) {
		err = connect.Unwrap()
	}
	// pgx has one line for each attempt, and tries an address with and without TLS.
	return strings.Join(slices.Compact(strings.Split(err.Error(), "\n")), "; ")
}

func checkRelease(release int) error {
	if release < oldest {
		return unusable("this is PostgreSQL %d: install %d or later", release, oldest)
	}
	return nil
}

func checkVersion(version int) error {
	if version > schemaVersion {
		return unusable("the tables have the version %d, and this release knows %d: install the newer release on this node too", version, schemaVersion)
	}
	return nil
}

// refuseStandby lets pgx connect to the next host of the URL.
func refuseStandby(ctx context.Context, conn *pgconn.PgConn) error {
	results, err := conn.Exec(ctx, "SHOW transaction_read_only").ReadAll()
	if err == nil && string(results[0].Rows[0][0]) == "on" {
		err = errStandby
	}
	return err
}
