package pglog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/presence-server/presence/deploy/testserver"
	"github.com/presence-server/presence/presence"
)

// TestKilledEngine kills PostgreSQL twice while ten writers append, who append the same
// again after an error, and a reader reads.
func TestKilledEngine(t *testing.T) {
	t.Parallel()
	postgres := testserver.StartPostgres(t)
	url := postgres.URL("postgres")
	const writers, each = 10, 300
	var acknowledged atomic.Int64
	var all sync.WaitGroup
	for w := range writers {
		log := open(t, url)
		all.Go(func() {
			for i := range each {
				for again := true; again && t.Context().Err() == nil; {
					err := log.Append(ctxOf(t), fmt.Appendf(nil, "%d %d", w, i))
					again = err != nil
				}
				acknowledged.Add(1)
			}
		})
	}
	var entries []presence.LogEntry // as the reader sees them, by place
	reader := open(t, url)
	readTo := func(place int64) {
		for int64(len(entries)) < place {
			some, err := reader.Next(ctxOf(t), int64(len(entries)))
			if err == nil {
				entries = append(entries, some...)
			}
		}
	}
	for _, kill := range []int64{writers * each / 3, writers * each * 2 / 3} {
		readTo(kill)
		postgres.Kill()
		if err := postgres.Start(); err != nil {
			t.Fatal(err)
		}
	}
	all.Wait()
	if acknowledged.Load() != writers*each {
		t.Fatalf("%d entries were acknowledged, want %d", acknowledged.Load(), writers*each)
	}
	last := stateOf(t, open(t, url)).Last
	readTo(last)
	kept := entriesOf(t, open(t, url), 0, int(last))
	checkWriters(t, kept, writers, each)
	for i := range entries {
		if entries[i].Place != kept[i].Place || string(entries[i].Data) != string(kept[i].Data) {
			t.Fatalf("the reader saw %q at the place of %q", entries[i].Data, kept[i].Data)
		}
	}
	t.Logf("%d entries, %d of them repeats", last, last-writers*each)
}

// TestHungEngine stops the processes of PostgreSQL, so that it neither answers nor closes
// a connection.
func TestHungEngine(t *testing.T) {
	t.Parallel()
	postgres := testserver.StartPostgres(t)
	log := open(t, postgres.URL("postgres"))
	appendTo(t, log, "0 0")
	entriesOf(t, log, 0, 1)
	postgres.Pause()
	calls := map[string]func() error{
		"Append":       func() error { return log.Append(ctxOf(t), []byte("0 1")) },
		"Next":         func() error { _, err := log.Next(ctxOf(t), 1); return err },
		"State":        func() error { _, err := log.State(ctxOf(t)); return err },
		"SaveSnapshot": func() error { return log.SaveSnapshot(ctxOf(t), 0, strings.NewReader("state")) },
		"LoadSnapshot": func() error { _, err := log.LoadSnapshot(ctxOf(t), io.Discard); return err },
		"Open": func() error {
			_, err := Open(ctxOf(t), postgres.URL("postgres"), slog.New(slog.DiscardHandler))
			return err
		},
	}
	var all sync.WaitGroup
	for name, call := range calls {
		all.Go(func() {
			began := time.Now()
			err := call()
			if took := time.Since(began); took > timeout+poll+time.Second {
				t.Errorf("%s returned after %v", name, took)
			}
			if (err == nil) != (name == "Open") || errors.Is(err, presence.ErrLogUnusable) {
				t.Errorf("%s returned %v", name, err)
			}
			t.Logf("%s: %v", name, err)
		})
	}
	all.Wait()
	began := time.Now()
	log.Close()
	if took := time.Since(began); took > time.Second {
		t.Errorf("Close took %v", took)
	}
	postgres.Continue()
	again := open(t, postgres.URL("postgres"))
	appendTo(t, again, "0 1")
	checkWriters(t, entriesOf(t, again, 0, int(stateOf(t, again).Last)), 1, 2)
}

// TestTerminatedConnections ends all connections, as an administrator or a firewall does.
func TestTerminatedConnections(t *testing.T) {
	postgres := testserver.StartPostgres(t)
	log := open(t, postgres.URL("postgres"))
	for i := range int64(5) {
		appendTo(t, log, "entry")
		entriesOf(t, log, i, 1)
		waiting := make(chan error)
		go func() {
			_, err := log.Next(ctxOf(t), i+1)
			waiting <- err
		}()
		const terminate = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = '' AND pid <> pg_backend_pid()"
		if _, err := postgres.SQL("postgres", terminate); err != nil {
			t.Fatal(err)
		}
		if err := <-waiting; err == nil {
			t.Error("Next returned no error")
		}
		if err := log.Append(ctxOf(t), []byte("lost")); err == nil {
			t.Error("Append returned no error")
		}
	}
	if last := stateOf(t, log).Last; last != 5 {
		t.Errorf("the log has %d entries, want 5", last)
	}
}

// TestStart opens a log before there is a server, and three at once in an empty database.
func TestStart(t *testing.T) {
	postgres := testserver.StartPostgres(t)
	postgres.Stop()
	logs := make([]presence.Log, 3)
	for i := range logs {
		logs[i] = open(t, postgres.URL("postgres"))
		if err := logs[i].Append(ctxOf(t), []byte("too early")); err == nil || errors.Is(err, presence.ErrLogUnusable) {
			t.Errorf("without a server, Append returned %v", err)
		}
	}
	if err := postgres.Start(); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for _, log := range logs {
		all.Go(func() { appendTo(t, log, "entry") })
	}
	all.Wait()
	entriesOf(t, logs[0], 0, len(logs))
}

