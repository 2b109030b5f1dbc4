package main

import (
	"fmt"
	"slices"
	"time"

	ics "github.com/arran4/golang-ical"
)

// zone returns the moment at which clocks on the wall show a time. A time on the wall
// is a time.Time in UTC, whatever the zone is.
type zone func(wall time.Time) time.Time

// wallOf returns what clocks on the wall show at a moment.
func wallOf(z zone, t time.Time) time.Time {
	t = t.UTC()
	guess := t.Add(t.Sub(z(t))) // with the offset of some hours earlier or later
	return t.Add(guess.Sub(z(guess)))
}

func inLocation(location *time.Location) zone {
	return func(w time.Time) time.Time {
		return time.Date(w.Year(), w.Month(), w.Day(), w.Hour(), w.Minute(), w.Second(), 0, location)
	}
}

// time reads one value of a property, as a time on the wall of a zone.
func (r *reader) time(p *ics.IANAProperty, value string) (wall time.Time, z zone, err error) {
	if wall, err = time.Parse("20060102T150405Z", value); err == nil {
		return wall, inLocation(time.UTC), nil
	}
	z = r.floating
	if ids := p.ICalParameters["TZID"]; len(ids) > 0 {
		if z, err = r.zone(ids[0]); err != nil {
			return wall, nil, err
		}
	}
	wall, err = time.Parse("20060102T150405", value)
	return wall, z, err
}

// zone returns the zone with a TZID. The time zone database comes first, because
// products write VTIMEZONEs that hold for the current year only.
func (r *reader) zone(id string) (zone, error) {
	if location, err := time.LoadLocation(id); err == nil {
		return inLocation(location), nil
	}
	if z, ok := r.zones[id]; ok {
		return z, nil
	}
	return nil, fmt.Errorf("the time zone %q is not defined", id)
}

// change is a moment at which clocks are set: the old clock's time, and the offset from
// UTC before and from then on.
type change struct {
	wall         time.Time
	before, then time.Duration
}

// define adds the zone of a VTIMEZONE, such as "W. Europe Standard Time" of Outlook,
// which the time zone database doesn't have. One that can't be read stays undefined.
func (r *reader) define(timezone *ics.VTimezone) {
	var changes []change
	for _, c := range timezone.Components {
		switch c := c.(type) {
		case *ics.Standard:
			changes = append(changes, r.changes(&c.ComponentBase)...)
		case *ics.Daylight:
			changes = append(changes, r.changes(&c.ComponentBase)...)
		}
	}
	id := timezone.GetProperty(ics.ComponentProperty(ics.PropertyTzid))
	if id == nil || len(changes) == 0 {
		return
	}
	slices.SortFunc(changes, func(a, b change) int { return a.wall.Compare(b.wall) })
	r.zones[id.Value] = func(wall time.Time) time.Time {
		i, exact := slices.BinarySearchFunc(changes, wall, func(c change, t time.Time) int { return c.wall.Compare(t) })
		if exact {
			i++
		}
		if i == 0 {
			return wall.Add(-changes[0].before)
		}
		return wall.Add(-changes[i-1].then)
	}
}

// changes returns when an observance of a VTIMEZONE begins, up to the time ahead.
func (r *reader) changes(c *ics.ComponentBase) (all []change) {
	start := c.GetProperty(ics.ComponentPropertyDtStart)
	before, err1 := offset(c, ics.PropertyTzoffsetfrom)
	then, err2 := offset(c, ics.PropertyTzoffsetto)
	if start == nil || err1 != nil || err2 != nil {
		return nil
	}
	wall, err := time.Parse("20060102T150405", start.Value)
	if err != nil {
		return nil
	}
	z := func(wall time.Time) time.Time { return wall.Add(-before) }
	set, err := r.recurrence(c, wall, z, nil)
	if err != nil {
		return nil
	}
	r.each(set, wallOf(z, r.now.Add(ahead)), func(wall time.Time) {
		all = append(all, change{wall, before, then})
	})
	return all
}

// offset returns the offset from UTC that a property gives, such as +0100 or -033000.
func offset(c *ics.ComponentBase, property ics.Property) (time.Duration, error) {
	p := c.GetProperty(ics.ComponentProperty(property))
	if p == nil {
		return 0, fmt.Errorf("there is no %s", property)
	}
	layout := "-0700"
	if len(p.Value) == len("-070000") {
		layout = "-070000"
	}
	t, err := time.Parse(layout, p.Value)
	_, seconds := t.Zone()
	return time.Duration(seconds) * time.Second, err
}
