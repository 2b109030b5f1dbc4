package doctor

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// checkStream checks that events arrive immediately, and that a stream survives
// silence.
func (v *visit) checkStream(ctx context.Context) {
	s := v.follow(ctx, v.plain())
	defer s.close(ctx)
	ready, late := s.coming(ctx, isA("READY"))
	switch {
	case late:
		v.keepsBack(fmt.Sprintf("the first event arrived only when the stream ended, after %s", seconds(ready.at.Sub(s.began))))
	case ready.over:
		v.checkRefusal(cmp.Or(ready.err, errors.New("the stream ended before its first event")))
	case ready.event.kind == "":
		v.keepsBack(fmt.Sprintf("no event arrived within %s", seconds(v.Patience)))
	default:
		v.checkReady(ctx, s, ready)
		return
	}
	v.unmeasured("silence", "no stream could be opened")
}

func (v *visit) keepsBack(found string) {
	v.problem("buffering", found, "Nobody receives a change of status until enough of them fill a buffer, "+
		"which can take hours. Pages look connected, but show outdated statuses.", fixBuffering)
}

// checkReady continues with a stream whose first event arrived in time.
func (v *visit) checkReady(ctx context.Context, s *stream, ready arrival) {
	last := ready.at
	found := "the first event arrived after " + seconds(ready.at.Sub(s.began))
	if v.Own {
		took, a := v.change(ctx, s)
		switch {
		case a.over:
			v.cut(0, a.at.Sub(s.began), "")
			return
		case a.event.kind != "":
			last = a.at
			found += ", a change of status after " + seconds(took)
		case took > 0:
			v.keepsBack("the first event arrived immediately, but a change of status didn't arrive within " + seconds(took))
			v.unmeasured("silence", "no stream could be opened")
			return
		}
	}
	v.good("buffering", "%s", found)
	var said struct{ KeepaliveSeconds float64 }
	if err := json.Unmarshal([]byte(ready.event.data), &said); err != nil || said.KeepaliveSeconds <= 0 {
		v.unmeasured("silence", "READY has no valid keepaliveSeconds: %s", ready.event.data)
		return
	}
	v.checkSilence(s, last, time.Duration(said.KeepaliveSeconds*float64(time.Second)))
}

// change sets the user's custom status and clears it. It returns how long the
// stream took to report this, and what arrived last. last is empty if nothing
// arrived in time; took is then the patience, or zero if the status can't be set.
func (v *visit) change(ctx context.Context, s *stream) (took time.Duration, last arrival) {
	for _, text := range []string{rand.Text()[:8], ""} {
		asked := time.Now()
		if v.post(ctx, "/v1/setSelfStatus", map[string]string{"customStatus": text}) != nil {
			return 0, last
		}
		last, _ = s.until(v.Patience, func(a arrival) bool {
			return a.event.kind == "USER_STATUS_UPDATED" && strings.Contains(a.event.data, `"customStatus":"`+text+`"`)
		})
		if last.event.kind == "" {
			return v.Patience, last
		}
		took = max(took, last.at.Sub(asked))
	}
	return took, last
}

// checkSilence waits until a silent stream is cut. last is when the last event arrived.
func (v *visit) checkSilence(s *stream, last time.Time, keepalive time.Duration) {
	const check = "silence"
	watch := v.Watch
	if watch == 0 {
		watch = longestWatch
	}
	end := time.Now().Add(watch)
	for broken := 0; ; {
		wait := time.Until(last.Add(keepalive + v.Patience))
		a, ok := s.next(min(wait, time.Until(end)))
		switch {
		case ok && (a.event.retry != "" || a.event.kind == "KICKED_OUT"):
			v.unmeasured(check, "the server ended the stream: %s", a.event.kind+" "+a.event.data)
			return
		case ok && a.event.kind == "KEEPALIVE":
			broken++
			last = a.at
			if v.Watch == 0 {
				v.good(check, "KEEPALIVE arrived after %s, as it should", seconds(keepalive))
				return
			}
		case ok && a.event.kind != "":
			last = a.at
		case ok && broken > 0:
			v.cut(0, time.Since(s.began), fmt.Sprintf(", although the server sent KEEPALIVE every %s", keepalive))
			return
		case ok:
			v.cut(time.Since(last), 0, fmt.Sprintf(", but the server sends KEEPALIVE only every %s", keepalive))
			return
		case !time.Now().Before(end) && broken > 0:
			v.good(check, "the stream was watched for %s, in which %d KEEPALIVE arrived", seconds(watch), broken)
			return
		case !time.Now().Before(end):
			v.unmeasured(check, "the server sends KEEPALIVE only after %s, and the stream was watched for %s", keepalive, watch)
			return
		default:
			v.keepsBack(fmt.Sprintf("the server sends KEEPALIVE after %s, but nothing arrived for %s", keepalive, seconds(time.Since(last))))
			return
		}
	}
}

// cut reports a stream that was cut. silent is the silence before, or zero if the
// stream wasn't silent.
func (v *visit) cut(silent, lasted time.Duration, why string) {
	found := "the stream was cut after " + seconds(lasted)
	if silent > 0 {
		found = "the stream was cut after " + seconds(silent) + " of silence"
	}
	v.problem("silence", found+why, "Every client reconnects again and again. Changes arrive late "+
		"meanwhile, and the server has needless work.", fixCut(silent))
}

// checkResume checks that the server receives Last-Event-ID. If it doesn't,
// the id of the first event is the current version instead of zero.
func (v *visit) checkResume(ctx context.Context) {
	const check = "Last-Event-ID"
	how := v.plain()
	how.resume = "0"
	s := v.follow(ctx, how)
	defer s.close(ctx)
	switch ready, _ := s.coming(ctx, isA("READY")); {
	case ready.event.kind == "":
		v.unmeasured(check, "no stream could be opened")
	case ready.event.id == "0":
		v.good(check, "the server receives the header")
	default:
		v.problem(check, "the server doesn't receive the header", "Clients that were briefly disconnected don't receive the changes of that time.", fixHeader(check))
	}
}

// seconds formats a duration, rounded for people.
func seconds(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(time.Second / 10).String()
}
