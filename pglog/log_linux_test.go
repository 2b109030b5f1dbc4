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
