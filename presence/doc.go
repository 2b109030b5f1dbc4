// Package presence keeps the status of users and notifies those who watch them.
//
// [Open] opens a [Service] on one SQLite file. [Service.Connect] logs a device of
// a user in and returns a [Session], from which [Session.Next] reads events:
//
//	svc, err := presence.Open(ctx, presence.Config{Path: "presence.db"})
//	…
//	defer svc.Close()
//	session, err := svc.Connect(ctx, presence.Device{UserID: "alice", Platform: presence.Web})
//	…
//	defer session.Close()
//	for {
//		event, err := session.Next(ctx)
//		…
//	}
//
// # Concepts
//
// A user is registered by [Service.Import], or when one of their devices first
// connects. Everything about a user that others may see is a [Status]: the normal
// status, such as ONLINE, the custom status, a text that [Service.Set] sets, and an
// availability, such as busy.
//
// What is said about a user is kept in entries, one for each source: the user's own, and
// those of named sources such as a calendar. [Service.SetEntry] replaces one. The status
// shows the text with the highest priority and the strongest [Availability]. It is
// computed from all entries whenever one of them changes, begins or ends, so nothing has
// to be saved and restored.
//
// A user who is online and whose connected devices are all idle is away; see
// [Service.SetIdle].
//
// A user has two views. The user's own devices and the server side see the user as they
// are. While a user is invisible, all others see what they would see had the user logged
// out; see [Service.SetVisibility]. Each view has a version, which grows only when that
// view changes.
//
// A device belongs to one user and is logged in from its first Connect until it
// logs out, is kicked, or has been disconnected for too long. The normal status of
// a user follows from their devices and the time alone. See [StatusType].
//
// A session is one stream of events to one device. A device that connects again
// replaces its earlier session.
//
// A watcher of a user receives an event when that user's status changes. A user
// becomes a watcher of another by [Service.Subscribe] or [Service.AddFriends].
//
// A version is a number that grows with every visible change of any user. A cursor
// is the version up to which a device has received everything that concerns it.
// A device that comes back with its cursor receives only what it missed; see
// [Device].
//
// A feed, opened by [Service.Follow], receives the changes of all users. It is meant for
// the server side: it has no device, and no switch applies to it.
//
// [Service.Explain] explains the status of one user in words, and
// [Service.Metrics] returns the numbers of the service.
//
// # How it works
//
// Everything that changes state is an operation. One goroutine, the writer, takes
// the operations that wait, applies them in order, and commits them in one SQLite
// transaction. Only then does it update the model in memory, notify the sessions
// and answer the callers, so nothing is announced or acknowledged before it is
// durable. Each operation sees the changes of those before it in its batch. The
// work of an operation is bounded: a call with a long list becomes several
// operations, and the friends and subscriptions of a deleted user are removed
// later, in pieces. Statuses are read from the model and never wait for the disk.
//
// The model holds two sides of each pair of watcher and watched. A connected user
// has a list of the users they watch, which is loaded with their first session. A
// watched user has an audience: the connected users who watch them. A change goes
// to all sessions of the audience.
//
// A session keeps no queue, only the set of users who changed since it was last
// polled. An event carries their status at the time it is read. A slow reader
// therefore receives fewer and fresher events, always including the latest status,
// in bounded memory. A session starts no goroutine: Next waits for one session,
// while [Session.Notify] and [Session.Poll] let a few goroutines serve many, as
// package sse does.
//
// A feed keeps not even a set. The model has all users in a list, in order of version:
// a user who changes moves to its end. A feed is a place in that list, and what it
// still has to send is the rest of it.
//
// Whatever happens at a later time (the end of a grace, of a retention, of a
// custom status) is a deadline, stored with the device or user it concerns. A
// second goroutine, the janitor, sleeps until the next deadline and then submits
// an operation. The operation checks the time again, so it never undoes a newer
// change.
//
// # Errors
//
// An [*Error] has a [Code], which says what kind of error it is:
// errors.Is(err, CodeUnavailable). Sentinels such as [ErrClosed] match only
// themselves. An error of any other type is a failure of the service itself, or
// the error of the context.
//
// # Maintenance
//
// [Backup] copies a database, even while a service uses it. [Restore] puts a copy
// in place of a database that no service uses. [Check] reports what is wrong with
// a database. All three take the path of the file and need no service. Package
// store, below this one, does the work on the file.
//
// Package store links modernc.org/sqlite, which registers itself with database/sql
// as "sqlite". A program that links a second driver of that name panics at start.
//
// # Tests
//
// In a bubble of testing/synctest, a service that is opened, used and closed there
// uses simulated time, so that a test of hours takes no time.
//
// # Locks
//
// Service.mu guards the model and the waiting sets of all sessions. Only the
// writer adds, changes and removes accounts. It does so under the lock, after the
// commit, and may therefore read them without the lock. A session's waiting set is
// emptied under the read lock, by the one goroutine that polls the session. No
// goroutine blocks while it holds the lock. The janitor's own lock is taken before
// Service.mu, never after it.
package presence
