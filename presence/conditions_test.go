package presence

import (
	"context"
	"os"
	"strings"
	"testing"
	"testing/synctest"
)

// damages are databases whose pages and schema are intact, each with the condition
// that it violates.
var damages = []struct{ sql, want string }{
	{"DELETE FROM service", "service has a number of rows other than one"},
	{"UPDATE service SET version = -1", "service has a version out of range"},
	{"UPDATE service SET version = 9223372036854775800", "service has a version out of range"},
	{"UPDATE service SET version = 7", "users has a version that was never issued"},
	{"UPDATE service SET clock = -5", "service has a clock before 1970 or after 2100"},
	{"UPDATE service SET clock = 10098000000000000", "service has a clock before 1970 or after 2100"}, // 2290
	{"UPDATE service SET run = 9223372036854775807", "service has a run out of range"},
	{"UPDATE service SET run = -1", "service has a run out of range"},
	{"UPDATE service SET next_user = 4294967296", "service has a next_user out of range"},
	{"UPDATE service SET next_user = 6", "users has an id that would be issued again"},
	{"UPDATE service SET user_status = 2", "service has a switch that is neither on nor off"},
	{"UPDATE service SET friends_since = version + 1", "service has a switch that was turned on at a version that was never issued"},
	{"UPDATE users SET id = 4000000000 WHERE user_id = 'bob'", "users has an id out of range"},
	{"UPDATE users SET id = -1 WHERE user_id = 'bob'", "users has an id out of range"},
	{"UPDATE users SET id = 4294967298 WHERE user_id = 'bob'", "users has an id out of range"}, // 2 as a uint32
	{"UPDATE users SET user_id = '' WHERE user_id = 'bob'", "users has a user_id that is empty or too long"},
	{"UPDATE users SET user_id = printf('%200d', 1) WHERE user_id = 'bob'", "users has a user_id that is empty or too long"},
	{"UPDATE users SET user_id = 'b' || char(10) WHERE user_id = 'bob'", `users has "b\n" as an ID`},
	{"UPDATE users SET user_id = CAST(x'ff' AS TEXT) WHERE user_id = 'bob'", `users has "\xff" as an ID`},
	{"UPDATE users SET custom_status = CAST(x'41ff' AS TEXT) WHERE user_id = 'bob'", `users has a text for "bob" that is not UTF-8`},
	{"UPDATE users SET custom_status = printf('%70000d', 1) WHERE user_id = 'bob'", "users has a custom_status that is too long"},
	{"UPDATE users SET status_type = 4 WHERE user_id = 'bob'", "users has an unknown status_type"},
	{"UPDATE users SET status_type = 0 WHERE user_id = 'bob'", "users has an unknown status_type"},
	{"UPDATE users SET status_type = -1 WHERE user_id = 'bob'", "users has an unknown status_type"},
	{"UPDATE users SET status_type = 300 WHERE user_id = 'bob'", "users has an unknown status_type"},
	{"UPDATE users SET status_type = 1 WHERE user_id = 'bob'", "users has a status_type that needs a device, but no device"},
	{"UPDATE users SET version = -1 WHERE user_id = 'bob'", "users has a version that was never issued"},
	{"UPDATE users SET expires_at = 9223372036854775807 WHERE user_id = 'bob'", "users has an entry out of range"},
	{"UPDATE users SET expires_at = (SELECT clock FROM service) + 800 * 86400000000 WHERE user_id = 'bob'", "users has an entry out of range"},
	{"UPDATE users SET clear_at = 9223372036854775807 WHERE user_id = 'bob'", "users has a clear_at out of range"},
	{"UPDATE users SET revoked_at = -1 WHERE user_id = 'bob'", "users has a revoked_at out of range"},
	{"UPDATE users SET public_status_type = 0 WHERE user_id = 'bob'", "users has an unknown public_status_type"},
	{"UPDATE users SET public_version = version + (SELECT version FROM service) WHERE user_id = 'bob'", "users has a public_version that was never issued"},
	{"UPDATE users SET last_seen = 4294967296 WHERE user_id = 'bob'", "users has a last_seen in the future"},
	{"UPDATE users SET public_last_seen = -1 WHERE user_id = 'bob'", "users has a last_seen in the future"},
	{"UPDATE users SET invisible = 2 WHERE user_id = 'bob'", "users has a flag that is neither 0 nor 1"},
	{"UPDATE users SET availability = 4 WHERE user_id = 'bob'", "users has an entry out of range"},
	{"UPDATE users SET priority = 300 WHERE user_id = 'bob'", "users has an entry out of range"},
	{"UPDATE entries SET user = 77", "entries has a user who doesn't exist"},
	{"UPDATE entries SET source = ''", "entries has a malformed source"},
	{"UPDATE entries SET source = 'Call'", "entries has a malformed source"},
	{"UPDATE entries SET custom_status = printf('%70000d', 1)", "entries has a custom_status that is too long"},
	{"UPDATE entries SET custom_status = CAST(x'41ff' AS TEXT)", "entries has a text for \"call\" that is not UTF-8"},
	{"UPDATE entries SET waiting = 7", "entries has an entry out of range"},
	{"UPDATE entries SET custom_status = ''", "entries has an entry that says nothing"},
	{"UPDATE entries SET expires_at = 0", "entries has an entry that never ends"},
	{"UPDATE devices SET idle = 3", "devices has a flag that is neither 0 nor 1"},
	{"UPDATE devices SET user = 77", "devices has a user who doesn't exist"},
	{"UPDATE devices SET user = -1 WHERE device_id = 'phone'", "devices has a user who doesn't exist"},
	{"UPDATE devices SET device_id = '' WHERE device_id = 'phone'", "devices has a device_id that is empty or too long"},
	{"UPDATE devices SET device_id = ' x' WHERE device_id = 'phone'", `devices has " x" as an ID`},
	{"UPDATE devices SET platform = 'toaster'", "devices has an unknown platform"},
	{"UPDATE devices SET run = 1000", "devices has a run that never started"},
	{"UPDATE devices SET stream = -1", "devices has a stream out of range"},
	{"UPDATE devices SET retain_until = 9223372036854775807", "devices has a time out of range"},
	{"UPDATE devices SET since = -9223372036854775807", "devices has a time out of range"},
	{"UPDATE kicks SET user_id = '' WHERE device_id = 'tablet'", "kicks has an ID that is empty or too long"},
	{"UPDATE kicks SET type = 'fun'", "kicks has an unknown type"},
	{"UPDATE kicks SET version = 9223372036854775807", "kicks has a version that was never issued"},
	{"UPDATE kicks SET at = 9223372036854775807", "kicks has a time out of range"},
	{"UPDATE kicks SET until = 9223372036854775807", "kicks has an end more than a minute ahead"},
	{"INSERT INTO jumps VALUES (-4, -2)", "jumps has an impossible range"},
	{"INSERT INTO jumps VALUES (9, 5)", "jumps has an impossible range"},
	{"INSERT INTO jumps SELECT above + 1, below - 1 FROM jumps", "jumps has jumps that overlap"},
	{"UPDATE deleted SET hash = x'00'", "deleted has a hash of the wrong length"},
	{"UPDATE deleted SET at = -1", "deleted has a time out of range"},
	{"UPDATE deletion_key SET key = x''", "deletion_key has a key of the wrong length"},
	{"DELETE FROM deletion_key", "deletion_key has hashes of deleted users, but no key for them"},
	{"INSERT INTO leftovers VALUES (2)", "leftovers has a user who isn't deleted"},
	{"INSERT INTO leftovers VALUES (-2)", "leftovers has a user who isn't deleted"},
	{"INSERT INTO subscriptions VALUES (6, 77, 1)", "subscriptions has a user who doesn't exist"},
	{"INSERT INTO subscriptions VALUES (77, 6, 1)", "subscriptions has a user who doesn't exist"},
	{"INSERT INTO subscriptions VALUES (6, -1, 1)", "subscriptions has a user who doesn't exist"},
	{"INSERT INTO subscriptions VALUES (6, 4000000000, 1)", "subscriptions has a user who doesn't exist"},
	{"INSERT INTO subscriptions VALUES (6, 6, 1)", "subscriptions has a user who subscribes to themselves"},
	{"UPDATE subscriptions SET since = 9223372036854775807", "subscriptions has a version that was never issued"},
	{"INSERT INTO friends VALUES (6, 77, 1)", "friends has a user who doesn't exist"},
	{"INSERT INTO friends VALUES (6, -9223372036854775807, 1)", "friends has a user who doesn't exist"},
	{"INSERT INTO run_ends VALUES (1, 1, 2, 0, 0)", "run_ends has a time out of range"},
	{"INSERT INTO run_ends VALUES (1, 1, 1, -1, 0)", "run_ends has a duration out of range"},
	{"DELETE FROM runs", "devices has a run that was forgotten"},
	{"UPDATE devices SET run = 0, stream = 1", "devices has a stream of no run"},
	{"INSERT INTO runs VALUES (1000, '', 0, 0, '', 0, 0, 0, 0, 0)", "runs has a run that never started"},
	{"UPDATE runs SET beats = -1", "runs has a count out of range"},
	{"UPDATE runs SET beat_2 = beat_1 + 1", "runs has beats out of order"},
	{"UPDATE runs SET beat_1 = 9223372036854775807", "runs has beats out of order"},
	{"DELETE FROM node", "node has a number of rows other than one"},
	{"UPDATE node SET place = -1", "node has a place out of range"},
	{"INSERT INTO feeds VALUES ('', 1)", "feeds has a name that is empty or too long"},
	{"INSERT INTO feeds VALUES ('backend', 1 << 52)", "feeds has a version that was never issued"},
	{"INSERT INTO gone VALUES ('alice', 1)", "gone has a user who isn't deleted"},
	{"INSERT INTO gone VALUES ('zoe', -1)", "gone has a version that was never issued"},
	{"INSERT INTO friends VALUES (6, 6, 1)", "friends has a user who is their own friend"},
	{"UPDATE friends SET since = -1", "friends has a version that was never issued"},
}

