package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	ics "github.com/arran4/golang-ical"
	"github.com/teambition/rrule-go"
)

// ahead is how far ahead occurrences are looked for, so that an event that follows
// another without a pause prolongs it.
const ahead = 24 * time.Hour

// span is the time from start to end, without end itself.
type span struct{ start, end time.Time }

// busy returns when the owner of a calendar is busy: the running event, or else the
// next one, if it starts by the given time. Events that overlap or follow one another
// without a pause are one span. The zero span means that there is none. An event that
// can't be read is left out, and the first such error is returned next to the span.
func busy(ctx context.Context, calendar *ics.Calendar, now, startsBy time.Time) (found span, err error) {
	defer func() { // the calendar is somebody else's input to two libraries
		if p := recover(); p != nil {
			found, err = span{}, fmt.Errorf("the calendar can't be read: %v", p)
		}
	}()
	spans, err := newReader(ctx, calendar, now).spans(calendar)
	if ctx.Err() != nil {
		return span{}, fmt.Errorf("the calendar takes too long to compute: %w", ctx.Err())
	}
	slices.SortFunc(spans, func(a, b span) int { return a.start.Compare(b.start) })
	for _, s := range spans {
		switch {
		case found.end.IsZero() && !s.start.After(startsBy):
			found = s
		case found.end.IsZero(), s.start.After(found.end):
			return found, err
		case s.end.After(found.end):
			found.end = s.end
		}
	}
	return found, err
}

// reader reads the times of one calendar.
type reader struct {
	ctx      context.Context
	now      time.Time
	zones    map[string]zone // of the VTIMEZONEs, by TZID
	floating zone            // of times without a TZID
}

func newReader(ctx context.Context, calendar *ics.Calendar, now time.Time) *reader {
	r := &reader{ctx, now, make(map[string]zone), inLocation(time.Local)}
	for _, timezone := range calendar.Timezones() {
		r.define(timezone)
	}
	for _, p := range calendar.CalendarProperties {
		if p.IANAToken == string(ics.PropertyXWRTimezone) {
			if z, err := r.zone(p.Value); err == nil {
				r.floating = z
			}
		}
	}
	return r
}

// spans returns the occurrences that end after now and start within the time ahead.
func (r *reader) spans(calendar *ics.Calendar) (all []span, first error) {
	moved := make(map[string][]time.Time) // by UID: the occurrences that events of their own replace
	for _, event := range calendar.Events() {
		if p := event.GetProperty(ics.ComponentPropertyRecurrenceId); p != nil {
			if wall, z, err := r.time(p, p.Value); err == nil {
				moved[event.Id()] = append(moved[event.Id()], z(wall))
			}
		}
	}
	for _, event := range calendar.Events() {
		var replaced []time.Time
		if event.GetProperty(ics.ComponentPropertyRecurrenceId) == nil {
			replaced = moved[event.Id()]
		}
		spans, err := r.occurrences(event, replaced)
		if err != nil && first == nil {
			first = fmt.Errorf("event %s is left out: %w", event.Id(), err)
		}
		all = append(all, spans...)
	}
	return all, first
}

// occurrences returns the spans of one event, except for those that are replaced.
func (r *reader) occurrences(event *ics.VEvent, replaced []time.Time) (spans []span, err error) {
	start := event.GetProperty(ics.ComponentPropertyDtStart)
	if isFree(event) || start == nil || isDate(start) {
		return nil, nil
	}
	wall, z, err := r.time(start, start.Value)
	if err != nil {
		return nil, err
	}
	length, err := r.length(event, wall, z)
	if err != nil || length <= 0 {
		return nil, err
	}
	set, err := r.recurrence(&event.ComponentBase, wall, z, replaced)
	if err != nil {
		return nil, err
	}
	r.each(set, wallOf(z, r.now.Add(ahead)), func(wall time.Time) {
		if s := z(wall); s.Add(length).After(r.now) {
			spans = append(spans, span{s, s.Add(length)})
		}
	})
	return spans, nil
}

// isFree reports whether an event leaves its owner free, because it was cancelled or
// is marked as free.
func isFree(event *ics.VEvent) bool {
	is := func(property ics.ComponentProperty, value string) bool {
		p := event.GetProperty(property)
		return p != nil && strings.EqualFold(p.Value, value)
	}
	return is(ics.ComponentPropertyStatus, "CANCELLED") || is(ics.ComponentPropertyTransp, "TRANSPARENT")
}

