package presence

import "fmt"

// saidWhy returns the sentence that says where the custom status and the availability
// come from.
func (x explainer) saidWhy() string {
	text := "no custom status, because no entry has a text"
	if shown := x.said.shown(); shown != nil {
		text = "the custom status is that of " + shown.name()
		if all, equal := x.said.rivals(shown); equal > 1 {
			text += fmt.Sprintf(", which was set last of the %d entries with the highest priority (%d)", equal, shown.Priority)
		} else if all > 1 {
			text += fmt.Sprintf(", which has the highest priority (%d) of the %d entries with a text", shown.Priority, all)
		}
	}
	return text + "; " + x.availabilityWhy()
}

func (x explainer) availabilityWhy() string {
	stated := x.said.orNothing().availability
	for _, e := range x.said.orNothing().entries {
		if stated != Available && !e.waiting && e.Availability == stated {
			return fmt.Sprintf("%s, because %s says so", stated, e.name())
		}
	}
	if x.own.away {
		return fmt.Sprintf("%s, because nobody is using any of the devices that count as connected", Away)
	}
	return "no availability, because no entry states one, and the user isn't idle"
}

// rivals returns the number of entries whose texts could be shown, and how many of them
// have the priority of shown, which is one of them.
func (s *said) rivals(shown *entry) (all, equal int) {
	for i := range s.entries {
		if e := &s.entries[i]; e.competes() {
			all++
			if e.Priority == shown.Priority {
				equal++
			}
		}
	}
	return all, equal
}

// name names the entry in a sentence.
func (e *entry) name() string {
	if e.Source == "" {
		return "the user's own entry"
	}
	return "the entry " + e.Source
}

// entries returns the entries with what each adds.
func (x explainer) entries() []ExplainedEntry {
	all := []ExplainedEntry{}
	for i, state := range x.said.states() {
		all = append(all, ExplainedEntry{state, x.entryAdds(&x.said.entries[i])})
	}
	return all
}

// entryAdds returns what an entry adds to the status.
func (x explainer) entryAdds(e *entry) string {
	if e.waiting {
		return "nothing until it begins"
	}
	shown, strongest := x.said.shown(), x.said.availability
	text, availability := "no text", "no availability"
	switch {
	case e == shown:
		text = "the custom status"
	case e.Text != "" && e.Priority < shown.Priority:
		text = fmt.Sprintf("a text that is not shown, because %s has a higher priority", shown.name())
	case e.Text != "":
		text = fmt.Sprintf("a text that is not shown, because %s has the same priority and was set later", shown.name())
	}
	switch {
	case e.Availability == Available:
	case e.Availability == strongest:
		availability = "the availability " + strongest.String()
	default:
		availability = fmt.Sprintf("the availability %s, which is weaker than %s", e.Availability, strongest)
	}
	return text + ", and " + availability
}

// deviceAdds returns what a device adds to the status.
func (x explainer) deviceAdds(d *device) string {
	adds := "nothing"
	switch d.stateAt(x.now) {
	case connected, inGrace:
		adds = Online.String()
		if d.idle {
			adds += ", and away unless another device is in use"
		}
	case retained:
		adds = Offline.String() + ", unless another device is connected"
	}
	switch {
	case x.invisible:
		adds += "; nothing for others, because the user is invisible"
	case d.hidden:
		adds += "; nothing for others until it connects again, because it was not connected when the user stopped being invisible"
	}
	return adds
}

// others returns the sentence that says why others see something else.
func (x explainer) others() string {
	if x.invisible {
		return fmt.Sprintf("others see %s, because the user is invisible: to others, no device of the user exists", x.public.statusType)
	}
	return fmt.Sprintf("others see %s, because devices that were not connected when the user stopped being invisible don't exist for others until they connect again",
		x.public.statusType)
}
