package presence

import (
	"context"
	"maps"
	"slices"
	"strings"
)

// FollowAs opens a stored feed: one whose cursor is in the database, under a name. It
// continues after the cursor that [Feed.Store] last stored, even after a restart, and
// sends every user who was deleted since, as [Unknown]. A new name begins at the current
// version. name is 1 to 128 bytes long, as [CheckID] says. An open feed of the same name
// ends with [io.EOF].
//
// The service remembers the ID of each deleted user until all stored feeds have stored
// a cursor that is not below the deletion; see [Service.ForgetFeeds].
//
// Errors: CodeMalformed for name, [ErrClosed] once the service drains, CodeUnavailable.
func (s *Service) FollowAs(ctx context.Context, name string) (*Feed, error) {
	if err := CheckID(name); err != nil {
		return nil, err
	}
	op := &nameFeed{Name: name}
	if err := s.writer.do(ctx, op); err != nil {
		return nil, err
	}
	return s.follow(&Feed{svc: s, name: name, cursor: op.cursor})
}

// ForgetFeeds removes the stored feeds whose names begin with prefix and are not in keep.
// Those that are open end with [io.EOF]. An empty or nil keep means that all with the
// prefix are removed; an empty prefix means every name. Package httpapi removes feeds
// with the prefix "webhook " by itself.
//
// Errors: CodeUnavailable.
func (s *Service) ForgetFeeds(ctx context.Context, prefix string, keep []string) error {
	return s.writer.do(ctx, &forgetFeeds{prefix, keep})
}

// Store stores that everything up to cursor, which is that of an event of this feed, has
// been received. The next feed of this name continues after it. A cursor below the one
// that is stored has no effect, and neither has a call after [Service.ForgetFeeds]
// removed the name.
//
// Store panics if the feed was opened by [Service.Follow]. Errors: CodeUnavailable.
func (f *Feed) Store(ctx context.Context, cursor int64) error {
	if !f.isStored() {
		panic("presence: Store of a feed without a name")
	}
	return f.svc.writer.do(ctx, &storeCursor{f.name, cursor})
}

func (f *Feed) isStored() bool { return f.name != "" }

// feedCursors are the cursors of the stored feeds, by name. The map is never changed in
// place.
type feedCursors map[string]int64

// lowest returns the lowest cursor, or version if there is none below it.
func (c feedCursors) lowest(version int64) int64 {
	for _, cursor := range c {
		version = min(version, cursor)
	}
	return version
}

// nameFeed returns the cursor of a stored feed, and creates the feed if there is none. An
// open feed of that name ends, also on another node.
type nameFeed struct {
	Name   string `cbor:"1,keyasint,omitempty"`
	cursor int64  // the result
}

func (op *nameFeed) apply(b *batch) error {
	cursor, found := b.cursors[op.Name]
	if !found {
		cursor = b.version
		b.saveCursor(op.Name, cursor)
	}
	op.cursor = cursor
	b.after(func(m *model) { m.endFeeds(func(name string) bool { return name == op.Name }) })
	return nil
}

// storeCursor moves the cursor of a stored feed forward.
type storeCursor struct {
	Name   string `cbor:"1,keyasint,omitempty"`
	Cursor int64  `cbor:"2,keyasint,omitempty"`
}

func (op *storeCursor) apply(b *batch) error {
	if before, found := b.cursors[op.Name]; found && op.Cursor > before {
		b.saveCursor(op.Name, min(op.Cursor, b.version))
		b.deleteGone()
	}
	return nil
}

// forgetFeeds removes the stored feeds with a prefix that are not in keep.
type forgetFeeds struct {
	Prefix string   `cbor:"1,keyasint,omitempty"`
	Keep   []string `cbor:"2,keyasint,omitempty"`
}

func (op *forgetFeeds) apply(b *batch) error {
	forget := func(name string) bool { return strings.HasPrefix(name, op.Prefix) && !slices.Contains(op.Keep, name) }
	for name := range b.cursors {
		if forget(name) {
			b.exec("DELETE FROM feeds WHERE name = ?", name)
		}
	}
	b.cursors = maps.Clone(b.cursors)
	maps.DeleteFunc(b.cursors, func(name string, _ int64) bool { return forget(name) })
	b.deleteGone()
	b.after(func(m *model) { m.endFeeds(forget) })
	return nil
}

// endFeeds ends the open stored feeds with the names that end reports.
func (m *model) endFeeds(end func(name string) bool) {
	for _, f := range slices.Clone(m.feeds) {
		if f.isStored() && end(f.name) {
			m.endFeed(f, endSuperseded)
		}
	}
}

func (b *batch) saveCursor(name string, cursor int64) {
	b.exec("INSERT OR REPLACE INTO feeds VALUES (?, ?)", name, cursor)
	b.cursors = maps.Clone(b.cursors)
	b.cursors[name] = cursor
}

// saveGone stores the deletion of a user for the stored feeds.
func (b *batch) saveGone(userID string, version int64) {
	if len(b.cursors) > 0 {
		b.exec("INSERT OR REPLACE INTO gone VALUES (?, ?)", userID, version)
	}
}

// forgetGone removes the stored deletion of a user who is registered again.
func (b *batch) forgetGone(userID string) {
	if len(b.cursors) > 0 {
		b.exec("DELETE FROM gone WHERE user_id = ?", userID)
	}
}

// deleteGone removes the stored deletions that all stored feeds have received.
func (b *batch) deleteGone() {
	if b.anyGone() {
		b.exec("DELETE FROM gone WHERE version <= ?", b.cursors.lowest(b.version))
	}
}
