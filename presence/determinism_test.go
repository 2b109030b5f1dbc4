package presence

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestSameOperationsGiveTheSameState checks that the same operations in the same batches
// give the same rows, whatever the machine's clock says, and also after they have been
// encoded and decoded. The nodes that apply a log rely on this.
func TestSameOperationsGiveTheSameState(t *testing.T) {
	adjust := func(s *Settings) { s.Subscriptions, s.Friends, s.DevicesPerPlatform = 3, 2, 2 }
	one, other := open(t, adjust), open(t, adjust)
	applyScript(one, func(op operation) operation { return op })
	applyScript(other, recode(t))
	dump, same := one.dump(), other.dump()
	for table, rows := range dump {
		if rows != same[table] {
			t.Errorf("%s differs after the same operations:\n%s\nand\n%s", table, rows, same[table])
		}
	}
	for _, table := range []string{"users", "entries", "devices", "kicks", "deleted", "deletion_key", "leftovers", "subscriptions", "friends", "jumps", "runs", "run_ends", "settings"} {
		if dump[table] == "" {
			t.Errorf("%s is empty: the script proves nothing about it", table)
		}
	}
}

// applyScript does the writer's work at times of its own, on a service whose writer
// and janitor have stopped.
func applyScript(w *world, as func(operation) operation) {
	w.t.Helper()
	w.janitor.close()
	w.writer.close()
	w.t.Cleanup(func() { w.release() })
	w.model.version, w.model.jumps, w.model.deletions = 0, nil, deletions{}
	w.writer.lastBatch = 0
	for _, random := range []string{"jumps", "deletion_key"} {
		_, err := w.store.Exec("DELETE FROM " + random)
		w.must(err)
	}
	for i, ops := range script(w) {
		b := w.writer.newBatch(1_000_000 * int64(1+i))
		for _, op := range ops {
			as(op).apply(b)
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
		return &connect{UserID: user, DeviceID: id, Platform: p, Stream: streams}
	}
	say := func(user string, e entry) operation { return &setEntry{UserID: user, Entry: e, ExpiresIn: time.Hour} }
	everyone := []string{"a", "b", "c", "d", "e", "f"}
	changed := w.settings
	changed.FriendNotifications = false
	batches := [][]operation{
		{&createDeletionKey{[]byte("key")}, &importUsers{UserIDs: everyone}, &setEntry{UserID: "f", Entry: entry{Text: "new"}, ExpiresIn: time.Hour}},
		{device("a", "1", Web), device("a", "2", IOS), device("b", "1", IOS), device("z", "1", Mac)},
		{&subscribe{UserID: "a", Targets: everyone}, &befriend{UserID: "a", Friends: everyone, Mutual: true}},
		{&befriendPairs{Pairs: []FriendPair{{"e", "f", true}, {"f", "c", false}, {"d", "e", true}, {"b", "f", true}}}},
		{&setFriends{UserID: "f", Friends: []string{"e", "b"}, Mutual: true}, &setFriends{UserID: "c", Friends: everyone}},
		{device("a", "3", Web), device("a", "4", Web), device("a", "5", Web)},
		{&drop{Ended: []endedStream{{User: 1, DeviceID: "1", Stream: 3, Age: 500_000}, {User: 2, DeviceID: "1", Stream: 3, Age: 5_000_000}}}},
		{&setEntry{UserID: "c", Entry: entry{Text: "x"}}, &setEntry{UserID: "c", Entry: entry{Text: "y"}}, &setEntry{UserID: "c", Entry: entry{Text: "x"}}},
		{&logout{UserID: "a", DeviceID: "4"}, &kick{UserID: "z"}, &unfriend{UserID: "a", Friends: everyone[:2]}},
		{&deleteUsers{UserIDs: []string{"d", "b"}}, &importUsers{UserIDs: []string{"d"}}, &setEntry{UserID: "d", Entry: entry{Text: "again"}}},
		{&removeLeftovers{}, &deleteUsers{UserIDs: []string{"c"}}, &admit{"c", 1}, &admit{"c", 1_000_000_000}},
		{&unsubscribe{UserID: "a", Targets: []string{"e"}}, &subscribe{UserID: "f", Targets: everyone}, &unsubscribeAll{UserID: "f"}},
		{&renameUser{UserID: "e", To: "d2"}, device("d2", "1", Mac), &renameUser{UserID: "d2", To: "e"}, &renameUser{UserID: "f", To: "e"}},
		{
			say("a", entry{Source: "call", Text: "call", Availability: Busy}), say("a", entry{Source: "calendar", Priority: 5, Availability: DND}),
			say("a", entry{Source: "call", Text: "call", Availability: Busy}), say("e", entry{Source: "x", Text: "x"}),
		},
		{device("a", "6", IOS), &setIdle{"a", "6", true}, &setVisibility{"a", true}, &setIdle{"a", "6", false}, &setVisibility{"e", true}},
		{&logout{UserID: "a", DeviceID: "3"}, &setVisibility{"a", false}, &setIdle{"a", "6", true}, say("a", entry{Source: "calendar"})},
		{&setEntry{UserID: "a", Entry: entry{Text: "later", StartsAt: 3_600_000_000}}, &setIdle{"nobody", "1", true}, &setVisibility{"nobody", true}},
		{&nameFeed{Name: "hook"}, &nameFeed{Name: "other"}, &deleteUsers{UserIDs: []string{"z"}}, &storeCursor{"hook", 1}, &forgetFeeds{"o", nil}},
		{&configure{changed.deciding()}, &beginRun{}, &endRuns{}},
		{&beginRun{Node: "x", Nonce: 7, Level: 1}, device("u0", "2", Web), &beat{Place: 1}, &setAgreement{[]string{"hash"}}},
		{&endRun{}},
		{&takeOver{Streams: []endedStream{{User: 9, DeviceID: "2", Stream: streams}, {User: 1, DeviceID: "9", Stream: 1}}}},
		{&settle{Users: []uint32{1, 2, 3, 4, 5, 6, 7, 8}}, &beginRun{Node: "y", Nonce: 8}},
	}
	for i := range 20 { // a crowd, so that the order of maps would show
		batches[0] = append(batches[0], &setEntry{UserID: everyone[i%6], Entry: entry{Text: fmt.Sprint(i)}})
		batches[5] = append(batches[5], device(fmt.Sprint("u", i), "1", Linux))
	}
	return batches
}

// dump returns the rows of every table as text.
func (w *world) dump() map[string]string {
	w.t.Helper()
	dump := make(map[string]string)
	for _, table := range []string{"service", "users", "entries", "devices", "kicks", "deleted", "deletion_key", "leftovers", "subscriptions", "friends", "jumps", "runs", "run_ends", "settings", "feeds", "gone"} {
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
