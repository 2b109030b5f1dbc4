package presence

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/presence-server/presence/presence/store"
)

// childEnv tells the test binary what to do when a test starts it as another process;
// see TestMain.
const childEnv = "PRESENCE_TEST_CHILD"

// TestMain is also the main function of these other processes.
func TestMain(m *testing.M) {
	task, path, _ := strings.Cut(os.Getenv(childEnv), " ")
	switch task {
	case "":
		os.Exit(m.Run())
	case "upgrade":
		store.Open(context.Background(), path, schemas(endless), slog.New(slog.DiscardHandler))
	case "restore":
		for {
			for _, from := range []string{"a", "b"} {
				if _, err := Restore(context.Background(), path, filepath.Join(filepath.Dir(path), from)); err != nil {
					fmt.Fprintln(os.Stderr, err)
				}
			}
		}
	case "alone":
		alone(path)
	case "unprivileged":
		unprivileged(path)
	}
}

// child starts the test binary as another process.
func child(t *testing.T, task, path string) *exec.Cmd {
	t.Helper()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), childEnv+"="+task+" "+path)
	command.Stderr = t.Output()
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		command.Process.Kill()
		command.Wait()
	})
	return command
}

const (
	addNick = "ALTER TABLE users ADD COLUMN nick TEXT NOT NULL DEFAULT 'none';" +
		"DROP VIEW IF EXISTS needs; CREATE VIEW needs AS SELECT '0.2.0' AS release;"
	broken  = "UPDATE users SET custom_status = 'half'; CREATE TABLE half (x); CREATE TABLE half (x);"
	endless = "UPDATE users SET custom_status = 'half'; CREATE TABLE half (x);" +
		"INSERT INTO half WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT randomblob(1000) FROM n;"
)

// schemas returns the migrations of this release and some more.
func schemas(more ...string) store.Schema {
	schema, err := store.ReadSchema(migrations)
	if err != nil {
		panic(err)
	}
	return append(schema, more...)
}

// fixture is a copy of the database of a released schema.
func fixture(t *testing.T, schema int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "presence.db")
	copyFile(t, fmt.Sprintf("testdata/schema-%d.sqlite", schema), path)
	return path
}

// TestEveryReleasedSchemaOpens opens databases with everything that testdata/make.sh
// has stored.
func TestEveryReleasedSchemaOpens(t *testing.T) {
	newest := known(t)
	for schema := 1; schema <= newest; schema++ {
		path := fixture(t, schema)
		if c, err := Check(t.Context(), path); err != nil || c.Schema != schema || c.Users != 6 {
			t.Errorf("schema %d: %+v %v", schema, c, err)
		}
		synctest.Test(t, func(t *testing.T) { checkFixture(t, path, schema) })
		_, err := os.Stat(fmt.Sprintf("%s.before-schema-%d", path, newest))
		if made := err == nil; made != (schema < newest) {
			t.Errorf("schema %d: backed up before its schema changes: %v", schema, made)
		}
		if c, err := Check(t.Context(), path); err != nil || c.Schema != newest {
			t.Errorf("schema %d, opened: %+v %v", schema, c, err)
		}
	}
}

// checkFixture opens the database at the time at which it was created, because the
// clock never goes back behind a database.
func checkFixture(t *testing.T, path string, schema int) {
	w := &world{t: t, path: path, settings: DefaultSettings()}
	w.start()
	for _, want := range []string{
		"alice ONLINE In a call", "bob UNLOGINED Línea 1\nzwei 🙂", "carol UNLOGINED", "dave OFFLINE", "erin UNLOGINED", "frank UNLOGINED",
	} {
		w.is(want, "an upgrade changes no status")
	}
	if err := w.Admit(t.Context(), "erin", w.Now().Add(-time.Hour)); ErrorCode(err) != CodeRevoked {
		t.Errorf("a token from before a kick returned %v", err)
	}
	if _, err := w.Connect(t.Context(), Device{UserID: "erin", ID: "tablet", IssuedAt: w.Now(), Resume: true}); !errors.Is(err, ErrKicked) {
		t.Errorf("a kicked device returned %v", err)
	}
	if schema >= 2 {
		wantCode(t, w.Admit(t.Context(), "gina", w.Now().Add(-time.Hour)), CodeRevoked, "a token from before a deletion")
		_, err := w.Connect(t.Context(), Device{UserID: "erin", IssuedAt: w.Now().Add(-time.Hour), Resume: true, Cursor: 1})
		if !errors.Is(err, ErrKicked) {
			t.Errorf("a kicked device without an ID returned %v", err)
		}
	}
	if schema >= 4 {
		bob, _ := w.Self("bob")
		erin, _ := w.Self("erin")
		if len(bob.Entries) != 2 || bob.Entries[1].Source != "call" || !erin.Invisible {
			t.Errorf("bob has the entries %v, and erin is invisible: %v", bob.Entries, erin.Invisible)
		}
	}
	w.connect(Device{UserID: "frank", ID: "tab", Resume: true}).wants("alice ONLINE In a call", "dave OFFLINE", "frank ONLINE")
	w.connect(Device{UserID: "dave", ID: "phone", Platform: Android, Resume: true}).wants("alice ONLINE In a call", "dave ONLINE")
	alice := w.connect(Device{UserID: "alice", ID: "laptop", Resume: true})
	alice.wants("alice ONLINE In a call", "bob UNLOGINED Línea 1\nzwei 🙂", "carol UNLOGINED")
	w.set("carol", "Hi", 0)
	alice.wants("carol UNLOGINED Hi")
	w.must(w.Close())
}

