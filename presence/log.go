package presence

import (
	"context"
	"errors"
	"io"
	"time"
)

// A Log orders the batches of operations of several services, its nodes, and keeps them.
// With one, the nodes act as one service; see Config.Log. Package pglog has a Log that is
// kept in PostgreSQL. A Log may be used by several goroutines.
//
// An error may be one of ErrTrimmed, ErrLostEnd, ErrFounded and ErrNoSnapshot, or match
// ErrLogUnusable. After any other error, the caller tries again.
type Log interface {
	// Append adds an entry at the end. When it returns nil, the entry is durable. After
	// an error the entry may have been added, or may still be; the caller then appends
	// the same data again, and whoever applies the log drops the repeat. An entry is
	// from 1 byte to 1 MiB long.
	Append(ctx context.Context, data []byte) error

	// Next returns the entries after a place, in order and without a gap: the first one
	// has the place after+1. It returns as many as are there, up to a limit of its own,
	// and waits until there is one or ctx is done. It returns ErrTrimmed if the entry
	// after+1 was removed, and ErrLostEnd if the log ends before after.
	Next(ctx context.Context, after int64) ([]LogEntry, error)

	// State returns what is there now.
	State(ctx context.Context) (LogState, error)

	// SaveSnapshot stores a copy of the state up to a place: completely, or not at all.
	// A snapshot at place 0 founds the log, and is stored only if there is no snapshot
	// yet; otherwise SaveSnapshot returns ErrFounded. A later one replaces all earlier
	// snapshots, and has no effect if there is one at this place or a later one. Entries
	// that are older than both the newest snapshot and LogKept are then removed.
	SaveSnapshot(ctx context.Context, place int64, r io.Reader) error

	// LoadSnapshot writes the newest snapshot to w, and returns its place. It returns
	// ErrNoSnapshot if there is none: nobody has founded the log yet.
	LoadSnapshot(ctx context.Context, w io.Writer) (place int64, err error)

	// Close releases the connection. The calls that wait return an error.
	Close() error
}

// LogEntry is one entry of a Log.
type LogEntry struct {
	Place int64     // counts from 1
	At    time.Time // when it was appended, by the clock of the engine, in whole microseconds; it may go back
	Data  []byte
}

// LogState is what a Log has at one moment.
type LogState struct {
	ID       string   // a random name of this log, which it gets when it is created
	First    int64    // the place of the oldest entry that is kept; Last+1 if there is none
	Last     int64    // the place of the newest entry; 0 if there was never one
	Bytes    int64    // the size of the entries that are kept
	Snapshot int64    // the place of the newest snapshot; -1 if there is none
	Warnings []string // sentences that say which promises the engine can't keep, and what to change; usually nil
}

// LogKept is for how long a Log keeps its entries at least, so that a node that was away
// for less doesn't need a snapshot.
const LogKept = 24 * time.Hour

// The errors of a Log.
var (
	ErrTrimmed    = errors.New("presence: the entry was removed from the log")
	ErrLostEnd    = errors.New("presence: the log has lost its end")
	ErrFounded    = errors.New("presence: the log has a snapshot already")
	ErrNoSnapshot = errors.New("presence: the log has no snapshot")

	// ErrLogUnusable is matched by an error that trying again doesn't end: a password
	// that is refused, an engine that is too old, tables of a newer release. Its message
	// says what to do.
	ErrLogUnusable = errors.New("presence: the log can't be used")
)
