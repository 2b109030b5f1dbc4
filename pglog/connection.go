package pglog

import (
	"cmp"
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const timeout = 5 * time.Second // of a call that PostgreSQL doesn't answer

// connection is a connection that one call uses at a time. A call opens it if it isn't
// open, and closes it after an error.
type connection struct {
	log   *Log
	begin string        // what it begins with, after connect.sql
	limit time.Duration // of a call
	using sync.Mutex
	conn  *pgx.Conn // nil if it isn't open
}

// do makes a call, which ends at the limit and when the log is closed.
func (c *connection) do(ctx context.Context, call func(context.Context, *pgx.Conn) error) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.limit, errNoAnswer)
	defer cancel()
	defer context.AfterFunc(c.log.closing, cancel)()
	c.using.Lock()
	defer c.using.Unlock()
	if c.conn == nil {
		c.conn, err = c.open(ctx)
	}
	if err == nil {
		err = call(ctx, c.conn)
	}
	if err == nil {
		return nil
	}
	c.hangUp()
	return describe(cmp.Or(context.Cause(c.log.closing), context.Cause(ctx), err))
}

// query runs a statement. It scans the only row of the result, unless into is nil.
func (c *connection) query(ctx context.Context, into []any, statement string, args ...any) error {
	return c.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		err := conn.QueryRow(ctx, statement, args...).Scan(into...)
		if into == nil && errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	})
}

// hangUp closes the connection if it is open, and waits for the goroutine of pgx that does so.
func (c *connection) hangUp() {
	if c.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	c.conn.Close(ctx)
	c.conn.PgConn().Conn().Close()
	<-c.conn.PgConn().CleanupDone()
	c.conn = nil
}

func (c *connection) open(ctx context.Context) (*pgx.Conn, error) {
	config, connected := c.log.config.Copy(), false
	config.AfterConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		connected = true
		return conn.Exec(ctx, connectSQL+c.begin).Close()
	}
	// When a call takes too long, pgx would dial again and ask PostgreSQL to cancel it. An
	// append that waits for its synchronous replicas would then be committed without them,
	// for all nodes to see.
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		if connected {
			return nil, errNoAnswer
		}
		return c.log.config.DialFunc(ctx, network, address)
	}
	return pgx.ConnectConfig(ctx, config)
}

// parse returns no error of pgx, because those quote the URL.
func parse(url string) (*pgx.ConnConfig, error) {
	scheme, rest, _ := strings.Cut(url, "://")
	at := strings.LastIndexByte(rest, '@')
	// With such a character, the end of the password would be part of the host, which errors name.
	ambiguous := at >= 0 && strings.ContainsAny(rest[:at], "@/?")
	config, err := pgx.ParseConfig(url)
	if err != nil || ambiguous || scheme != "postgres" && scheme != "postgresql" {
		return nil, errURL
	}
	config.ConnectTimeout = 2 * time.Second // then there is time for another host
	config.ValidateConnect = func(_ context.Context, conn *pgconn.PgConn) error {
		if conn.ParameterStatus("in_hot_standby") == "on" || conn.ParameterStatus("default_transaction_read_only") == "on" {
			return errStandby // pgx then tries the next host
		}
		return nil
	}
	return config, nil
}