// isDate reports whether a property is a day, as in events that take whole days.
func isDate(p *ics.IANAProperty) bool { return len(p.Value) == len("20060102") }

// length returns how long an event takes: zero if it says neither DTEND nor DURATION.
func (r *reader) length(event *ics.VEvent, start time.Time, z zone) (time.Duration, error) {
	if p := event.GetProperty(ics.ComponentPropertyDtEnd); p != nil {
		end, endZone, err := r.time(p, p.Value)
		if err != nil {
			return 0, err
		}
		return endZone(end).Sub(z(start)), nil
	}
	if p := event.GetProperty(ics.ComponentPropertyDuration); p != nil {
		return duration(p.Value)
	}
	return 0, nil
}

// duration reads a duration of RFC 5545, section 3.3.6, such as P1DT2H or P2W.
func duration(text string) (time.Duration, error) {
	days, clock, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(text, "+"), "P"), "T")
	length, err := time.ParseDuration(cmp.Or(strings.ToLower(clock), "0s"))
	factor := 24 * time.Hour
	if weeks, ok := strings.CutSuffix(days, "W"); ok {
		days, factor = weeks, 7*factor
	}
	n, err2 := strconv.ParseUint(cmp.Or(strings.TrimSuffix(days, "D"), "0"), 10, 12)
	if err := errors.Join(err, err2); err != nil {
		return 0, fmt.Errorf("%q is no duration", text)
	}
	return length + time.Duration(n)*factor, nil
}

// recurrence returns when a component begins, as times on the wall: at its start, and
// as its RRULE and RDATE say, except for its EXDATEs and those that are replaced.
func (r *reader) recurrence(c *ics.ComponentBase, start time.Time, z zone, replaced []time.Time) (*rrule.Set, error) {
	var set rrule.Set
	set.DTStart(start)
	set.RDate(start)
	for _, t := range replaced {
		set.ExDate(wallOf(z, t))
	}
	err := errors.Join(
		r.dates(c, ics.ComponentPropertyExdate, z, set.ExDate),
		r.dates(c, ics.ComponentPropertyRdate, z, set.RDate))
	if p := c.GetProperty(ics.ComponentPropertyRrule); p != nil && err == nil {
		var rule *rrule.RRule
		if rule, err = r.rule(p.Value, start, z); err == nil {
			set.RRule(rule)
		}
	}
	return &set, err
}

// dates calls add for each time of a property, as a time on the wall of a zone.
func (r *reader) dates(c *ics.ComponentBase, property ics.ComponentProperty, z zone, add func(time.Time)) error {
	for _, p := range c.GetProperties(property) {
		for value := range strings.SplitSeq(p.Value, ",") {
			value, _, _ = strings.Cut(value, "/") // a period begins with its start
			if len(value) == len("20060102") {
				continue // a day: only events that take whole days have them
			}
			wall, its, err := r.time(p, value)
			if err != nil {
				return err
			}
			add(wallOf(z, its(wall)))
		}
	}
	return nil
}

// rule returns an RRULE, up to the time ahead. A rule that recurs more than once a day
// is an error: no calendar needs it, and it could take for ever to compute.
func (r *reader) rule(text string, start time.Time, z zone) (*rrule.RRule, error) {
	option, err := rrule.StrToROption(text)
	if err != nil {
		return nil, err
	}
	if option.Freq > rrule.DAILY || max(len(option.Byhour), len(option.Byminute), len(option.Bysecond)) > 1 {
		return nil, errors.New("it recurs more than once a day")
	}
	_, until, _ := strings.Cut(text, "UNTIL=")
	until, _, _ = strings.Cut(until, ";")
	switch {
	case strings.HasSuffix(until, "Z"):
		option.Until = wallOf(z, option.Until)
	case len(until) == len("20060102"): // that day is the last one
		option.Until = option.Until.Add(24*time.Hour - time.Second)
	}
	if limit := wallOf(z, r.now.Add(ahead)); option.Until.IsZero() || option.Until.After(limit) {
		option.Until = limit
	}
	option.Dtstart = start
	return rrule.NewRRule(*option)
}

// each calls f for the times of a set up to a limit, in order, until the reader's
// context is done.
func (r *reader) each(set *rrule.Set, limit time.Time, f func(time.Time)) {
	next := set.Iterator()
	for t, ok := next(); ok && !t.After(limit) && r.ctx.Err() == nil; t, ok = next() {
		f(t)
	}
}
