package presence

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/presence-server/presence/presence/store"
)

// Bounds of what a database may hold. Within them nothing that the service adds
// to it overflows.
const (
	maxUsers    = 1 << 28                               // users.id, of which the model keeps an array
	maxVersion  = 1 << 52                               // at a start; the jump of the year 2106
	maxCount    = 1 << 53                               // of runs and streams
	lastClock   = 4_102_444_800_000_000                 // the year 2100
	lastMoment  = lastClock + 101*365*24*3600*1_000_000 // lastClock and maxDuration
	longestText = maxCustomStatusBytes
)

// condition describes rows that a valid table doesn't have. bad is an SQL
// expression that is true for such a row; what names it in the error.
type condition struct {
	from string // a table, or a query in parentheses
	bad  string
	what string
	slow bool // too slow to check at each start; a service works even with such rows
}

// conditions are the conditions that [Open] and [Check] search for in a database
// whose pages and schema are intact.
var conditions = [...]condition{
	{"(SELECT count(*) AS rows FROM service)", "rows <> 1", "a number of rows other than one", false},
	{"service", "version NOT BETWEEN 0 AND " + number10(maxVersion), "a version out of range", false},
	{"service", "clock NOT BETWEEN 0 AND " + number10(lastClock), "a clock before 1970 or after 2100", false},
	{"service", "run NOT BETWEEN 0 AND " + number10(maxCount), "a run out of range", false},
	{"service", "next_user NOT BETWEEN 1 AND " + number10(maxUsers+1), "a next_user out of range", false},
	{"service", "user_status NOT IN (0, 1) OR friend_notifications NOT IN (0, 1)", "a switch that is neither on nor off", false},
	{"service", "user_status_since NOT BETWEEN 0 AND version OR friends_since NOT BETWEEN 0 AND version", "a switch that was turned on at a version that was never issued", false},
	{"users", "id NOT BETWEEN 1 AND " + number10(maxUsers), "an id out of range", false},
	{"users", "id >= (SELECT next_user FROM service)", "an id that would be issued again", false},
	{"users", "octet_length(user_id) NOT BETWEEN 1 AND 128", "a user_id that is empty or too long", false},
	{"users", "status_type NOT IN (1, 2, 3)", "an unknown status_type", false},
	{"users", "version NOT BETWEEN 0 AND (SELECT version FROM service)", "a version that was never issued", false},
	{"users", outside("clear_at"), "a clear_at out of range", false},
	{"users", outside("revoked_at"), "a revoked_at out of range", false},
	{"users", tooLong, "a custom_status that is too long", false},
	{"users", "status_type IN (1, 2) AND id NOT IN (SELECT user FROM devices)", "a status_type that needs a device, but no device", true},
	{"devices", "user NOT IN (SELECT id FROM users)", "a user who doesn't exist", false},
	{"devices", "octet_length(device_id) NOT BETWEEN 1 AND 128", "a device_id that is empty or too long", false},
	{"devices", "platform NOT IN ('web', 'android', 'ios', 'ipad', 'windows', 'mac', 'linux')", "an unknown platform", false},
	{"devices", "run NOT BETWEEN 0 AND (SELECT run FROM service)", "a run that never started", false},
	{"devices", "stream NOT BETWEEN 0 AND " + number10(maxCount), "a stream out of range", false},
	{"devices", outside("login_at", "since", "grace_until", "retain_until"), "a time out of range", false},
	{"run_ends", "at NOT BETWEEN 0 AND (SELECT clock FROM service) OR clock NOT BETWEEN 0 AND at", "a time out of range", false},
	{"run_ends", "grace NOT BETWEEN 0 AND 3153600000000000 OR retention NOT BETWEEN 0 AND 3153600000000000", "a duration out of range", false},
	{"kicks", "octet_length(user_id) NOT BETWEEN 1 AND 128 OR octet_length(device_id) > 128", "an ID that is empty or too long", false},
	{"kicks", "type NOT IN ('REST_API_Kick', 'multipleDevice', 'logout')", "an unknown type", false},
	{"kicks", "version NOT BETWEEN 0 AND (SELECT version FROM service)", "a version that was never issued", false},
	{"kicks", outside("at"), "a time out of range", false},
	{"kicks", "until NOT BETWEEN 0 AND (SELECT clock FROM service) + 60000000", "an end more than a minute ahead", false},
	{"jumps", "above < 0 OR below < above OR below > (SELECT version FROM service)", "an impossible range", false},
	{"(SELECT below, lead(above) OVER (ORDER BY above) AS next FROM jumps)", "below > next", "jumps that overlap", false},
	{"deleted", "octet_length(hash) <> 16", "a hash of the wrong length", true},
	{"deleted", outside("at"), "a time out of range", true},
	{"deletion_key", "octet_length(key) <> 32", "a key of the wrong length", false},
	{"(SELECT (SELECT count(*) FROM deletion_key) AS keys)", "keys = 0 AND EXISTS (SELECT 1 FROM deleted)", "hashes of deleted users, but no key for them", false},
	{"leftovers", "user IN (SELECT id FROM users) OR user NOT BETWEEN 1 AND (SELECT next_user FROM service) - 1", "a user who isn't deleted", false},
	{"feeds", "octet_length(name) NOT BETWEEN 1 AND 128", "a name that is empty or too long", false},
	{"feeds", "version NOT BETWEEN 0 AND (SELECT version FROM service)", "a version that was never issued", false},
	{"gone", "user_id IN (SELECT user_id FROM users) OR octet_length(user_id) NOT BETWEEN 1 AND 128", "a user who isn't deleted", false},
	{"gone", "version NOT BETWEEN 0 AND (SELECT version FROM service)", "a version that was never issued", false},
	{"subscriptions", noUser("user", "target"), "a user who doesn't exist", true},
	{"subscriptions", "user = target", "a user who subscribes to themselves", true},
	{"subscriptions", "since NOT BETWEEN 0 AND (SELECT version FROM service)", "a version that was never issued", true},
	{"friends", noUser("user", "friend"), "a user who doesn't exist", true},
	{"friends", "user = friend", "a user who is their own friend", true},
	{"friends", "since NOT BETWEEN 0 AND (SELECT version FROM service)", "a version that was never issued", true},
}

