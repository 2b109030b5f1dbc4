package pglog

import (
	"context"
	_ "embed"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	timeout       = 5 * time.Second // of a call that PostgreSQL doesn't answer
	oldest        = 14              // the first release of PostgreSQL that says at the login whether it is a standby
	schemaVersion = 1
)

//go:embed schema.sql
var schema string

// settings are those of each connection. PostgreSQL gives up a call that waits for a lock
// before we do, and frees what a node holds that hangs or is gone. With a higher isolation,
// appends that only have to wait would fail.
const settings = `SET lock_timeout = '4s'; SET idle_in_transaction_session_timeout = '1min';
	SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 2;
	SET default_transaction_isolation = 'read committed';`

// parse returns no error of pgx, because those quote the URL.
func parse(url string) (*pgx.ConnConfig, error) {
	scheme, rest, _ := strings.Cut(url, "://")
	at := strings.LastIndexByte(rest, '@')
	// With such a character, the end of the password would be part of the host, which errors name.
	ambiguous := at >= 0 && strings.ContainsAny(rest[:at], "@/?")
	config, err := pgx.ParseConfig(url)
	if err != nil || ambiguous || scheme != "postgres" && scheme != "postgresql" {
		return nil, unusable("the URL must have the form postgres://user:password@host:5432/database, with special characters of the password percent-encoded")
	}
	config.ConnectTimeout = 2 * time.Second // then there is time for another host
	return config, nil
}

// limit returns a context that is cancelled after the timeout, and when the log is closed.
// A call of several steps resets the timer.
func (l *Log) limit(ctx context.Context) (_ context.Context, timer *time.Timer, cancel func()) {
	ctx, end := context.WithCancelCause(ctx)
	stop := context.AfterFunc(l.closing, func() { end(errClosed) })
	timer = time.AfterFunc(timeout, func() { end(errNoAnswer) })
	return ctx, timer, func() {
		timer.Stop()
		stop()
		end(nil)
	}
}

// do makes a call within the limit, alone on a connection, which it opens if there is none,
// and closes after an error.
func (l *Log) do(ctx context.Context, c chan *pgx.Conn, call func(context.Context, *pgx.Conn) error) error {
	ctx, _, cancel := l.limit(ctx)
	defer cancel()
	var conn *pgx.Conn
	select {
	case conn = <-c:
	case <-ctx.Done():
		return describe(ctx, ctx.Err())
	}
	err := ctx.Err()
	if err == nil && conn == nil {
		conn, err = l.connect(ctx)
		if err == nil && c == l.reader {
			_, err = conn.Exec(ctx, "LISTEN presence")
		}
	}
	if err == nil {
		err = call(ctx, conn)
	}
	if err != nil {
		hangUp(conn)
		conn = nil
	}
	c <- conn
	return describe(ctx, err)
}

// hangUp closes a connection, unless it is nil, and waits for the goroutine of pgx that
// does so.
func hangUp(conn *pgx.Conn) {
	if conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	conn.Close(ctx)
	conn.PgConn().Conn().Close()
	<-conn.PgConn().CleanupDone()
}

// connect opens a connection, and creates the tables if there are none.
func (l *Log) connect(ctx context.Context) (*pgx.Conn, error) {
	config, connected := l.config.Copy(), new(atomic.Bool)
	config.OnNotification = func(_ *pgconn.PgConn, n *pgconn.Notification) {
		l.newest, _ = strconv.ParseInt(n.Payload, 10, 64)
	}
	config.ValidateConnect = func(_ context.Context, conn *pgconn.PgConn) error {
		if conn.ParameterStatus("in_hot_standby") == "on" || conn.ParameterStatus("default_transaction_read_only") == "on" {
			return errStandby // pgx then tries the next host
		}
		connected.Store(true)
		return nil
	}
	// When a call takes too long, pgx would dial again and ask PostgreSQL to cancel it. An
	// append that waits for its synchronous replicas would then be committed without them,
	// for all nodes to see.
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		if connected.Load() {
			return nil, errNoCancel
		}
		return l.config.DialFunc(ctx, network, address)
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err == nil {
		err = l.prepare(ctx, conn)
	}
	if err != nil {
		hangUp(conn)
		return nil, err
	}
	return conn, nil
}

// prepare checks whether this release and PostgreSQL fit together.
func (l *Log) prepare(ctx context.Context, conn *pgx.Conn) error {
	if err := conn.PgConn().Exec(ctx, settings).Close(); err != nil {
		return err
	}
	var release, version int
	var exists bool
	const query = "SELECT current_setting('server_version_num')::int / 10000, to_regclass('presence.head') IS NOT NULL"
	if err := conn.QueryRow(ctx, query).Scan(&release, &exists); err != nil {
		return err
	}
	if release < oldest {
		return unusable("this is PostgreSQL %d: install %d or later", release, oldest)
	}
	if !exists {
		l.logger.InfoContext(ctx, "the log gets its tables in PostgreSQL")
		if err := conn.PgConn().Exec(ctx, schema).Close(); err != nil {
			return err
		}
	}
	if err := conn.QueryRow(ctx, "SELECT version FROM presence.head").Scan(&version); err != nil {
		return err
	}
	if version > schemaVersion {
		return unusable("its tables have the version %d, and this release knows %d: install the newer release here too", version, schemaVersion)
	}
	return nil
}