// TestRewoundLog replaces the tables while a node waits, as a restored dump does. The node
// must go on waiting, and not ask again and again.
func TestRewoundLog(t *testing.T) {
	postgres := testserver.StartPostgres(t, "log_statement=all")
	log, other := open(t, postgres.URL("postgres")), open(t, postgres.URL("postgres"))
	appendTo(t, log, "entry 1")
	waiting := make(chan error)
	go func() {
		_, err := log.Next(ctxOf(t), 1)
		waiting <- err
	}()
	awaitReader(t, postgres)
	appendTo(t, other, "entry 2")
	if err := <-waiting; err != nil {
		t.Fatal(err)
	}
	if _, err := postgres.SQL("postgres", "TRUNCATE presence.entries; UPDATE presence.head SET last = 0"); err != nil {
		t.Fatal(err)
	}
	before := strings.Count(postgres.Log(), "LEFT JOIN")
	short, cancel := context.WithTimeout(ctxOf(t), poll/2)
	defer cancel()
	if entries, err := log.Next(short, 0); err == nil {
		t.Errorf("Next returned %v", entries)
	}
	if queries := strings.Count(postgres.Log(), "LEFT JOIN") - before; queries != 1 {
		t.Errorf("Next asked %d times, want once", queries)
	}
}

// TestLostNotification checks that Next finds an entry that was added without one.
func TestLostNotification(t *testing.T) {
	postgres := testserver.StartPostgres(t)
	log := open(t, postgres.URL("postgres"))
	waiting := make(chan error)
	go func() {
		_, err := log.Next(ctxOf(t), 0)
		waiting <- err
	}()
	awaitReader(t, postgres)
	if _, err := postgres.SQL("postgres", "INSERT INTO presence.entries VALUES (1, now(), 'entry'); UPDATE presence.head SET last = 1"); err != nil {
		t.Fatal(err)
	}
	if err := <-waiting; err != nil {
		t.Fatal(err)
	}
}

// awaitReader waits until the first call of Next has found nothing.
func awaitReader(t *testing.T, postgres *testserver.Postgres) {
	t.Helper()
	awaitSQL(t, postgres, "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle' AND query LIKE '%LEFT JOIN%'", "1")
}

// TestSynchronousStandby checks that an append waits for the standby although the server's
// default is not to wait, and that nobody sees an entry that the standby doesn't have.
func TestSynchronousStandby(t *testing.T) {
	t.Parallel()
	primary := testserver.StartPostgres(t, "synchronous_commit=off")
	log := open(t, primary.URL("postgres"))
	standby := primary.StartStandby(t, "standby")
	awaitSQL(t, primary, "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'", "1")
	if warnings := stateOf(t, log).Warnings; len(warnings) != 1 || !strings.Contains(warnings[0], "synchronous_standby_names") {
		t.Errorf("with an asynchronous standby, the warnings are %q", warnings)
	}
	if _, err := primary.SQL("postgres", "ALTER SYSTEM SET synchronous_standby_names = 'standby'"); err != nil {
		t.Fatal(err)
	}
	awaitSQL(t, primary, "SELECT pg_reload_conf()", "t")
	awaitSQL(t, primary, "SELECT sync_state FROM pg_stat_replication", "sync")
	appendTo(t, log, "both have it")
	if warnings := stateOf(t, log).Warnings; len(warnings) != 0 {
		t.Errorf("with a synchronous standby, the warnings are %q", warnings)
	}
	standby.Pause()
	if err := log.Append(ctxOf(t), []byte("one has it")); err == nil {
		t.Error("Append didn't wait for the standby")
	}
	other := open(t, primary.URL("postgres"))
	short, cancel := context.WithTimeout(ctxOf(t), 2*poll)
	defer cancel()
	if entries, err := other.Next(short, 1); err == nil {
		t.Errorf("a node sees %q, which the standby lacks", entries[0].Data)
	}
	standby.Continue()
	entriesOf(t, other, 1, 1)

	// The standby takes over. The URL names both servers.
	if err := open(t, standby.URL("postgres")).Append(ctxOf(t), []byte("entry")); err == nil || !strings.Contains(err.Error(), errStandby.Error()) {
		t.Errorf("an append to a standby returned %v", err)
	}
	both := fmt.Sprintf("%s,%s", standby.Address, primary.Address)
	url := strings.Replace(primary.URL("postgres"), primary.Address, both, 1)
	moving := open(t, url)
	entriesOf(t, moving, 0, 2)
	primary.Kill()
	if _, err := standby.SQL("postgres", "SELECT pg_promote()"); err != nil {
		t.Fatal(err)
	}
	for ctx := ctxOf(t); ; {
		if err := moving.Append(ctx, []byte("the new primary has it")); err == nil {
			break
		} else if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
	if _, err := moving.Next(ctxOf(t), 0); err == nil {
		t.Error("Next didn't notice that the primary was killed")
	}
	entriesOf(t, moving, 0, 3)
}

func awaitSQL(t *testing.T, postgres *testserver.Postgres, query, want string) {
	t.Helper()
	for ctx := ctxOf(t); ; {
		got, err := postgres.SQL("postgres", query)
		if err != nil {
			t.Fatal(err)
		}
		if got == want {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("%s returns %q, want %q", query, got, want)
		}
	}
}
