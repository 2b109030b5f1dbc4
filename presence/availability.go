package presence

import "fmt"

// Availability says whether a user can be, and wants to be, disturbed. The values are in
// ascending order of strength: of several, the strongest is shown.
type Availability int8

// The availabilities, by their names in the public protocol.
const (
	Available Availability = iota // none is stated; its name is empty
	Away                          // "away": nobody is using the user's devices
	Busy                          // "busy": the user is occupied
	DND                           // "dnd": the user is not to be disturbed
)

var availabilities = [...]string{"", "away", "busy", "dnd"}

// String returns the name, which is empty for Available, or "Availability(9)" for a
// number that has none.
func (a Availability) String() string {
	if a < Available || a > DND {
		return fmt.Sprintf("Availability(%d)", int8(a))
	}
	return availabilities[a]
}

// MarshalText returns the name.
func (a Availability) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText sets a to the availability with a name, as ParseAvailability does.
func (a *Availability) UnmarshalText(name []byte) (err error) {
	*a, err = ParseAvailability(string(name))
	return err
}

// ParseAvailability returns the availability with a name. It returns an [*Error] with
// CodeMalformed for any other name than "", "away", "busy" and "dnd".
func ParseAvailability(name string) (Availability, error) {
	for i, known := range availabilities {
		if name == known {
			return Availability(i), nil
		}
	}
	return Available, malformed("availability must be one of away, busy, dnd")
}