// conditionsOf4 are conditions of columns that came with schema 4.
var conditionsOf4 = [...]condition{
	{"users", "public_status_type NOT IN (1, 2, 3)", "an unknown public_status_type", true},
	{"users", "public_version NOT BETWEEN 0 AND (SELECT version FROM service)", "a public_version that was never issued", true},
	{"users", "last_seen NOT BETWEEN 0 AND (SELECT clock FROM service) / 60000000 OR public_last_seen NOT BETWEEN 0 AND (SELECT clock FROM service) / 60000000", "a last_seen in the future", true},
	{"users", "(away | public_away | invisible | waiting) NOT IN (0, 1)", "a flag that is neither 0 nor 1", true},
	{"users", badEntry, "an entry out of range", true},
	{"entries", "user NOT IN (SELECT id FROM users)", "a user who doesn't exist", false},
	{"entries", "octet_length(source) NOT BETWEEN 1 AND 64 OR source GLOB '*[^a-z0-9._-]*'", "a malformed source", false},
	{"entries", tooLong, "a custom_status that is too long", false},
	{"entries", badEntry + " OR waiting NOT IN (0, 1)", "an entry out of range", false},
	{"entries", "custom_status = '' AND availability = 0", "an entry that says nothing", false},
	{"entries", "expires_at = 0", "an entry that never ends", false},
	{"devices", "idle NOT IN (0, 1) OR hidden NOT IN (0, 1)", "a flag that is neither 0 nor 1", false},
}

// conditionsOf5 are conditions of tables that came with schema 5.
var conditionsOf5 = [...]condition{
	{"devices", "run <> 0 AND run NOT IN (SELECT id FROM runs) AND run NOT IN (SELECT run FROM run_ends)", "a run that was forgotten", false},
	{"devices", "run = 0 AND stream <> 0", "a stream of no run", false},
	{"runs", "id NOT BETWEEN 1 AND (SELECT run FROM service)", "a run that never started", false},
	{"runs", "beats NOT BETWEEN 0 AND " + number10(maxCount) + " OR number NOT BETWEEN 0 AND " + number10(maxCount), "a count out of range", false},
	{"(SELECT count(*) AS rows FROM node)", "rows <> 1", "a number of rows other than one", false},
	{"node", "place NOT BETWEEN 0 AND " + number10(maxCount), "a place out of range", false},
}

// conditionsOf6 are conditions of columns that came with schema 6.
var conditionsOf6 = [...]condition{
	{"runs", outside("beat_1") + " OR beat_3 NOT BETWEEN 0 AND beat_2 OR beat_2 > beat_1", "beats out of order", false},
}

// latest stands for the schema of this release.
const latest = math.MaxInt

// conditionsOf returns the conditions of a database with a schema.
func conditionsOf(schema int) []condition {
	all := slices.Clone(conditions[:])
	for i, added := range [][]condition{conditionsOf4[:], conditionsOf5[:], conditionsOf6[:]} {
		if schema >= 4+i {
			all = append(all, added...)
		}
	}
	return all
}

