package deploy_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	server "github.com/presence-server/presence/deploy/testserver"
)

// operator is a person who follows the section of the README about several nodes, on
// three machines.
type operator struct {
	t        *testing.T
	readme   string
	postgres *server.Postgres
	machines []*reader
}

// TestReadmeOfSeveralNodes goes from one node to three, restores a backup there, goes on
// after the log has lost its end, and goes back to one node, by the commands of the
// README. No step changes what is known about any user.
func TestReadmeOfSeveralNodes(t *testing.T) {
	o := newOperator(t)
	one := o.machines[0].server
	one.Start()
	fill(one)
	v := newViewers(t, one)
	want := known(one)

	o.toThree()
	o.allKnow(want, o.machines...)
	two, three := o.machines[1].server, o.machines[2].server
	v.moveTo(two, "three nodes")

	o.backUp(o.machines[1])
	want = known(two)
	one.Set("alice", "after the backup")
	two.Awaits(v.bob, "alice", "1 after the backup")
	o.restore()
	o.allKnow(want, o.machines...)
	v.moveTo(three, "restored", "1 three nodes")

	want = known(three)
	o.loseEnd()
	o.allKnow(want, o.machines...)
	v.moveTo(one, "the log goes on")

	want = known(one)
	o.toOne()
	o.allKnow(want, o.machines[0])
	v.moveTo(one, "one node")
}

func newOperator(t *testing.T) *operator {
	t.Helper()
	o := &operator{t: t, readme: section(t, read(t, "README.md"), "## Several nodes"), postgres: startPostgres(t)}
	for range 3 {
		s := newServer(t, "AUTH__SECRET=") // as the file says
		o.machines = append(o.machines, &reader{t: t, ctx: bounded(t), server: s, replace: strings.NewReplacer(
			"localhost:8080", s.Address, "/var/lib/presence", s.Folder,
			"A-PASSWORD", databasePassword, "db.example.com", o.postgres.Address)})
	}
	return o
}

// follow runs a block of commands below a heading on machines, one after the other.
func (o *operator) follow(heading string, block int, machines ...*reader) {
	o.t.Helper()
	for _, m := range machines {
		for line := range strings.Lines(blocks(section(o.t, o.readme, heading), "sh")[block]) {
			m.run(strings.TrimSpace(line))
		}
	}
}

func (o *operator) toThree() {
	o.t.Helper()
	const heading = "### From one node to three"
	first, others := o.machines[0], o.machines[1:]
	for _, m := range o.machines {
		config := m.replace.Replace(blocks(section(o.t, o.readme, heading), "toml")[0])
		write(o.t, filepath.Join(m.server.Folder, "presence.toml"), config)
	}
	for _, m := range others {
		const secret = "presence.db.secret"
		write(o.t, filepath.Join(m.server.Folder, secret), read(o.t, filepath.Join(first.server.Folder, secret)))
	}
	o.follow(heading, 0, first)
	o.follow(heading, 1, others...)
}

const restoring = "### Upgrade, back up and restore several nodes"

// backUp makes the backup that the README restores, on one machine, and copies it to the first.
func (o *operator) backUp(m *reader) {
	o.t.Helper()
	const name = "backup-2026-11-25.db"
	m.run("presence backup /var/lib/presence/" + name)
	write(o.t, filepath.Join(o.machines[0].server.Folder, name), read(o.t, filepath.Join(m.server.Folder, name)))
}

func (o *operator) restore() {
	o.t.Helper()
	for _, m := range o.machines[1:] {
		m.stop()
	}
	o.follow(restoring, 0, o.machines[0])
	o.follow(restoring, 1, o.machines[1:]...)
}

// loseEnd removes the newest entries of the log while no node runs. A node then refuses to
// start, and the README says how to go on.
func (o *operator) loseEnd() {
	o.t.Helper()
	for _, m := range o.machines {
		m.stop()
	}
	if _, err := o.postgres.SQL("presence", "DELETE FROM presence.entries WHERE place > 2; UPDATE presence.head SET last = 2"); err != nil {
		o.t.Fatal(err)
	}
	const report = "the log has lost it"
	if err := o.machines[0].server.Server.Start(); err == nil || !strings.Contains(err.Error(), report) || !strings.Contains(o.readme, report) {
		o.t.Errorf("after the log has lost its end, a start returns %v", err)
	}
	o.follow("### The log has lost its end", 0, o.machines[2]) // it was stopped last
	o.follow(restoring, 1, o.machines[:2]...)
}