// TestDamagedDatabases checks that Check and Restore report each damage, with what to
// do, and that a service either refuses the database or works in spite of the damage.
func TestDamagedDatabases(t *testing.T) {
	hit := make(map[string]bool)
	for _, d := range damages {
		path := fixture(t, known(t))
		execSQL(t, path, d.sql)
		_, err := Check(t.Context(), path)
		if err == nil || !strings.Contains(err.Error(), d.want) || !strings.Contains(err.Error(), "restore a backup") {
			t.Errorf("%s: Check returns %v, want %q", d.sql, err, d.want)
			continue
		}
		if _, err := Restore(t.Context(), path+".other", path); err == nil {
			t.Errorf("%s: it was restored", d.sql)
		}
		hit[d.want] = true
		synctest.Test(t, func(t *testing.T) { opensOrRefuses(t, path, d.sql, d.want) })
	}
	for _, c := range conditionsOf(latest) {
		_, what, _ := strings.Cut(c.broken("x", 1).Error(), ": ")
		what, _, _ = strings.Cut(what, " (")
		if !hit[what] {
			t.Errorf("no database of this test violates this condition: %s", what)
		}
	}
}

func opensOrRefuses(t *testing.T, path, damage, want string) {
	svc, err := Open(context.Background(), Config{Path: path})
	if err != nil {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: refused with %v, want %q", damage, err, want)
		}
		return
	}
	for _, c := range conditionsOf(latest) {
		if !c.slow && strings.Contains(c.broken("x", 1).Error(), want) {
			t.Errorf("%s: a service starts on it", damage)
		}
	}
	w := &world{t: t, Service: svc, path: path, settings: svc.Settings()}
	w.settings.Subscriptions, w.settings.Friends = 1, 1
	w.must(w.Configure(t.Context(), w.settings))
	frank := w.connect(Device{UserID: "frank", ID: "tab", Resume: true})
	w.web("alice", "tab")
	if _, err := w.Subscribe(t.Context(), "frank", []string{"carol", "bob", "dave"}); err != nil {
		t.Errorf("%s: subscribing gives %v", damage, err)
	}
	for _, err := range []error{
		func() error { _, err := w.AddFriends(t.Context(), "frank", []string{"bob"}, true); return err }(),
		func() error { _, err := w.SetFriends(t.Context(), "frank", []string{"bob"}, true); return err }(),
		func() error { _, err := w.Explain(t.Context(), "frank"); return err }(),
		func() error { _, _, err := w.Friends(t.Context(), "frank", "", 10); return err }(),
		w.UnsubscribeAll(t.Context(), "frank"), w.Logout(t.Context(), "alice", ""),
	} {
		if err != nil {
			t.Errorf("%s: %v", damage, err)
		}
	}
	w.set("bob", "still here", 0)
	frank.Close()
	w.remove("frank", "bob")
	w.pass(0)
	w.must(w.Close())
}

