package pglog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/presence-server/presence/presence"
)

var (
	errURL      = fmt.Errorf("%w: the URL must have the form postgres://user:password@host:5432/database, with special characters of the password percent-encoded", presence.ErrLogUnusable)
	errClosed   = errors.New("the log is closed")
	errNoAnswer = fmt.Errorf("PostgreSQL hasn't answered for %v", timeout)
	errStandby  = errors.New("PostgreSQL is read-only: it is a standby, or default_transaction_read_only is on")
)

// lasting has what to do about the errors that trying again doesn't end, by SQLSTATE.
var lasting = map[string]string{
	"28000": "PostgreSQL refuses the login (%s): correct the URL of the log, or pg_hba.conf",
	"28P01": "PostgreSQL refuses the login (%s): correct the URL of the log, or pg_hba.conf",
	"3D000": "%s: create it, or correct the URL of the log",
	"42501": "%s: grant the role CREATE on the database, or make it the owner of the schema presence",
	"P0001": "%s", // what connect.sql raises
}

// passing has what the other errors mean.
var passing = map[string]string{
	"25006": "PostgreSQL is read-only",
	"53100": "PostgreSQL's disk is full",
	"53300": "PostgreSQL has no connection left (max_connections)",
	"55P03": "another session of PostgreSQL locks the log",
	"57P01": "PostgreSQL stops",
	"57P02": "PostgreSQL restarts after a crash",
	"57P03": "PostgreSQL starts or stops",
}

// describe returns an error in one line that says what is wrong with PostgreSQL, and what
// to do if trying again doesn't help.
func describe(err error) error {
	server, refused := errors.AsType[*pgconn.PgError](err)
	connect, unreachable := errors.AsType[*pgconn.ConnectError](err)
	switch {
	case errors.Is(err, presence.ErrTrimmed), errors.Is(err, presence.ErrLostEnd):
		return err
	case errors.Is(err, pgx.ErrNoRows):
		return errors.New("pglog: the table presence.head is empty")
	case refused && lasting[server.Code] != "":
		return fmt.Errorf("%w: "+lasting[server.Code], presence.ErrLogUnusable, server.Message)
	case refused:
		return fmt.Errorf("pglog: %s: %s (SQLSTATE %s)", cmp.Or(passing[server.Code], "PostgreSQL reports"), server.Message, server.Code)
	case unreachable: // its own text names the user and the database, and has several lines
		lines := strings.Split(connect.Unwrap().Error(), "\n")
		return fmt.Errorf("pglog: no connection to PostgreSQL: %s", strings.Join(slices.Compact(lines), "; "))
	case errors.Is(err, context.DeadlineExceeded): // that of the caller
		return fmt.Errorf("pglog: PostgreSQL hasn't answered in time: %w", err)
	}
	return fmt.Errorf("pglog: %w", err)
}