func (o *operator) toOne() {
	o.t.Helper()
	for _, m := range o.machines[1:] {
		m.stop()
	}
	first := o.machines[0]
	o.follow("### Back to one node", 0, first)
	file := filepath.Join(first.server.Folder, "presence.toml")
	config, _, ok := strings.Cut(read(o.t, file), "[cluster]")
	if !ok {
		o.t.Fatal("the configuration has no [cluster]")
	}
	write(o.t, file, config)
	o.follow("### Back to one node", 1, first)
}

// allKnow checks what the machines know about all users.
func (o *operator) allKnow(want []string, machines ...*reader) {
	o.t.Helper()
	for i, m := range machines {
		got := known(m.server)
		for _, line := range want {
			if !slices.Contains(got, line) {
				o.t.Errorf("machine %d doesn't know %s", i+1, line)
			}
		}
		if len(got) != len(want) {
			o.t.Errorf("machine %d knows %d lines, want %d", i+1, len(got), len(want))
		}
	}
}

// fill registers users of all kinds: with texts, entries and friends, who watch others,
// who are busy, invisible, or logged in with a native device.
func fill(s *server.Child) {
	var userIDs []string
	for i := range 100 {
		userIDs = append(userIDs, fmt.Sprintf("user%02d", i))
	}
	s.Admin("importUsers", map[string]any{"userIDList": userIDs}, nil)
	for i, userID := range userIDs {
		s.Set(userID, fmt.Sprint("Text ", i))
	}
	entry := map[string]any{"userID": "user07", "source": "call", "customStatus": "In a call", "availability": "busy", "expiresIn": 3600}
	s.Admin("setUserStatus", entry, nil)
	s.Admin("addFriends", map[string]any{"userID": "user07", "friendIDList": userIDs[10:20]}, nil)
	token := s.TokenOf("user08")
	s.Do("/v1/subscribeUserStatus", token, map[string]any{"userIDList": userIDs[20:30]}, nil)
	s.Do("/v1/setVisibility", token, map[string]any{"invisible": true}, nil)
	s.Befriend("alice", "bob")
}

// known returns what a server knows about all users, in lines. It leaves out devices, because
// their streams are at one node or another.
func known(s *server.Child) (lines []string) {
	for _, path := range []string{"users?limit=200", "subscriptions?userID=user08", "friends?userID=user07", "friends?userID=alice"} {
		var data struct {
			UserList     []json.RawMessage
			FriendIDList []string
		}
		s.Admin(path, nil, &data)
		for _, user := range data.UserList {
			lines = append(lines, fmt.Sprintf("%s: %s", path, user))
		}
		lines = append(lines, fmt.Sprintf("%s: %s", path, data.FriendIDList))
	}
	var explained struct{ Entries json.RawMessage }
	s.Admin("explain?userID=user07", nil, &explained)
	return append(lines, string(explained.Entries))
}

// viewers are the streams of two friends, who look at each other.
type viewers struct {
	t          *testing.T
	alice, bob *server.Stream
}

func newViewers(t *testing.T, s *server.Child) *viewers {
	return &viewers{t, s.Open("alice", ""), s.Open("bob", "")}
}

// moveTo makes both friends come back at a server, after whatever has ended their streams.
// Alice then sets a text. Bob receives the statuses of hers that are given, then this one,
// and nothing else about her.
func (v *viewers) moveTo(s *server.Child, text string, before ...string) {
	v.t.Helper()
	v.alice.Close()
	v.bob.Close()
	v.alice, v.bob = s.Open("alice", v.alice.Cursor()), s.Open("bob", v.bob.Cursor())
	s.Set("alice", text)
	if got, want := s.Awaits(v.bob, "alice", "1 "+text), append(before, "1 "+text); !slices.Equal(got, want) {
		v.t.Errorf("bob received the statuses %q of alice, want %q", got, want)
	}
}
