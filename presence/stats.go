package presence

import "context"

// Stats are the numbers that an operator asks for first. See also [Metrics].
type Stats struct {
	Users         UserCounts `json:"users"`
	Streams       int        `json:"streams"`             // the open sessions and feeds
	Subscriptions int        `json:"subscriptions"`       // the stored subscriptions
	Version       int64      `json:"version"`             // the last version issued
	Deliveries    int64      `json:"deliveries,omitzero"` // the statuses sent as events since Open

	Availability AvailabilityCounts `json:"availability,omitzero"`
}

// UserCounts are the numbers of registered users by normal status.
type UserCounts struct {
	Online    int `json:"online"`
	Offline   int `json:"offline"`
	Unlogined int `json:"unlogined"`
}

// AvailabilityCounts are the numbers of registered users by availability, as the server
// side sees them and whatever their normal status is. Users without one are not counted.
type AvailabilityCounts struct {
	Away int `json:"away"`
	Busy int `json:"busy"`
	DND  int `json:"dnd"`
}

// Stats returns the numbers of the service as they are now.
//
// Errors: CodeUnavailable when the database can't be read.
func (s *Service) Stats(ctx context.Context) (Stats, error) {
	stats := s.stats()
	row := s.store.Reader().QueryRowContext(ctx, "SELECT count(*) FROM subscriptions WHERE user NOT IN leftovers AND target NOT IN leftovers")
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
		Users:      m.userCounts(),
		Streams:    m.streams,
		Version:    m.version,
		Deliveries: s.meters.delivered(),

		Availability: m.availabilityCounts(),
	}
}

func (m *model) userCounts() UserCounts {
	return UserCounts{m.census.byStatus[Online], m.census.byStatus[Offline], m.census.byStatus[Unlogined]}
}

func (m *model) availabilityCounts() AvailabilityCounts {
	return AvailabilityCounts{m.census.byAvailability[Away], m.census.byAvailability[Busy], m.census.byAvailability[DND]}
}
