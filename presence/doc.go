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
// connects. What can be seen of a user is a [Status]. Its normal status, such as
// ONLINE, follows from the user's devices and the time alone; see [StatusType]. Its
// custom status, which is a text, and its availability, such as busy, come from
// entries. If no entry states an availability, a user who is ONLINE and whose devices
// are all idle is away; see [Service.SetIdle].
//
// An entry is what one source says about a user. There is one entry for each source: the
// user's own, and those of named sources such as a calendar. [Service.Set] sets the text
// of the user's own, and [Service.SetEntry] replaces any entry. The status shows the text
// with the highest priority and the strongest [Availability]. It is computed from all
// entries whenever one of them changes, begins or ends, so nothing has to be saved and
// restored.
//
// A user has two views. The user's own devices and the server side see the user as they
// are. While a user is invisible, all others see what they would see had the user logged
// out; see [Service.SetVisibility]. Each view has a version, which grows only when that
// view changes. The server side is the program that uses this package, and any backend
// that it gives access to all users.
//
// A device belongs to one user and is logged in from its first Connect until it
// logs out, is kicked, or has been disconnected for too long. A device that
// disconnects counts as connected for a grace period. After that, a native device
// makes its user OFFLINE for a retention period; see [Settings].
//
// A session is one stream of events to one device. A device that connects again
// replaces its earlier session.
//
// A watcher of a user receives an event when that user's status changes. A user
// becomes a watcher of another by [Service.Subscribe] or [Service.AddFriends].
//
// A version is a number. Each visible change of a user gets one, which is higher than
// all versions before it, those of earlier runs included. Versions are not
// consecutive. A cursor is the version up to which a device or a feed has received
// everything that concerns it. A device that comes back with its cursor receives
// only what it missed; see [Device].
//
// A run of the service begins with [Open], and ends with [Service.Close] or with the
// process. A node, which is one of several services that share a [Log], may have several
// runs, one after another.
//
// A feed, opened by [Service.Follow], receives the changes of all users. It is meant for
// the server side: it has no device, and it ignores the two switches,
// Settings.UserStatus and Settings.FriendNotifications.
//
// [Service.Explain] explains the status of one user in words, and
// [Service.Metrics] returns the numbers of the service.
//
// # How it works
//
// Everything that changes state is an operation. One goroutine, the writer, takes
// the operations that wait, applies them in order, and commits them in one SQLite
// transaction. Only then does it update the model, which is the state of all users
// in memory, notify the sessions and answer the callers. So nothing is announced or
// acknowledged before it is durable. Each operation sees the changes of those before
// it in its batch. The work of an operation is bounded: a call with a long list
// becomes several operations, and the friends and subscriptions of a deleted user are
// removed later, in pieces. Statuses are read from the model and never wait for the
// disk.
//
// The model stores twice who watches whom. A connected user has a list of the users
// they watch, which is loaded with their first session. A watched user has an
// audience: the connected users who watch them. A change is sent to all sessions
// of the audience, and to those of the user.
//
// A session keeps no queue, only its waiting set: the users who have changed and whose
// status it has not sent since. An event contains their status as it is when the
// event is read. A slow reader
// therefore receives fewer and fresher events, always including the latest status,
// in bounded memory. A session starts no goroutine: Next waits for one session,
// while [Session.Notify] and [Session.Poll] let a few goroutines serve many, as
// package sse does.
//
// A feed doesn't even keep a set. The model has a list of all users in order of version:
// a user who changes moves to the end of the list. A feed is a place in that list, and
// what it still has to send is the rest of the list.
//
// A change that is due at a later time, such as the end of a grace period or of an
// entry, is a deadline, stored with the device, entry or user that it concerns. A
// second goroutine, the janitor, sleeps until the next deadline and then submits
// an operation. The operation checks the time again, so it never undoes a newer
// change.
//
// # Several nodes
//
// Several services that have the same Config.Log act as one. Each is a node: it has a
// database of its own, which holds the whole state, and it serves any client. The log
// orders batches of operations, and keeps them. The writer of a node doesn't apply the
// operations that wait, but appends them to the log as one entry, and waits until that is
// applied. A goroutine of each node applies all entries, in order, to its database. On the
// node that has appended an entry, it then answers the callers. So nothing is announced or
// acknowledged before it is durable in the log and applied here, and the nodes need to reach
// the log only, not one another.
//
// The same entries lead to the same state on all nodes, because an operation depends on
// nothing else: an entry has the time of the log, operations have IDs and ages instead of
// times of a node, and the settings that decide an outcome are part of the state. Each node
// computes a digest of what it has applied, and compares it with those of the others.
//
// With a log there is a run for each node. A device refers to the run that has its stream,
// so the end of a run is one operation, whatever the number of its users: it begins the
// grace period of all its devices. A node appends a beat each second. The third beat of a node
// since the last one of another means that the other node is dead, and ends its run. A node
// whose run was ended, although it lives, begins another one and takes over the devices whose
// streams are still open.
//
// An append whose outcome is unknown is repeated. The entries of a run are numbered, so a
// repeat has no effect. A node that was away for longer than the log keeps its entries, and
// one that is new, begins with a snapshot: a copy of the database of another node, which the
// log keeps as well.
//
// # Errors
//
// An [*Error] has a [Code], which says what kind of error it is:
// errors.Is(err, CodeUnavailable). Values such as [ErrClosed] match only
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
// A test can open, use and close a service in a bubble of testing/synctest. The service
// then uses the bubble's simulated time, so a test of hours ends immediately.
//
// # Locks
//
// Service.mu guards the model and the waiting sets of all sessions. Only the writer
// adds, changes and removes accounts, which are the stored part of users. It does so
// after the commit, while it holds the lock, and may therefore read accounts without
// the lock. To remove users from a session's waiting set, the read lock is enough for
// the goroutine that polls the session, because there is only one. No goroutine blocks
// while it holds the lock. With a log, the goroutine that applies the log changes accounts
// instead of the writer, which only appends.
//
// The locks are taken in this order, and each may be left out: that of the janitor,
// Service.mu, that of the node, that of the writer's queue.
package presence