// TestADamagedDatabaseOfAnOlderSchema checks that it is reported, too.
func TestADamagedDatabaseOfAnOlderSchema(t *testing.T) {
	for schema := 1; schema < known(t); schema++ {
		path := fixture(t, schema)
		execSQL(t, path, "UPDATE users SET status_type = 9 WHERE user_id = 'bob'", "INSERT INTO friends VALUES (6, 77, 1)")
		before, _ := os.ReadFile(path)
		_, err := Check(t.Context(), path)
		for _, want := range []string{"users has an unknown status_type", "friends has a user who doesn't exist"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("schema %d: Check returns %v, want %q", schema, err, want)
			}
		}
		if after, _ := os.ReadFile(path); string(after) != string(before) {
			t.Errorf("schema %d: the check changed the file", schema)
		}
		refuses(t, path, "a damaged database of an older schema", "users has an unknown status_type")
	}
}

// TestAHealthyDatabaseMeetsAllConditions checks this for a database in which every
// kind of row is stored. See also TestModel.
func TestAHealthyDatabaseMeetsAllConditions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, func(s *Settings) { s.OfflineRetention, s.CustomStatusTTL = maxDuration, maxDuration })
		w.register("bob", "carol")
		w.ios("alice", "phone").Close()
		w.set("alice", "x", maxExpiry)
		w.set("bob", "x", 0)
		w.subscribe("alice", "bob", "carol")
		w.befriend("carol", "alice")
		w.must(w.Kick(t.Context(), "carol"))
		w.remove("bob")
		if err := checkConditions(t.Context(), w.store.Reader(), w.path, latest, false); err != nil {
			t.Error(err)
		}
	})
}
