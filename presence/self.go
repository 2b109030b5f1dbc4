package presence

import (
	"slices"
	"strings"
	"time"
)

// Self is what a user's own devices may know about the user.
type Self struct {
	Status    Status       `json:"status"`
	Invisible bool         `json:"invisible"`
	Entries   []EntryState `json:"entries"` // in byte order of Source, the user's own first; never nil
	Devices   []SelfDevice `json:"devices"` // in byte order of DeviceID; never nil
}

// EntryState is an [Entry] as it is stored.
type EntryState struct {
	Source       string       `json:"source"`
	CustomStatus string       `json:"customStatus"`
	Availability Availability `json:"availability,omitzero"`
	Priority     int          `json:"priority"`
	SetAt        time.Time    `json:"setAt"`
	StartsAt     time.Time    `json:"startsAt,omitzero"`
	ExpiresAt    time.Time    `json:"expiresAt,omitzero"`
}

// SelfDevice is one device that is logged in.
type SelfDevice struct {
	DeviceID  string    `json:"deviceID"`
	Platform  Platform  `json:"platform"`
	Connected bool      `json:"connected"`
	Idle      bool      `json:"idle"`  // nobody is using it, as it reported last
	Since     time.Time `json:"since"` // when it connected, or when it disconnected
}

// Self returns what the devices of a user may know about the user. It never waits for
// the disk.
//
// Errors: CodeUnknownUser.
func (s *Service) Self(userID string) (Self, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	u := s.model.byName[userID]
	if u == nil {
		return Self{}, unknownUser()
	}
	return Self{
		Status:    s.model.status(u, u),
		Invisible: u.invisible,
		Entries:   u.said.states(),
		Devices:   selfDevices(s.model.ends.of(u)),
	}, nil
}

func (s *said) states() []EntryState {
	all := []EntryState{}
	for _, e := range s.orNothing().entries {
		all = append(all, EntryState{
			e.Source, e.Text, e.Availability, int(e.Priority), toTime(e.setAt), toTime(e.StartsAt), toTime(e.ExpiresAt),
		})
	}
	return all
}

func selfDevices(devices []device) []SelfDevice {
	all := []SelfDevice{}
	for _, d := range devices {
		all = append(all, SelfDevice{d.id, d.platform, d.isConnected(), d.idle, toTime(d.since)})
	}
	slices.SortFunc(all, func(x, y SelfDevice) int { return strings.Compare(x.DeviceID, y.DeviceID) })
	return all
}
