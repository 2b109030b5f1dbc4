package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// checkStream checks that events arrive immediately, and that a stream survives
// silence.
func (d *doctor) checkStream(ctx context.Context) {
	s := d.follow(ctx, d.plain())
	defer s.close(ctx)
	ready, late := s.coming(ctx, isEvent("READY"))
	switch {
	case late:
		d.keepsBack(fmt.Sprintf("the first event arrived only when the stream ended, after %s", rounded(ready.at.Sub(s.began))))
	case ready.over:
		d.checkRejection(cmp.Or(ready.err, errors.New("the stream ended before its first event")))
	case ready.event.name == "":
		d.keepsBack(fmt.Sprintf("no event arrived within %s", rounded(d.patience)))
	default:
		d.checkReady(ctx, s, ready)
		return
	}
	d.unmeasured("silence", "no stream could be opened")
}

func (d *doctor) keepsBack(found string) {
	d.problem("buffering", found, "Nobody receives a change of status until enough of them fill a buffer, "+
		"which can take hours. Pages look connected, but show outdated statuses.", fixBuffering)
}

// checkReady continues with a stream whose first event arrived in time.
func (d *doctor) checkReady(ctx context.Context, s *deviceStream, ready arrival) {
	last := ready.at
	found := "the first event arrived after " + rounded(ready.at.Sub(s.began))
	if d.own {
		took, a := d.change(ctx, s)
		switch {
		case a.over:
			d.cut(0, a.at.Sub(s.began), "")
			return
		case a.event.name != "":
			last = a.at
			found += ", a change of status after " + rounded(took)
		case took > 0:
			d.keepsBack("the first event arrived immediately, but a change of status didn't arrive within " + rounded(took))
			d.unmeasured("silence", "no stream could be opened")
			return
		}
	}
	d.good("buffering", "%s", found)
	var said struct{ KeepaliveSeconds float64 }
	if err := json.Unmarshal(ready.event.data, &said); err != nil || said.KeepaliveSeconds <= 0 {
		d.unmeasured("silence", "READY has no valid keepaliveSeconds: %s", ready.event.data)
		return
	}
	d.checkSilence(s, last, time.Duration(said.KeepaliveSeconds*float64(time.Second)))
}

// change sets the user's custom status and clears it. It returns how long the
// stream took to report this, and what arrived last. last is empty if nothing
// arrived in time; took is then the patience, or zero if the status can't be set.
func (d *doctor) change(ctx context.Context, s *deviceStream) (took time.Duration, last arrival) {
	for _, text := range []string{rand.Text()[:8], ""} {
		asked := time.Now()
		if d.post(ctx, "/v1/setSelfStatus", map[string]string{"customStatus": text}) != nil {
			return 0, last
		}
		last, _ = s.until(d.patience, func(a arrival) bool {
			return a.event.name == "USER_STATUS_UPDATED" && bytes.Contains(a.event.data, []byte(`"customStatus":"`+text+`"`))
		})
		if last.event.name == "" {
			return d.patience, last
		}
		took = max(took, last.at.Sub(asked))
	}
	return took, last
}

// longestWatch is how long a silent stream is watched at most, unless the options say
// otherwise.
const longestWatch = time.Minute

// checkSilence waits until a silent stream is cut. last is when the last event arrived.
func (d *doctor) checkSilence(s *deviceStream, last time.Time, keepalive time.Duration) {
	const check = "silence"
	watch := d.watch
	if watch == 0 {
		watch = longestWatch
	}
	end := time.Now().Add(watch)
	for broken := 0; ; {
		wait := time.Until(last.Add(keepalive + d.patience))
		a, ok := s.next(min(wait, time.Until(end)))
		switch {
		case ok && (a.event.retry != "" || a.event.name == "KICKED_OUT"):
			d.unmeasured(check, "the server ended the stream: %s %s", a.event.name, a.event.data)
			return
		case ok && a.event.name == "KEEPALIVE":
			broken++
			last = a.at
			if d.watch == 0 {
				d.good(check, "KEEPALIVE arrived after %s, as it should", rounded(keepalive))
				return
			}
		case ok && a.event.name != "":
			last = a.at
		case ok && broken > 0:
			d.cut(0, time.Since(s.began), fmt.Sprintf(", although the server sent KEEPALIVE every %s", keepalive))
			return
		case ok:
			d.cut(time.Since(last), 0, fmt.Sprintf(", but the server sends KEEPALIVE only every %s", keepalive))
			return
		case !time.Now().Before(end) && broken > 0:
			d.good(check, "the stream was watched for %s, in which %d KEEPALIVE arrived", rounded(watch), broken)
			return
		case !time.Now().Before(end):
			d.unmeasured(check, "the server sends KEEPALIVE only after %s, and the stream was watched for %s", keepalive, watch)
			return
		default:
			d.keepsBack(fmt.Sprintf("the server sends KEEPALIVE after %s, but nothing arrived for %s", keepalive, rounded(time.Since(last))))
			return
		}
	}
}

// cut reports a stream that was cut. silent is the silence before, or zero if the
// stream wasn't silent.
func (d *doctor) cut(silent, lasted time.Duration, why string) {
	found := "the stream was cut after " + rounded(lasted)
	if silent > 0 {
		found = "the stream was cut after " + rounded(silent) + " of silence"
	}
	d.problem("silence", found+why, "Every client reconnects again and again. Changes arrive late "+
		"meanwhile, and the server has needless work.", fixCut(silent))
}

// checkResume checks that the server receives Last-Event-ID. If it doesn't,
// the id of the first event is the current version instead of zero.
func (d *doctor) checkResume(ctx context.Context) {
	const check = "Last-Event-ID"
	how := d.plain()
	how.resume = "0"
	s := d.follow(ctx, how)
	defer s.close(ctx)
	switch ready, _ := s.coming(ctx, isEvent("READY")); {
	case ready.event.name == "":
		d.unmeasured(check, "no stream could be opened")
	case ready.event.id == "0":
		d.good(check, "the server receives the header")
	default:
		d.problem(check, "the server doesn't receive the header", "Clients that were briefly disconnected don't receive the changes of that time.", fixHeader(check))
	}
}

// rounded formats a duration, rounded for people.
func rounded(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(time.Second / 10).String()
}
