// Package presence keeps the status of users and tells those who watch them.
//
// [Open] opens a [Service] on one SQLite file. A user is registered with
// [Service.Import], is ONLINE while one of their devices holds a [Session]
// ([Service.Connect]), and may have a custom status ([Service.Set]). Whoever
// subscribes to a user ([Service.Subscribe]), or has them as a friend
// ([Service.AddFriends]), is told of every change by [Session.Next]:
//
//	svc, err := presence.Open(presence.Config{Path: "presence.db"})
//	…
//	session, err := svc.Connect(ctx, presence.Device{UserID: "alice", Platform: presence.Web})
//	…
//	defer session.Close()
//	for {
//		event, err := session.Next(ctx)
//		…
//	}
//
// [Service.Explain] tells why a user's status is what it is, and
// [Service.Metrics] how the service does.
//
// # How it works
//
// Everything that changes state is an operation. One goroutine, the writer,
// takes the operations that wait, applies them in order, commits them in one
// SQLite transaction, and only then changes the model in memory, notifies the
// sessions and answers the callers. So nothing is announced or acknowledged
// before it is durable. An operation reads the view of its batch, in which the
// changes of the operations before it are, committed or not. It is bounded: a
// call with a long list is several operations, and what a deleted user leaves in
// the lists of others is removed later, a piece at a time. Reads of status come
// from the model and never wait for the disk.
//
// A user who is connected has a list of those to be told about, loaded with the
// first session; a user who is watched has an audience, of the connected users
// who are told. A change goes to the sessions of the audience.
//
// A session holds no queue but the set of users who changed since it was last
// asked; what it hands out is their status now. A slow reader therefore gets
// fewer and fresher events and always the last one, in bounded memory. It is
// pulled, and starts no goroutine: Next waits, while [Session.Notify] and
// [Session.Poll] let a few goroutines serve many sessions, as package sse does.
//
// What falls due with time (a grace, a retention, an expiry) is a deadline,
// stored with what it belongs to. The janitor sleeps until the next one and
// proposes an operation that looks at the clock again, so that it can never
// undo anything newer.
//
// # Keeping the database
//
// [Backup] copies it while a service runs, [Restore] puts a copy in its place
// while none does, and [Check] reports what is wrong with it. Each works on the file
// and needs no service.
//
// # Errors
//
// An [*Error] has a [Code], which tells its kind: errors.Is(err, CodeUnavailable).
// The sentinels, such as [ErrClosed], match themselves alone.
//
// # Tests with time
//
// A service that is opened, used and closed in a bubble of testing/synctest lives
// in its simulated time: hours pass at once.
//
// # Locks
//
// One matters: Service.mu guards the model and the waiting sets of all
// sessions. Only the writer adds, changes and removes accounts, under the lock,
// after the commit; it may therefore read them without. A session's own waiting
// set is emptied under the read lock, by the one goroutine that polls it.
// Nothing blocks while holding it. The janitor's own lock is taken before it,
// never after.
//
// # Database
//
// The file and its maintenance are the business of package store, below this one.
// It links modernc.org/sqlite, which registers itself with database/sql as
// "sqlite"; a program that links a second driver of that name panics at start.
package presence
