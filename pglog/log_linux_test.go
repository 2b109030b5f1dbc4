package pglog

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/presence-server/presence/deploy/testserver"
	"github.com/presence-server/presence/presence"
)

func TestConformance(t *testing.T) {
	postgres := testserver.StartPostgres(t)
	testLog(t, func(t *testing.T) func(time.Duration) presence.Log {
		url := newDatabase(t, postgres)
		return func(kept time.Duration) presence.Log {
			log := open(t, url)
			log.kept = kept
			return log
		}
	})
}

// TestTrimsMuch removes more entries than one statement does, up to the first one that is
// young, even if older ones follow it.
func TestTrimsMuch(t *testing.T) {
	postgres := testserver.StartPostgres(t)
	log := open(t, postgres.URL("postgres"))
	log.kept = time.Hour
	sql := func(statements string) {
		t.Helper()
		if _, err := postgres.SQL("postgres", statements); err != nil {
			t.Fatal(err)
		}
	}
	check := func(place int64, want presence.LogState) {
		t.Helper()
		if err := log.SaveSnapshot(ctxOf(t), place, strings.NewReader("")); err != nil {
			t.Fatal(err)
		}
		if state := stateOf(t, log); state.First != want.First || state.Bytes != want.Bytes {
			t.Errorf("after a snapshot at place %d, the state is %+v, want %+v", place, state, want)
		}
	}
	sql(`INSERT INTO presence.entries SELECT place, now() - '2h'::interval, '123' FROM generate_series(1, 25000) place;
		UPDATE presence.head SET last = 25000, bytes = 75000;
		UPDATE presence.entries SET at = now() WHERE place = 5 OR place > 24000`)
	check(0, presence.LogState{First: 1, Bytes: 75000})
	check(1, presence.LogState{First: 2, Bytes: 74997})
	check(25000, presence.LogState{First: 5, Bytes: 74988})
	sql("UPDATE presence.entries SET at = now() - '2h'::interval WHERE place = 5")
	appendTo(t, log, "123")
	check(25001, presence.LogState{First: 24001, Bytes: 3003})
}

// newDatabase creates a database with the name of the test, and returns its URL.
func newDatabase(t *testing.T, postgres *testserver.Postgres) string {
	t.Helper()
	name := strings.ToLower(strings.ReplaceAll(t.Name(), "/", "_"))
	if _, err := postgres.SQL("postgres", fmt.Sprintf("CREATE DATABASE %s", name)); err != nil {
		t.Fatal(err)
	}
	return postgres.URL(name)
}

func open(t *testing.T, url string) *Log {
	t.Helper()
	log, err := Open(ctxOf(t), url, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	return log
}
