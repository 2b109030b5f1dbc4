package presence

import (
	"context"
	"time"
)

// Explanation explains the status of a user: what it follows from, what changes it
// next, and who is notified.
type Explanation struct {
	Now       time.Time         `json:"now"` // the time to which the explanation applies
	Status    Status            `json:"status"`
	Why       string            `json:"why"`               // one sentence: what the normal status follows from
	Said      string            `json:"said"`              // one sentence: where the custom status and the availability come from
	Next      string            `json:"next"`              // one sentence: what changes the normal status next
	Audience  string            `json:"audience"`          // one sentence: who is notified of a change
	Public    *Status           `json:"public,omitempty"`  // what others see, if it is not the same; otherwise nil
	Others    string            `json:"others,omitempty"`  // one sentence: why others see that; empty if Public is nil
	Entries   []ExplainedEntry  `json:"entries"`           // the entries by source, the user's own first; never nil
	Devices   []DeviceState     `json:"devices"`           // the devices that are logged in, in order of login; never nil
	Deadlines []Deadline        `json:"deadlines"`         // the earliest first; never nil
	Refused   []RefusedDevice   `json:"refused"`           // the devices that can't reconnect, the oldest kick first; never nil
	KickedAt  time.Time         `json:"kickedAt,omitzero"` // the last Kick or Delete: credentials issued until then are revoked. The zero time means never
	Switches  ExplainedSwitches `json:"switches"`
	Friends   int               `json:"friends"`   // the length of the user's friend list
	Followers int               `json:"followers"` // the users who subscribe to this user or have them in their friend list
	Streams   int               `json:"streams"`   // the open sessions
}

// DeviceState is the state of one device that is logged in.
type DeviceState struct {
	DeviceID string    `json:"deviceID"`
	Platform Platform  `json:"platform"`
	State    string    `json:"state"` // "connected"; in the grace period after a disconnect "grace", and then "retained" if the device is native
	Since    time.Time `json:"since"` // when the device connected, or when it disconnected
	LoginAt  time.Time `json:"loginAt"`
	Idle     bool      `json:"idle"`           // nobody is using it, as it reported last
	Adds     string    `json:"adds"`           // what it adds to the status, in words
	Node     string    `json:"node,omitempty"` // the node that has its stream; empty without a log, and if it isn't connected
}

// ExplainedEntry is an entry, with what it adds to the status in words.
type ExplainedEntry struct {
	EntryState
	Adds string `json:"adds"`
}

// Deadline is a change that will happen at a certain time unless something else
// happens before.
type Deadline struct {
	At   time.Time `json:"at"`
	What string    `json:"what"`
}

// RefusedDevice is a device that was kicked or logged out less than a minute ago. If
// it connects with Device.Resume, Connect returns a [*KickedError].
type RefusedDevice struct {
	DeviceID string     `json:"deviceID"` // empty means every device that reconnects without an ID, with a cursor and credentials from before the kick
	Type     KickReason `json:"type"`     // the reason in the KICKED_OUT event
	Until    time.Time  `json:"until"`
}

// ExplainedSwitches are the two switches that decide who is notified; see [Settings].
type ExplainedSwitches struct {
	UserStatus          bool `json:"userStatus"`
	FriendNotifications bool `json:"friendNotifications"`
}

// Explain explains the status of a user.
//
// Errors: CodeUnknownUser, CodeUnavailable.
func (s *Service) Explain(ctx context.Context, userID string) (Explanation, error) {
	e, id, feeds, err := s.explain(userID)
	if err != nil {
		return e, err
	}
	row := s.store.Reader().QueryRowContext(ctx, `SELECT (SELECT count(*) FROM friends WHERE user = ?1 AND friend NOT IN leftovers),
		(SELECT count(*) FROM (SELECT user FROM subscriptions WHERE target = ?1 UNION SELECT user FROM friends WHERE friend = ?1)
		WHERE user NOT IN leftovers)`, id)
	if err := row.Scan(&e.Friends, &e.Followers); err != nil {
		return e, unreadable(err)
	}
	if err := s.stillThere(userID, id); err != nil {
		return Explanation{}, err
	}
	e.Audience = e.audience() + also(feeds)
	return e, nil
}

func (s *Service) explain(userID string) (e Explanation, id uint32, feeds int, err error) {
	now := s.clock.now()
	s.mu.RLock()
	defer s.mu.RUnlock()
	u := s.model.byName[userID]
	if u == nil {
		return Explanation{}, 0, 0, unknownUser()
	}
	u = new(*u)
	u.devices = s.model.ends.of(u)
	x := explainer{user: u, now: now, started: s.started, ends: s.model.ends, settings: &s.model.settings}
	streams := len(u.sessions())
	if s.node != nil {
		streams, _ = x.count(connected) // at all nodes
	}
	e = Explanation{
		Now:       toTime(now),
		Status:    s.model.status(u, u),
		Why:       x.why(),
		Said:      x.saidWhy(),
		Entries:   x.entries(),
		Next:      x.next(),
		Devices:   []DeviceState{},
		Deadlines: x.deadlines(),
		Refused:   s.model.kicked.refusedDevices(userID),
		KickedAt:  toTime(u.revokedAt),
		Switches:  ExplainedSwitches{s.model.switches.userStatus, s.model.switches.friendNotifications},
		Streams:   streams,
	}
	for _, d := range u.devices {
		e.Devices = append(e.Devices, DeviceState{
			d.id, d.platform, d.stateAt(now).String(), toTime(d.since), toTime(d.loginAt), d.idle, x.deviceAdds(&d), s.model.nodeOf(&d),
		})
	}
	if !u.looksLike(&u.own, &u.account, &u.public) {
		e.Public, e.Others = new(u.publicStatus(s.model.settings.LastSeen)), x.others()
	}
	return e, u.id, len(s.model.feeds), nil
}

// nodeOf returns the name of the node that has the stream of a device. It is empty without
// a log, and if the device isn't connected.
func (m *model) nodeOf(d *device) string {
	if !d.isConnected() {
		return ""
	}
	return m.runs[d.run].node
}

// String returns the state as it is in DeviceState.State.
func (s deviceState) String() string {
	return [...]string{"gone", "retained", "grace", "connected"}[s]
}

// refusedDevices returns the devices of a user that Connect refuses, the oldest kick
// first.
func (k *kicks) refusedDevices(userID string) []RefusedDevice {
	refused := []RefusedDevice{}
	for _, e := range k.order {
		if last := k.last[e.deviceKey]; e.userID == userID && last.until == e.until {
			refused = append(refused, RefusedDevice{e.deviceID, last.kick, toTime(e.until)})
		}
	}
	return refused
}
