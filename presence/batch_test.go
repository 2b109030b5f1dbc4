package presence

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// together is several operations in one batch.
type together struct {
	ops  []operation
	errs []error
}

func (t *together) apply(b *batch) error {
	for _, op := range t.ops {
		t.errs = append(t.errs, op.apply(b))
	}
	return nil
}

func (w *world) together(ops ...operation) []error {
	w.t.Helper()
	if w.log != nil {
		return w.submitEach(ops)
	}
	all := &together{ops: ops}
	w.must(w.writer.do(w.t.Context(), all))
	return all.errs
}

// submitEach submits operations one after another, because a log has only operations that
// can be encoded.
func (w *world) submitEach(ops []operation) (errs []error) {
	for _, op := range ops {
		then := func(*model) {}
		if login, ok := op.(*opening); ok {
			op, then = &login.connect, func(m *model) { m.open(login.session, login.UserID, login.version) }
		}
		errs = append(errs, w.writer.doThen(w.t.Context(), op, then))
	}
	return errs
}

// opening is the operation of Connect, with what follows its commit.
type opening struct {
	connect
	session *Session
}

func (op *opening) apply(b *batch) error {
	err := op.connect.apply(b)
	if err == nil {
		b.after(func(m *model) { m.open(op.session, op.UserID, op.version) })
	}
	return err
}

func (w *world) login(d Device) (*opening, *stream) {
	nameless := d.ID == ""
	if nameless {
		d.ID = "random"
	}
	session := w.newSession(d)
	op := &opening{*newConnect(d, nameless, session.stream), session}
	return op, &stream{Session: session, w: w, device: d, versions: make(map[string]int64)}
}

func TestLogoutAndLoginInOneBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		tab := w.web("alice", "tab")
		again, session := w.login(tab.device)
		for _, err := range w.together(&logout{UserID: "alice", DeviceID: "tab"}, again) {
			w.must(err)
		}
		tab.isKicked(KickedLogout)
		if event := session.next(); event.Type != EventReady {
			t.Errorf("the new login gets %s, want READY", event.Type)
		}
		w.is("alice ONLINE", "the device logged in again")
		session.resume()
		session.Close()
	})
}

func TestLogoutAndReconnectInOneBatch(t *testing.T) {
	for _, deviceID := range []string{"tab", ""} {
		synctest.Test(t, func(t *testing.T) {
			w := open(t)
			tab := w.web("alice", "tab")
			again, _ := w.login(Device{UserID: "alice", ID: deviceID, Platform: Web, Resume: true, Cursor: tab.cursor})
			errs := w.together(&logout{UserID: "alice"}, again)
			if kicked, ok := errors.AsType[*KickedError](errs[1]); !ok || kicked.Kick != KickedLogout {
				t.Errorf("a reconnect of %q right after a logout gets %v, want a KickedError with %s", deviceID, errs[1], KickedLogout)
			}
			w.is("alice UNLOGINED", "a logout of all devices also applies to devices that reconnect in its batch")
		})
	}
}

func TestLoginAndLogoutInOneBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.register("bob")
		login, session := w.login(Device{UserID: "alice", Platform: Web})
		for _, err := range w.together(login, &logout{UserID: "alice"}, &setEntry{UserID: "bob", Entry: entry{Text: "x"}}) {
			w.must(err)
		}
		if event := session.next(); event.Type != EventReady {
			t.Errorf("the first event is %s, want READY", event.Type)
		}
		session.isKicked(KickedLogout)
		w.refused(Device{UserID: "alice", Resume: true, Cursor: session.cursor}, "the cursor is from before the logout, although from the same batch")
	})
}

// TestSessionOpensInOrderOfItsBatch checks that a logout after a login ends its
// session, and that changes after the login are sent.
func TestSessionOpensInOrderOfItsBatch(t *testing.T) {
	w := open(t)
	w.janitor.close()
	w.writer.close()
	t.Cleanup(func() { w.release() })
	var batch []*request
	submit := func(op operation, then func(*model)) {
		r := newRequest(op)
		r.then = then
		batch = append(batch, r)
	}
	connect := func(user string) *stream {
		op, session := w.login(Device{UserID: user, ID: "tab", Platform: Web})
		submit(&op.connect, func(m *model) { m.open(session.Session, user, op.version) })
		return session
	}
	alice, bob := connect("alice"), connect("bob")
	submit(&logout{UserID: "alice", DeviceID: "tab"}, nil)
	submit(&setEntry{UserID: "bob", Entry: entry{Text: "later"}}, nil)
	submit(&setEntry{UserID: "nobody", Entry: entry{Text: "fails"}}, func(*model) { t.Error("an operation that fails has an effect") })
	w.writer.write(batch)
	is(t, "the first event", alice.next().Type, EventReady)
	alice.isKicked(KickedLogout)
	if event := bob.next(); event.Self.CustomStatus != "later" || event.Cursor >= event.Self.Version {
		t.Errorf("the session begins with %+v, want the cursor of its login", event)
	}
}

func TestDeleteAndReturnInOneBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.pass(time.Second)
		tab := w.web("alice", "tab")
		old := tab.user.id
		login, session := w.login(Device{UserID: "alice", ID: "other", Platform: Web, IssuedAt: time.Now().Add(time.Minute)})
		early, _ := w.login(Device{UserID: "alice", ID: "other", Platform: Web, IssuedAt: time.Now().Add(-time.Second)})
		errs := w.together(&deleteUsers{UserIDs: []string{"alice"}}, early, &admit{"alice", issued(time.Now().Add(-time.Second))}, login,
			&settle{Users: []uint32{old}}, &drop{Ended: []endedStream{{User: old, DeviceID: "other", Stream: session.stream}}})
		wantCode(t, errs[1], CodeRevoked, "a stream with credentials from before the deletion")
		wantCode(t, errs[2], CodeRevoked, "a call with credentials from before the deletion")
		w.must(errors.Join(errs[0], errs[3], errs[4], errs[5]))
		tab.isKicked(KickedByAdmin)
		w.is("alice ONLINE", "changes to the deleted user don't affect the new user with the same ID")
		w.pass(time.Minute)
		w.is("alice ONLINE", "the new user is connected")
		session.Close()
	})
}

func TestTwoStartsInOneBatch(t *testing.T) {
	w := open(t)
	login, session := w.login(Device{UserID: "alice", ID: "tab", Platform: Web})
	for _, err := range w.together(login, &beginRun{}, &endRuns{}, &beginRun{}) {
		w.must(err)
	}
	if devices := w.model.ends.of(w.model.byName["alice"]); devices[0].isConnected() {
		t.Error("a device that logged in in the same batch survives the end of its run")
	}
	if got := len(w.model.jumps); got != 3 {
		t.Errorf("%d jumps are known after three starts", got)
	}
	session.Close()
}

func TestKicksForgottenTwiceInOneBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t)
		w.web("alice", "tab")
		w.must(w.Logout(t.Context(), "alice", ""))
		w.mu.Lock()
		for i := range w.model.kicked.order { // due, without the janitor's knowledge
			e := &w.model.kicked.order[i]
			k := w.model.kicked.last[e.deviceKey]
			k.until, e.until = 1, 1
			w.model.kicked.last[e.deviceKey] = k
		}
		w.mu.Unlock()
		w.together(&settle{}, &settle{})
		w.nothingIsLeft()
		if rows := w.dump()["kicks"]; rows != "" {
			t.Errorf("stored is still %s", rows)
		}
	})
}

// TestOperationsReadTheirBatch checks this because an operation that reads the
// committed state misses what earlier operations in the same batch have done.
func TestOperationsReadTheirBatch(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if name == "overlay.go" || strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == "published" {
				t.Errorf("%s reads the committed state: only overlay.go may", name)
			}
			return true
		})
	}
}

// TestNoOperationLosesADeadline applies operations that change nothing of a user just after
// the user's grace is over, and before anything else has settled that.
func TestNoOperationLosesADeadline(t *testing.T) {
	for _, op := range []operation{
		&admit{UserID: "alice"},
		&importUsers{UserIDs: []string{"alice", "bob"}},
		&setIdle{UserID: "alice", DeviceID: "tab"},
		&setIdle{UserID: "alice", DeviceID: "none"},
		&setVisibility{UserID: "alice"},
		&setEntry{UserID: "alice", Entry: entry{Source: "calendar", Text: "away", StartsAt: lastClock}},
		&setEntry{UserID: "alice", Entry: entry{Text: strings.Repeat("x", 1000)}},
		&logout{UserID: "alice", DeviceID: "none"},
		&renameUser{UserID: "alice", To: "watcher"},
		&renameUser{UserID: "alice", To: "not a name\n"},
		&drop{Ended: []endedStream{{User: 1, DeviceID: "tab", Stream: 1}}},
		&takeOver{Streams: []endedStream{{User: 1, DeviceID: "tab", Stream: 1}}},
		&befriend{UserID: "alice", Friends: []string{"watcher", "alice"}},
		&subscribe{UserID: "alice", Targets: []string{"watcher"}},
	} {
		t.Run(fmt.Sprintf("%T %+v", op, op), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := openCluster(t, 1, silent)
				one := c.nodes[0]
				one.register("watcher")
				alice := one.web("alice", "tab")
				c.pass(1500 * time.Millisecond)
				alice.Close() // the grace is over at 11.5 s
				c.pass(9700 * time.Millisecond)
				c.links[0].slow(600 * time.Millisecond)
				go one.writer.submit(op)                         // some of them are refused
				one.janitor.streamsEnded(endedStream{User: 100}) // so that the janitor waits, too
				c.pass(2 * time.Minute)
				c.is("alice UNLOGINED", "the grace is over")
			})
		})
	}
}
