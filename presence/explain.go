package presence

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Explanation tells why a user's status is what it is, and what changes next.
type Explanation struct {
	Status    Status            `json:"status"`
	Why       string            `json:"why"`       // one sentence
	Devices   []DeviceState     `json:"devices"`   // logged in, in order of login; never nil
	Deadlines []Deadline        `json:"deadlines"` // the earliest first; never nil
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
	row := s.store.read.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM friends WHERE user = ?1), (SELECT count(*) FROM
		(SELECT user FROM subscriptions WHERE target = ?1 UNION SELECT user FROM friends WHERE friend = ?1))`, id)
	if err := row.Scan(&e.Friends, &e.Followers); err != nil {
		return e, unreadable(err)
	}
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
	e := Explanation{
		Status:    u.status(),
		Why:       u.why(now),
		Devices:   []DeviceState{},
		Deadlines: append(u.expiring(), u.comingUp(now)...),
		Switches:  ExplainedSwitches{s.model.switches.userStatus, s.model.switches.friendNotifications},
		Streams:   len(u.sessions),
	}
	slices.SortStableFunc(e.Deadlines, func(x, y Deadline) int { return x.At.Compare(y.At) })
	for _, d := range u.devices {
		e.Devices = append(e.Devices, DeviceState{
			d.id, d.platform, d.stateAt(now).String(), moment(d.since), moment(d.loginAt),
		})
	}
	return e, u.id, nil
}

// String returns the state as Explain tells it.
func (s deviceState) String() string {
	return [...]string{"gone", "retained", "grace", "connected"}[s]
}

// why says in one sentence what the normal status follows from.
func (a *account) why(now micros) string {
	count := make(map[deviceState]int)
	for i := range a.devices {
		count[a.devices[i].stateAt(now)]++
	}
	switch {
	case count[connected] > 0:
		return fmt.Sprintf("%s because devices are connected: %d", Online, count[connected])
	case count[inGrace] > 0:
		return fmt.Sprintf("%s because devices dropped a moment ago and may come back: %d", Online, count[inGrace])
	case count[retained] > 0:
		return fmt.Sprintf("%s because native devices dropped without logging out: %d", Offline, count[retained])
	}
	return fmt.Sprintf("%s because no device is logged in", Unlogined)
}

// expiring lists the streams that end with their credentials.
func (u *user) expiring() []Deadline {
	all := []Deadline{}
	for _, s := range u.sessions {
		if !s.expires.IsZero() {
			all = append(all, Deadline{s.expires.UTC(), fmt.Sprintf("the token of device %s expires, which ends its stream", s.deviceID)})
		}
	}
	return all
}

// comingUp lists what falls due.
func (a *account) comingUp(now micros) []Deadline {
	all := []Deadline{}
	add := func(at micros, format string, args ...any) {
		if at != 0 {
			all = append(all, Deadline{moment(at), fmt.Sprintf(format, args...)})
		}
	}
	for i := range a.devices {
		d := &a.devices[i]
		if d.stateAt(now) == inGrace {
			add(d.graceUntil, "device %s no longer counts as connected: the user is then %s", d.id, statusTypeAt(a.devices, d.graceUntil))
		}
		if d.run == 0 && d.platform.Native() {
			gone := max(d.graceUntil, d.retainUntil)
			add(gone, "device %s is forgotten: the user is then %s", d.id, statusTypeAt(a.devices, gone))
		}
	}
	add(a.expiresAt, "the custom status expires")
	add(a.clearAt, "the custom status is cleared, because the user is UNLOGINED")
	return all
}

// Stats are numbers about the whole service.
type Stats struct {
	Users         UserCounts `json:"users"`
	Streams       int        `json:"streams"`       // open sessions
	Subscriptions int        `json:"subscriptions"` // stored
	Version       int64      `json:"version"`       // the last one given out
}

// UserCounts are the registered users by normal status.
type UserCounts struct {
	Online    int `json:"online"`
	Offline   int `json:"offline"`
	Unlogined int `json:"unlogined"`
}

// Stats returns numbers about the whole service.
//
// Errors: CodeUnavailable when the database can't be read.
func (s *Service) Stats(ctx context.Context) (Stats, error) {
	stats := s.stats()
	row := s.store.read.QueryRowContext(ctx, "SELECT count(*) FROM subscriptions")
	if err := row.Scan(&stats.Subscriptions); err != nil {
		return stats, unreadable(err)
	}
	return stats, nil
}

func (s *Service) stats() Stats {
	s.mu.RLock()
	defer s.mu.RUnlock()
	m := &s.model
	return Stats{
		Users:   m.userCounts(),
		Streams: m.streams,
		Version: m.version,
	}
}

func (m *model) userCounts() UserCounts {
	return UserCounts{m.census[Online], m.census[Offline], m.census[Unlogined]}
}
