package pglog

import (
	"context"
	_ "embed"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

//go:embed schema.sql
var schema string

// The tables that this release knows, and the oldest PostgreSQL: 14 is the first whose
// documentation has everything that schema.sql and the statements use.
const (
	schemaVersion = 1
	oldest        = 14
	lockKey       = 8102650225890321253 // as in schema.sql
)

// connection is a connection that is opened when it is needed, and anew after an error.
type connection struct {
	log  *Log
	open func(context.Context) (*pgx.Conn, error)
	free chan *pgx.Conn // holds nil while there is no connection, and is empty while a call uses it
}

func newConnection(l *Log, open func(context.Context) (*pgx.Conn, error)) *connection {
	c := &connection{log: l, open: open, free: make(chan *pgx.Conn, 1)}
	c.free <- nil
	return c
}

// do makes a call, alone on the connection, and cancels it after the timeout and when the
// log is closed. It returns the error in the words of describe.
func (c *connection) do(ctx context.Context, call func(context.Context, *pgx.Conn) error) error {
	return c.within(ctx, timeout, call)
}

func (c *connection) within(ctx context.Context, limit time.Duration, call func(context.Context, *pgx.Conn) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(c.log.closing, func() { cancel(errClosed) })()
	ctx, stop := context.WithTimeoutCause(ctx, limit, errNoAnswer)
	defer stop()
	if c.log.closing.Err() != nil {
		return errClosed
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case conn := <-c.free:
		conn, err := c.use(ctx, conn, call)
		c.free <- conn
		if err != nil && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return describe(err)
	}
}

// use returns the connection for the next call, which is nil after an error.
func (c *connection) use(ctx context.Context, conn *pgx.Conn, call func(context.Context, *pgx.Conn) error) (*pgx.Conn, error) {
	err := ctx.Err()
	if err == nil && conn == nil {
		conn, err = c.open(ctx)
	}
	if err != nil {
		return conn, err
	}
	if err = call(ctx, conn); err != nil {
		hangUp(conn)
		return nil, err
	}
	return conn, nil
}

// close waits for the call that uses the connection. No other may follow.
func (c *connection) close() {
	if conn := <-c.free; conn != nil {
		hangUp(conn)
	}
}

// hangUp closes a connection, and waits for what pgx started to close it.
func hangUp(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	conn.Close(ctx)
	conn.PgConn().Conn().Close()
	<-conn.PgConn().CleanupDone()
}

// connect opens a connection, creates the tables if there are none, and checks their version.
func (l *Log) connect(ctx context.Context) (*pgx.Conn, error) {
	return l.connectWith(ctx, l.config.Copy())
}

// listen opens a connection that receives the notifications of appendEntry.
func (l *Log) listen(ctx context.Context) (*pgx.Conn, error) {
	config := l.config.Copy()
	config.OnNotification = func(_ *pgconn.PgConn, n *pgconn.Notification) {
		l.newest, _ = strconv.ParseInt(n.Payload, 10, 64)
	}
	conn, err := l.connectWith(ctx, config)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Exec(ctx, "LISTEN presence"); err != nil {
		hangUp(conn)
		return nil, err
	}
	return conn, nil
}

func (l *Log) connectWith(ctx context.Context, config *pgx.ConnConfig) (*pgx.Conn, error) {
	refuseCancelRequests(config)
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	if err := l.prepare(ctx, conn); err != nil {
		hangUp(conn)
		return nil, err
	}
	return conn, nil
}

// refuseCancelRequests lets the config dial for one connection only. When a call takes too
// long, pgx would dial again and ask PostgreSQL to cancel it. But an append that waits for
// its synchronous replicas would then be committed without them, for all nodes to see.
func refuseCancelRequests(config *pgx.ConnConfig) {
	dial, connected := config.DialFunc, new(atomic.Bool)
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		if connected.Load() {
			return nil, errNoCancel
		}
		return dial(ctx, network, address)
	}
	config.AfterConnect = func(context.Context, *pgconn.PgConn) error {
		connected.Store(true)
		return nil
	}
}

// settings of every connection. PostgreSQL gives up a call that waits for a lock before
// we do, and soon notices that a node is gone which may hold one. A higher isolation would
// let appends fail that only have to wait.
const settings = `SET lock_timeout = '4s'; SET default_transaction_isolation = 'read committed';
	SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 2`

// prepare applies the settings, and checks that this release and PostgreSQL fit together.
func (l *Log) prepare(ctx context.Context, conn *pgx.Conn) error {
	if err := execute(ctx, conn, settings); err != nil {
		return err
	}
	var release, version int
	var exists bool
	const query = "SELECT current_setting('server_version_num')::int / 10000, to_regclass('presence.head') IS NOT NULL"
	if err := conn.QueryRow(ctx, query).Scan(&release, &exists); err != nil {
		return err
	}
	if err := checkRelease(release); err != nil {
		return err
	}
	if !exists {
		if err := execute(ctx, conn, schema); err != nil {
			return err
		}
		l.logger.InfoContext(ctx, "created the tables of the log in PostgreSQL")
	}
	if err := conn.QueryRow(ctx, "SELECT version FROM presence.head").Scan(&version); err != nil {
		return err
	}
	return checkVersion(version)
}

// execute runs several statements without parameters.
func execute(ctx context.Context, conn *pgx.Conn, statements string) error {
	return conn.PgConn().Exec(ctx, statements).Close()
}
