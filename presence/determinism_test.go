package presence

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// The same operations in the same batches give the same rows, whatever the machine's
// clock says. A replica of the log will rely on this.
func TestSameOperationsGiveTheSameState(t *testing.T) {
	adjust := func(s *Settings) { s.Subscriptions, s.Friends, s.DevicesPerPlatform = 3, 2, 2 }
	one, other := open(t, adjust), open(t, adjust)
	applyScript(one)
	applyScript(other)
	dump, same := one.dump(), other.dump()
	for table, rows := range dump {
		if rows != same[table] {
			t.Errorf("%s differs after the same operations:\n%s\nand\n%s", table, rows, same[table])
		}
	}
	for _, table := range []string{"users", "entries", "devices", "kicks", "deleted", "deletion_key", "leftovers", "subscriptions", "friends", "jumps"} {
		if dump[table] == "" {
			t.Errorf("%s is empty: the script proves nothing about it", table)
		}
	}
}

// applyScript does the writer's work at times of its own, on a service whose writer
// and janitor have stopped.
func applyScript(w *world) {
	w.t.Helper()
	w.janitor.close()
	w.writer.close()
	w.t.Cleanup(func() { w.closeStore() })
	w.model.version, w.model.jumps, w.model.deletions = 0, nil, deletions{}
	for _, random := range []string{"jumps", "deletion_key"} {
		_, err := w.store.Exec("DELETE FROM " + random)
		w.must(err)
	}
	for i, ops := range script(w) {
		b := w.writer.newBatch(1_000_000 * int64(1+i))
		for _, op := range ops {
			op.apply(b)
		}
		w.must(b.commit())
		w.publish(b)
	}
}

// script contains every operation, and batches whose operations affect one another.
func script(w *world) [][]operation {
	streams := int64(0)
	device := func(user, id string, p Platform) operation {
		streams++
		return &connect{device: Device{UserID: user, ID: id, Platform: p}, stream: streams}
	}
	say := func(user string, e entry) operation { return &setEntry{userID: user, entry: e, expiresIn: time.Hour} }
	everyone := []string{"a", "b", "c", "d", "e", "f"}
	changed := w.settings
	changed.FriendNotifications = false
	batches := [][]operation{
		{&createDeletionKey{[]byte("key")}, &importUsers{userIDs: everyone}, &setEntry{userID: "f", entry: entry{text: "new"}, expiresIn: time.Hour}},
		{device("a", "1", Web), device("a", "2", IOS), device("b", "1", IOS), device("z", "1", Mac)},
		{&subscribe{userID: "a", targets: everyone}, &befriend{userID: "a", friends: everyone, mutual: true}},
		{&befriendPairs{pairs: []FriendPair{{"e", "f", true}, {"f", "c", false}, {"d", "e", true}, {"b", "f", true}}}},
		{&setFriends{userID: "f", friends: []string{"e", "b"}, mutual: true}, &setFriends{userID: "c", friends: everyone}},
		{device("a", "3", Web), device("a", "4", Web), device("a", "5", Web)},
		{&drop{ended: []endedStream{{user: 1, deviceID: "1", stream: 3, at: 2_500_000}, {user: 2, deviceID: "1", stream: 3, at: 3}}}},
		{&setEntry{userID: "c", entry: entry{text: "x"}}, &setEntry{userID: "c", entry: entry{text: "y"}}, &setEntry{userID: "c", entry: entry{text: "x"}}},
		{&logout{userID: "a", deviceID: "4"}, &kick{userID: "z"}, &unfriend{userID: "a", friends: everyone[:2]}},
		{&deleteUsers{userIDs: []string{"d", "b"}}, &importUsers{userIDs: []string{"d"}}, &setEntry{userID: "d", entry: entry{text: "again"}}},
		{removeLeftovers{}, &deleteUsers{userIDs: []string{"c"}}, &admit{"c", time.UnixMicro(1)}, &admit{"c", time.Unix(1000, 0)}},
		{&unsubscribe{userID: "a", targets: []string{"e"}}, &subscribe{userID: "f", targets: everyone}, &unsubscribeAll{userID: "f"}},
		{&renameUser{userID: "e", to: "d2"}, device("d2", "1", Mac), &renameUser{userID: "d2", to: "e"}, &renameUser{userID: "f", to: "e"}},
		{
			say("a", entry{source: "call", text: "call", availability: Busy}), say("a", entry{source: "calendar", priority: 5, availability: DND}),
			say("a", entry{source: "call", text: "call", availability: Busy}), say("e", entry{source: "x", text: "x"}),
		},
		{device("a", "6", IOS), &setIdle{"a", "6", true}, &setVisibility{"a", true}, &setIdle{"a", "6", false}, &setVisibility{"e", true}},
		{&logout{userID: "a", deviceID: "3"}, &setVisibility{"a", false}, &setIdle{"a", "6", true}, say("a", entry{source: "calendar"})},
		{&setEntry{userID: "a", entry: entry{text: "later", startsAt: 3_600_000_000}}, &setIdle{"nobody", "1", true}, &setVisibility{"nobody", true}},
		{&configure{changed}, &endRun{clock: 9_000_000}, beginRun{}},
		{&settle{users: []uint32{1, 2, 3, 4, 5, 6, 7, 8}}, probe{}},
	}
	for i := range 20 { // a crowd, so that the order of maps would show
		batches[0] = append(batches[0], &setEntry{userID: everyone[i%6], entry: entry{text: fmt.Sprint(i)}})
		batches[5] = append(batches[5], device(fmt.Sprint("u", i), "1", Linux))
	}
	return batches
}

// dump returns the rows of every table as text.
func (w *world) dump() map[string]string {
	w.t.Helper()
	dump := make(map[string]string)
	for _, table := range []string{"service", "users", "entries", "devices", "kicks", "deleted", "deletion_key", "leftovers", "subscriptions", "friends", "jumps"} {
		rows, err := w.store.Reader().QueryContext(w.t.Context(), "SELECT * FROM "+table)
		w.must(err)
		columns, err := rows.Columns()
		w.must(err)
		var all []string
		for rows.Next() {
			values := make([]any, len(columns))
			for i := range values {
				values[i] = new(any)
			}
			w.must(rows.Scan(values...))
			var text []string
			for i, v := range values {
				text = append(text, fmt.Sprintf("%s=%v", columns[i], *v.(*any)))
			}
			all = append(all, strings.Join(text, " "))
		}
		w.must(rows.Err())
		dump[table] = strings.Join(slices.Sorted(slices.Values(all)), "\n")
	}
	return dump
}
