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

// lookAtStream looks whether events come at once, and how a stream bears
// silence.
func (v *visit) lookAtStream(ctx context.Context) {
	s := v.follow(ctx, v.plain())
	defer s.close(ctx)
	ready, late := s.coming(ctx, isA("READY"))
	switch {
	case late:
		v.keepsBack(fmt.Sprintf("the first event came only when the stream ended, after %s", seconds(ready.at.Sub(s.began))))
	case ready.over:
		v.lookAtRefusal(cmp.Or(ready.err, errors.New("the stream ended before its first event")))
	case ready.event.kind == "":
		v.keepsBack(fmt.Sprintf("no event came within %s", seconds(v.Patience)))
	default:
		v.lookAtReady(ctx, s, ready)
		return
	}
	v.unmeasured("silence", "no stream to listen to")
}

func (v *visit) keepsBack(found string) {
	v.fault("buffering", found, "Nobody sees a change of status until there are enough of them to fill a buffer, "+
		"which can take hours; pages look connected and show what was long ago.", mendBuffering)
}

// lookAtReady goes on with a stream whose first event came in time.
func (v *visit) lookAtReady(ctx context.Context, s *stream, ready arrival) {
	last := ready.at
	found := "the first event came after " + seconds(ready.at.Sub(s.began))
	if v.Own {
		took, at, err := v.change(ctx, s)
		if err != nil {
			v.keepsBack(err.Error())
			v.unmeasured("silence", "no stream to listen to")
			return
		}
		if !at.IsZero() {
			last = at
			found += ", a change of status after " + seconds(took)
		}
	}
	v.good("buffering", "%s", found)
	var said struct{ KeepaliveSeconds float64 }
	if err := json.Unmarshal([]byte(ready.event.data), &said); err != nil || said.KeepaliveSeconds <= 0 {
		v.unmeasured("silence", "READY doesn't say when the server breaks it: %s", ready.event.data)
		return
	}
	v.lookAtSilence(s, last, time.Duration(said.KeepaliveSeconds*float64(time.Second)))
}

// change sets the user's custom status and clears it, and returns how long it
// took until the stream told so, and when it told the second. Where none may be
// set, that is never.
func (v *visit) change(ctx context.Context, s *stream) (took time.Duration, last time.Time, err error) {
	for _, text := range []string{rand.Text()[:8], ""} {
		asked := time.Now()
		if v.post(ctx, "/v1/setSelfStatus", map[string]string{"customStatus": text}) != nil {
			return took, last, nil
		}
		a, _ := s.until(v.Patience, func(a arrival) bool {
			return a.event.kind == "USER_STATUS_UPDATED" && strings.Contains(a.event.data, `"customStatus":"`+text+`"`)
		})
		if a.event.kind == "" {
			return 0, last, fmt.Errorf("the first event came at once, but a change of status not within %s", seconds(v.Patience))
		}
		took, last = max(took, a.at.Sub(asked)), a.at
	}
	return took, last, nil
}

// lookAtSilence listens while nothing happens. last is when something came.
func (v *visit) lookAtSilence(s *stream, last time.Time, keepalive time.Duration) {
	const check = "silence"
	watch := v.Watch
	if watch == 0 {
		watch = longestWatch
	}
	opened, end := last, time.Now().Add(watch)
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
				v.good(check, "the server broke it after %s, as it should", seconds(keepalive))
				return
			}
		case ok && a.event.kind != "":
			last = a.at
		case ok:
			v.cut(time.Since(last), time.Since(opened), keepalive, broken)
			return
		case !time.Now().Before(end) && broken > 0:
			v.good(check, "watched for %s, in which the server broke it %d times", seconds(watch), broken)
			return
		case !time.Now().Before(end):
			v.unmeasured(check, "the server breaks it only after %s, and it was watched for %s", keepalive, watch)
			return
		default:
			v.keepsBack(fmt.Sprintf("the server breaks the silence after %s, but nothing came for %s", keepalive, seconds(time.Since(last))))
			return
		}
	}
}

// cut tells of a stream that ended by itself.
func (v *visit) cut(silent, lasted, keepalive time.Duration, broken int) {
	const means = "Every client comes back again and again, each time to a new stream: changes come late meanwhile, and the server works for nothing."
	if broken > 0 {
		v.fault("silence", fmt.Sprintf("the stream was cut after %s, though the server broke the silence every %s", seconds(lasted), keepalive),
			means, mendCut(0))
		return
	}
	v.fault("silence", fmt.Sprintf("the stream was cut after %s of it, and the server breaks it every %s", seconds(silent), keepalive),
		means, mendCut(silent))
}

// lookAtResume looks whether the server learns where a client has been: if not,
// the first event's id is where everybody is, and not 0.
func (v *visit) lookAtResume(ctx context.Context) {
	const check = "Last-Event-ID"
	how := v.plain()
	how.resume = "0"
	s := v.follow(ctx, how)
	defer s.close(ctx)
	switch ready, _ := s.coming(ctx, isA("READY")); {
	case ready.event.kind == "":
		v.unmeasured(check, "no stream to look at")
	case ready.event.id == "0":
		v.good(check, "the header arrives")
	default:
		v.fault(check, "the header doesn't arrive", "Who was away for a moment is not told what happened meanwhile.", mendHeader(check))
	}
}

// seconds is a duration as one reads it.
func seconds(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(time.Second / 10).String()
}