// upgrade opens a database with more migrations than this release has, and returns
// what is logged.
func upgrade(t *testing.T, path string, more ...string) (log string, err error) {
	t.Helper()
	var lines bytes.Buffer
	db, err := store.Open(t.Context(), path, schemas(more...), slog.New(slog.NewTextHandler(&lines, nil)))
	if err == nil {
		err = db.Close()
	}
	return lines.String(), err
}

// checkAs is the Check of a release with more migrations.
func checkAs(t *testing.T, path string, more ...string) (CheckResult, error) {
	t.Helper()
	return checkAgainst(t.Context(), path, schemas(more...))
}

func known(t *testing.T) int {
	t.Helper()
	return len(schemas())
}

// staysUsable checks that a database is still what this release has left.
func staysUsable(t *testing.T, path string) {
	t.Helper()
	if c, err := Check(t.Context(), path); err != nil || c.Users != 6 {
		t.Errorf("%s: %+v %v", path, c, err)
	}
	synctest.Test(t, func(t *testing.T) { checkFixture(t, path, known(t)) })
}

func TestUpgradeKeepsABackup(t *testing.T) {
	now := known(t)
	path := fixture(t, now)
	kept := fmt.Sprintf("%s.before-schema-%d", path, now+2)
	if c, err := checkAs(t, path, addNick); err != nil || c.Schema != now || c.Newest != now+1 {
		t.Errorf("before the upgrade: %+v %v", c, err)
	}
	for _, name := range []string{".1.partial", ".1.partial-journal"} {
		if err := os.WriteFile(kept+name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	log, err := upgrade(t, path, addNick, "CREATE TABLE more (x)")
	if err != nil {
		t.Fatal(err)
	}
	if found, _ := filepath.Glob(kept + ".*"); len(found) > 0 {
		t.Errorf("an upgrade that was killed left %v", found)
	}
	if c, err := checkAs(t, path, addNick, "CREATE TABLE more (x)"); err != nil || c.Schema != now+2 {
		t.Errorf("after the upgrade: %+v %v", c, err)
	}
	if !strings.Contains(log, "file="+kept) {
		t.Errorf("the log doesn't name the backup %s:\n%s", kept, log)
	}
	if got := userVersion(t, path); got != now+2 {
		t.Errorf("the schema is %d, want %d", got, now+2)
	}
	if file, err := os.Stat(kept); err != nil || file.Mode().Perm() != 0o600 {
		t.Errorf("the backup: %v %v", file, err)
	}
	want := fmt.Sprintf("has schema %d, which needs presence 0.2.0 or newer: this one knows schemas up to %d", now+2, now)
	refuses(t, path, "the schema of a newer release", want)
	if _, err := Check(t.Context(), path); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Check returns %v, want %q", err, want)
	}
	staysUsable(t, kept)
	if err := os.Remove(kept); err != nil {
		t.Fatal(err)
	}
	if log, err := upgrade(t, path, addNick, "CREATE TABLE more (x)"); err != nil || log != "" {
		t.Errorf("opened again: %v\n%s", err, log)
	}
	if _, err := os.Stat(kept); err == nil {
		t.Error("a backup was created although there is nothing to migrate")
	}
}

func TestNewDatabaseNeedsNoBackup(t *testing.T) {
	path := filepath.Join(t.TempDir(), "presence.db")
	if log, err := upgrade(t, path, addNick); err != nil || log != "" {
		t.Errorf("%v\n%s", err, log)
	}
	if found, _ := filepath.Glob(path + ".*"); len(found) > 0 {
		t.Errorf("the folder of a new database also holds %v", found)
	}
}

func TestFailedUpgradeLeavesTheDatabase(t *testing.T) {
	path := fixture(t, known(t))
	for range 2 { // a service manager starts the program again and again, which must not fill the disk
		if _, err := upgrade(t, path, addNick, broken); err == nil || !strings.Contains(err.Error(), "can't be brought to") {
			t.Fatalf("a migration that fails is reported as %v", err)
		}
	}
	if found, _ := filepath.Glob(path + ".*"); len(found) != 1 {
		t.Errorf("after two failures the folder holds %v, want one backup", found)
	}
	staysUsable(t, path)
}

func TestNoUpgradeWithoutABackup(t *testing.T) {
	now := known(t)
	path := fixture(t, now)
	if err := os.Mkdir(fmt.Sprintf("%s.before-schema-%d", path, now+1), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := upgrade(t, path, addNick)
	if err == nil || !strings.Contains(err.Error(), "because it can't be backed up") {
		t.Errorf("without a place for the backup: %v", err)
	}
	if found, _ := filepath.Glob(path + ".*.partial"); len(found) > 0 {
		t.Errorf("afterwards the folder holds %v", found)
	}
	staysUsable(t, path)
}

// TestUpgradeKilled uses kill -9 in the middle of a migration that has already written
// to the log.
func TestUpgradeKilled(t *testing.T) {
	path := fixture(t, known(t))
	upgrading := child(t, "upgrade", path)
	for deadline := time.Now().Add(time.Minute); ; {
		if log, err := os.Stat(path + "-wal"); err == nil && log.Size() > 4<<20 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the migration wrote nothing")
		}
	}
	upgrading.Process.Kill()
	upgrading.Wait()
	staysUsable(t, path)
}
