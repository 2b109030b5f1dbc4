package presence

import (
	"context"
	"time"
)

// Explanation tells why a user's status is what it is, and what changes next.
type Explanation struct {
	Now       time.Time         `json:"now"` // when this is so
	Status    Status            `json:"status"`
	Why       string            `json:"why"`               // one sentence about the normal status
	Next      string            `json:"next"`              // one sentence: what changes it next
	Audience  string            `json:"audience"`          // one sentence: who is told of a change
	Devices   []DeviceState     `json:"devices"`           // logged in, in order of login; never nil
	Deadlines []Deadline        `json:"deadlines"`         // the earliest first; never nil
	Refused   []RefusedDevice   `json:"refused"`           // never nil
	KickedAt  time.Time         `json:"kickedAt,omitzero"` // by Kick or Delete, the last time: older credentials are refused. Zero means never
	Switches  ExplainedSwitches `json:"switches"`
	Friends   int               `json:"friends"`   // in the user's list
	Followers int               `json:"followers"` // who subscribe to the user or have them in their list
	Streams   int               `json:"streams"`   // open
}

// DeviceState is one device that is logged in.
type DeviceState struct {
	DeviceID string    `json:"deviceID"`
	Platform Platform  `json:"platform"`
	State    string    `json:"state"` // "connected"; dropped: "grace", then if native "retained"
	Since    time.Time `json:"since"` // connected, or dropped
	LoginAt  time.Time `json:"loginAt"`
}

// Deadline is a change that comes by itself, if nothing else does before.
type Deadline struct {
	At   time.Time `json:"at"`
	What string    `json:"what"`
}

// RefusedDevice is one that was kicked or logged out less than a minute ago. If
// it only reconnects, Connect returns [ErrKicked].
type RefusedDevice struct {
	DeviceID string     `json:"deviceID"` // "" means all that reconnect without an ID, with a cursor and credentials from before
	Type     KickReason `json:"type"`     // as in the KICKED_OUT event
	Until    time.Time  `json:"until"`
}

// ExplainedSwitches are the two switches that decide who is told.
type ExplainedSwitches struct {
	UserStatus          bool `json:"userStatus"`
	FriendNotifications bool `json:"friendNotifications"`
}

// Explain returns why the user's status is what it is, and what changes next.
//
// Errors: CodeUnknownUser, CodeUnavailable.
func (s *Service) Explain(ctx context.Context, userID string) (Explanation, error) {
	e, id, err := s.explain(userID)
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
	e.Audience = e.audience()
	return e, nil
}

func (s *Service) explain(userID string) (Explanation, uint32, error) {
	now := s.clock.now()
	s.mu.RLock()
	defer s.mu.RUnlock()
	u := s.model.byName[userID]
	if u == nil {
		return Explanation{}, 0, unknownUser()
	}
	x := explainer{user: u, now: now, started: s.started, settings: &s.model.settings}
	e := Explanation{
		Now:       toTime(now),
		Status:    u.status(),
		Why:       x.why(),
		Next:      x.next(),
		Devices:   []DeviceState{},
		Deadlines: x.deadlines(),
		Refused:   s.model.kicked.refusedDevices(userID),
		KickedAt:  toTime(u.revokedAt),
		Switches:  ExplainedSwitches{s.model.switches.userStatus, s.model.switches.friendNotifications},
		Streams:   len(u.sessions()),
	}
	for _, d := range u.devices {
		e.Devices = append(e.Devices, DeviceState{
			d.id, d.platform, d.stateAt(now).String(), toTime(d.since), toTime(d.loginAt),
		})
	}
	return e, u.id, nil
}

// String returns the state as Explain tells it.
func (s deviceState) String() string {
	return [...]string{"gone", "retained", "grace", "connected"}[s]
}

// refusedDevices returns the devices of a user that are refused, the oldest kick first.
func (k *kicks) refusedDevices(userID string) []RefusedDevice {
	refused := []RefusedDevice{}
	for _, e := range k.order {
		if last := k.last[e.deviceKey]; e.userID == userID && last.until == e.until {
			refused = append(refused, RefusedDevice{e.deviceID, last.kick, toTime(e.until)})
		}
	}
	return refused
}
