package pglog

import (
	"cmp"
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
	errNoCancel = errors.New("no cancel requests")
)

// unusable returns an error that matches presence.ErrLogUnusable.
func unusable(format string, args ...any) error {
	return fmt.Errorf("%w: %w", presence.ErrLogUnusable, fmt.Errorf(format, args...))
}

// describe returns the error of a call in one line that says what is wrong with PostgreSQL,
// and what to do if trying again doesn't help. It returns nil for nil.
func describe(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var server *pgconn.PgError
	var connect *pgconn.ConnectError
	switch {
	case errors.As(err, &server):
		return describeServer(server)
	case errors.As(err, &connect): // its own text names the user and the database, and has several lines
		lines := strings.Split(connect.Unwrap().Error(), "\n")
		return fmt.Errorf("pglog: no connection to PostgreSQL: %s", strings.Join(slices.Compact(lines), "; "))
	}
	for _, known := range []error{nil, presence.ErrTrimmed, presence.ErrFounded, presence.ErrNoSnapshot, presence.ErrLogUnusable} {
		if errors.Is(err, known) {
			return err
		}
	}
	return fmt.Errorf("pglog: %w", err)
}

// describeServer finds the words by the SQLSTATE.
func describeServer(err *pgconn.PgError) error {
	switch err.Code {
	case "28P01", "28000":
		return unusable("PostgreSQL refuses the login (%s): correct the URL of the log, or pg_hba.conf", err.Message)
	case "3D000":
		return unusable("%s: create it, or correct the URL of the log", err.Message)
	case "42501":
		return unusable("%s: grant the role CREATE on the database, or make it the owner of the schema presence", err.Message)
	}
	passing := map[string]string{
		"25006": "PostgreSQL is read-only",
		"53100": "PostgreSQL's disk is full",
		"53300": "PostgreSQL has no connection left (max_connections)",
		"55P03": "another session of PostgreSQL locks the log",
		"57P01": "PostgreSQL stops",
		"57P02": "PostgreSQL restarts after a crash",
		"57P03": "PostgreSQL starts or stops",
	}
	return fmt.Errorf("pglog: %s: %s (SQLSTATE %s)", cmp.Or(passing[err.Code], "PostgreSQL reports"), err.Message, err.Code)
}
