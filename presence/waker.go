package presence

import (
	"context"
	"sync/atomic"
	"time"
)

// waker wakes the goroutine that polls a session or a feed: when something has
// changed, and when a timed event is due.
type waker struct {
	notify  atomic.Pointer[func()] // set by register
	alarm   *time.Timer            // calls rouse when the next timed event is due
	alarmAt time.Time
	wake    chan struct{} // makes next poll again; has a buffer of one
}

// start makes the waker ready for use.
func (w *waker) start() {
	w.alarm = time.AfterFunc(time.Hour, w.rouse)
	w.alarm.Stop()
}

// register makes rouse call f, and calls it once immediately.
func (w *waker) register(f func()) {
	w.notify.Store(&f)
	f()
}

func (w *waker) rouse() {
	if f := w.notify.Load(); f != nil {
		(*f)()
	}
}

func rouse(wakers []*waker) {
	for _, w := range wakers {
		w.rouse()
	}
}

// next calls poll until it returns an event or an error, and waits in between.
func (w *waker) next(ctx context.Context, poll func() (Event, bool, error)) (Event, error) {
	if w.wake == nil {
		w.wake = make(chan struct{}, 1)
		w.register(func() {
			select {
			case w.wake <- struct{}{}:
			default:
			}
		})
	}
	for {
		event, _, err := poll()
		if err != nil || event.Type != "" {
			return event, err
		}
		select {
		case <-w.wake:
		case <-ctx.Done():
			return Event{}, ctx.Err()
		}
	}
}

// polled sets the alarm after a poll at now, and reports whether another event may be
// ready. due is when the next event will be due if nothing changes; the zero time means
// immediately. An earlier alarm is kept: one needless wake-up costs less than setting
// the timer with every event.
func (w *waker) polled(now, due time.Time) (more bool) {
	if due.IsZero() {
		return true
	}
	if !w.alarmAt.After(now) || due.Before(w.alarmAt) {
		w.alarmAt = due
		w.alarm.Reset(due.Sub(now))
	}
	return false
}