// tooLong and badEntry are conditions of users, whose own entry is in their row, and of
// entries.
var (
	tooLong  = "octet_length(custom_status) > " + number10(longestText)
	badEntry = `availability NOT BETWEEN 0 AND 3 OR priority NOT BETWEEN -100 AND 100
		OR set_at NOT BETWEEN 0 AND (SELECT clock FROM service) + 1000000
		OR starts_at NOT BETWEEN 0 AND (SELECT clock FROM service) + 366 * 86400000000
		OR expires_at NOT BETWEEN 0 AND (SELECT clock FROM service) + 2 * 366 * 86400000000`
)

func number10(n int64) string { return fmt.Sprint(n) }

// outside returns the expression that is true if a column has a time out of range.
func outside(columns ...string) string {
	return strings.Join(columns, " NOT BETWEEN 0 AND "+number10(lastMoment)+" OR ") + " NOT BETWEEN 0 AND " + number10(lastMoment)
}

// noUser returns the expression that is true if a column has an id that belongs
// neither to a user nor to a recently deleted user (table leftovers).
func noUser(columns ...string) string {
	var all []string
	for _, c := range columns {
		all = append(all, fmt.Sprintf("%s NOT IN (SELECT id FROM users) AND %[1]s NOT IN leftovers", c))
	}
	return strings.Join(all, " OR ")
}

// checkConditions returns an error that joins one error for each condition with
// bad rows in the database, which has that schema. At a start it skips the slow conditions.
func checkConditions(ctx context.Context, db store.Queryer, path string, schema int, atStart bool) error {
	all := conditionsOf(schema)
	if atStart {
		good, err := meetsAll(ctx, db, all)
		if good || err != nil {
			return err
		}
	}
	var broken []error
	for _, c := range all {
		if atStart && c.slow {
			continue
		}
		var n int
		if err := db.QueryRowContext(ctx, "SELECT count(*) FROM "+c.from+" WHERE "+c.bad).Scan(&n); err != nil {
			return fmt.Errorf("read %s: %w", path, store.Diagnose(path, err))
		}
		if n > 0 {
			broken = append(broken, c.broken(path, n))
		}
	}
	return errors.Join(broken...)
}

// meetsAll reports whether no condition, except the slow ones, has a bad row. It
// reads each table once.
func meetsAll(ctx context.Context, db store.Queryer, all []condition) (good bool, err error) {
	var tables []string
	bad := make(map[string][]string)
	for _, c := range all {
		if c.slow {
			continue
		}
		if bad[c.from] == nil {
			tables = append(tables, c.from)
		}
		bad[c.from] = append(bad[c.from], c.bad)
	}
	var each []string
	for _, table := range tables {
		each = append(each, fmt.Sprintf("EXISTS (SELECT 1 FROM %s WHERE %s)", table, strings.Join(bad[table], " OR ")))
	}
	err = db.QueryRowContext(ctx, "SELECT NOT ("+strings.Join(each, " OR ")+")").Scan(&good)
	return good, err
}

func (c *condition) broken(path string, n int) error {
	table := c.from
	if strings.HasPrefix(table, "(") {
		_, table, _ = strings.Cut(table, "FROM ")
		table = strings.Fields(strings.TrimRight(table, ")"))[0]
	}
	table = strings.TrimRight(table, ")")
	return fmt.Errorf("%s: %s has %s (%s): restore a backup", path, table, c.what, number(n, "row", "rows"))
}

// checkTexts returns an error if id is not a valid ID or text is not UTF-8. SQLite
// accepts any bytes as text.
func checkTexts(table, id, text string) error {
	if err := checkID(id); err != nil {
		return fmt.Errorf("%s has %q as an ID: restore a backup: %w", table, id, err)
	}
	if !utf8.ValidString(text) {
		return fmt.Errorf("%s has a text for %q that is not UTF-8: restore a backup", table, id)
	}
	return nil
}

// checkAllTexts calls checkTexts for all rows. A start checks them as it reads them.
func checkAllTexts(ctx context.Context, db *sql.DB, path string) error {
	for table, query := range map[string]string{
		"users":   "SELECT user_id, custom_status FROM users",
		"entries": "SELECT source, custom_status FROM entries",
		"devices": "SELECT device_id, platform FROM devices",
		"kicks":   "SELECT user_id, device_id FROM kicks",
	} {
		rows, err := db.QueryContext(ctx, query)
		_, err = store.Collect(rows, err, func(rows *sql.Rows) (none struct{}, err error) {
			var id, text string
			if err := rows.Scan(&id, &text); err != nil {
				return none, err
			}
			return none, checkTexts(table, id, text)
		})
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}
